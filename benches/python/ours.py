"""pergrad through its C library."""

import numpy as np

from cases import LR, STEP, array as zeros
from contest import EMPTY, VERSIONS, Contestant, contestant


def enter(library):
    """Registers pergrad on this library."""
    c, array, struct, checked = library.c, library.array, library.struct, library.checked
    FRESH = c.PERGRAD_START_FRESH
    VERSIONS["pergrad"] = library.version

    def run(name, *args):
        ready = library.call(name, library.isa, *args)

        def go():
            if code := ready():
                checked(code)

        return go

    def dims(case):
        return struct("dims", case.batch, case.steps, case.outputs, case.inputs)

    def batch(case, example_weights=None):
        return struct("batch_f32", dims(case)[0], *array(case.x), *array(case.dy), *array(example_weights))

    def scratch(case):
        return zeros(c.pergrad_scratch_len(dims(case)[0]))

    @contestant("pergrad", "grad")
    def grad(case):
        return Contestant(run("grad_f32", batch(case), FRESH, 1.0, *array(case.grad),
                              *array(scratch(case))))

    @contestant("pergrad", "moments", "moments of sequences")
    def moments(case):
        return Contestant(run("moments_f32", batch(case), FRESH, 1.0, *array(case.grad),
                              *array(case.grad_sq), *array(scratch(case))))

    def adam(case, name, *args):
        """With the coefficients of each step computed in it, as others do. `args` begin with a function of
        the C library that takes a time and a configuration first."""
        config = struct("adam_config")
        checked(library.call("adam_torch", LR, config)())
        step, t = getattr(c, f"pergrad_{name}_at"), STEP - 1

        def run():
            nonlocal t
            t += 1
            if code := step(t, config, library.isa, *args):
                checked(code)

        def reset():
            nonlocal t
            t = STEP - 1

        return Contestant(run, reset=reset)

    def state(case):
        return struct("adam_state_f32", *array(case.exp_avg), *array(case.exp_avg_sq), *array(None))

    @contestant("pergrad", "step on grad_sq", "step on grad^2")
    def step(case):
        second = (c.PERGRAD_SECOND_MOMENT_GRAD_SQ if case.work == "step on grad_sq"
                  else c.PERGRAD_SECOND_MOMENT_SQUARED_GRAD)
        layer = struct("layer_step_f32", batch(case)[0], 1.0, second, c.PERGRAD_NON_FINITE_PROPAGATE)
        return adam(case, "step_adam_f32", layer, c.PERGRAD_PART_WEIGHT, *array(case.params),
                    state(case), *array(scratch(case)), library.info)

    @contestant("pergrad", "adam")
    def update(case):
        return adam(case, "update_adam_f32", *array(case.params), *array(case.grad), *array(None),
                    state(case), c.PERGRAD_NON_FINITE_PROPAGATE, library.info)

    @contestant("pergrad", "per-example gradients")
    def per_example_grad(case):
        return Contestant(run("per_example_grad_f32", batch(case), *array(case.per_example_grad)))

    @contestant("pergrad", "clipped grad")
    def clipped(case):
        """Squared norms, factors by NumPy, the product with the factors in it."""
        norms, factors, bound = zeros(case.batch), zeros(case.batch), np.float32(case.max_norm)
        one = np.float32(1)
        sq_norms = run("sq_norms_f32", batch(case), FRESH, *array(norms))
        product = run("grad_f32", batch(case, factors), FRESH, 1.0, *array(case.grad),
                      *array(scratch(case)))

        def clip():
            sq_norms()
            np.sqrt(norms, out=norms)
            np.divide(bound, norms, out=factors)
            np.minimum(factors, one, out=factors)
            product()

        return Contestant(clip)

    @contestant("pergrad", "reduce")
    def reduce(case):
        return Contestant(run("reduce_f32", *array(case.rows), case.batch, FRESH, 1.0,
                              *array(case.sum), *array(case.sum_sq)))

    @contestant("pergrad", "forward")
    def forward(case):
        return Contestant(run("forward_f32", dims(case), *array(case.x), *array(case.weight),
                              *array(None), FRESH, *array(case.y)))

    @contestant("pergrad", "input gradient")
    def input_grad(case):
        return Contestant(run("input_grad_f32", dims(case), *array(case.dy), *array(case.weight),
                              FRESH, *array(case.dx)))

    nothing = struct("batch_f32")
    EMPTY["pergrad, by cffi: moments of an empty batch"] = run(
        "moments_f32", nothing, FRESH, 1.0, *array(None), *array(None), *array(None))
