"""pergrad through its C library."""

from ctypes import c_uint64

import numpy as np

from capi import FRESH, GRAD_SQ, PROPAGATE, SQUARED_GRAD, WEIGHT, AdamCoeffs, AdamConfig, AdamState
from capi import Batch, Dims, LayerStep, array
from cases import LR, STEP, array as zeros
from contest import EMPTY, VERSIONS, Contestant, contestant


def enter(library):
    """Registers pergrad on this library."""
    call, checked = library.call, library.checked
    VERSIONS["pergrad"] = library.version

    def run(name, *args):
        ready = call(name, library.isa, *args)

        def go():
            if code := ready():
                checked(code)

        return go

    def dims(case):
        return Dims(case.batch, case.steps, case.outputs, case.inputs)

    def batch(case, example_weights=None):
        return Batch(dims(case), *array(case.x), *array(case.dy), *array(example_weights))

    def scratch(case):
        return zeros(library.scratch_len(dims(case)))

    @contestant("pergrad", "grad")
    def grad(case):
        return Contestant(run("pergrad_grad_f32", batch(case), FRESH, 1.0, *array(case.grad),
                              *array(scratch(case))))

    @contestant("pergrad", "moments", "moments of sequences")
    def moments(case):
        return Contestant(run("pergrad_moments_f32", batch(case), FRESH, 1.0, *array(case.grad),
                              *array(case.grad_sq), *array(scratch(case))))

    def adam(case, name, *args):
        """With the coefficients of each step computed in it, as others do."""
        config, coeffs, t = AdamConfig(), AdamCoeffs(), c_uint64()
        library.now("pergrad_adam_torch", LR, config)
        prepare = call("pergrad_adam_step_coeffs_f32", config, t, coeffs)
        state = AdamState(*array(case.exp_avg), *array(case.exp_avg_sq), *array(None))
        step = call(name, library.isa, *[{"coeffs": coeffs, "state": state}.get(a, a)
                                         if isinstance(a, str) else a for a in args])

        def run():
            t.value += 1
            checked(prepare() or step())

        def reset():
            t.value = STEP - 1

        return Contestant(run, reset=reset)

    @contestant("pergrad", "step on grad_sq", "step on grad^2")
    def step(case):
        second = GRAD_SQ if case.work == "step on grad_sq" else SQUARED_GRAD
        layer = LayerStep(batch(case), 1.0, second, 0)
        return adam(case, "pergrad_step_adam_f32", layer, WEIGHT, "coeffs", *array(case.params),
                    "state", *array(scratch(case)))

    @contestant("pergrad", "adam")
    def update(case):
        return adam(case, "pergrad_update_adam_f32", "coeffs", *array(case.params),
                    *array(case.grad), *array(None), "state", PROPAGATE)

    @contestant("pergrad", "per-example gradients")
    def per_example_grad(case):
        return Contestant(run("pergrad_per_example_grad_f32", batch(case),
                              *array(case.per_example_grad)))

    @contestant("pergrad", "clipped grad")
    def clipped(case):
        """Squared norms, factors by NumPy, the product with the factors in it."""
        norms, factors, bound = zeros(case.batch), zeros(case.batch), np.float32(case.max_norm)
        one = np.float32(1)
        sq_norms = run("pergrad_sq_norms_f32", batch(case), FRESH, *array(norms))
        product = run("pergrad_grad_f32", batch(case, factors), FRESH, 1.0, *array(case.grad),
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
        return Contestant(run("pergrad_reduce_f32", *array(case.rows), case.batch, FRESH, 1.0,
                              *array(case.sum), *array(case.sum_sq)))

    @contestant("pergrad", "forward")
    def forward(case):
        return Contestant(run("pergrad_forward_f32", dims(case), *array(case.x), *array(case.weight),
                              *array(None), FRESH, *array(case.y)))

    @contestant("pergrad", "input gradient")
    def input_grad(case):
        return Contestant(run("pergrad_input_grad_f32", dims(case), *array(case.dy),
                              *array(case.weight), FRESH, *array(case.dx)))

    nothing = Batch(Dims(0, 0, 0, 0), *array(None), *array(None), *array(None))
    EMPTY["pergrad, by ctypes: moments of an empty batch"] = run(
        "pergrad_moments_f32", nothing, FRESH, 1.0, *array(None), *array(None), *array(None))
