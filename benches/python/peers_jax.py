"""JAX and optax, compiled by XLA. JAX writes to arrays of its own; it is given the old outputs to write
to (donation), since it would otherwise touch fresh pages in each call."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cases import BETAS, EPSILON, LR, STEP
from contest import EMPTY, VERSIONS, Contestant, contestant

jax.config.update("jax_cpu_enable_async_dispatch", False)
VERSIONS.update({"JAX": jax.__version__, "optax": optax.__version__})


def nothing():
    one, add = jnp.ones(1), jax.jit(lambda a: a + 1)
    return lambda: jax.block_until_ready(add(one))


EMPTY["JAX: one addition"] = nothing()


def compiled(case, f, *inputs):
    """f(*inputs) gives what is written, in order, as one tuple."""
    inputs = [jnp.array(a, copy=True) for a in inputs]
    step = jax.jit(lambda inputs, _: f(*inputs), donate_argnums=1, keep_unused=True)
    outputs = [tuple(jnp.array(a, copy=True) for a in case.results().values())]

    def run():
        outputs[0] = jax.block_until_ready(step(inputs, outputs[0]))

    return Contestant(run, lambda: dict(zip(case.written, outputs[0])))


def layer(case):
    """dy and x, by step where there are several."""
    if case.steps == 1:
        return case.dy, case.x
    return [a.reshape(case.batch, case.steps, -1) for a in (case.dy, case.x)]


@contestant("JAX", "grad")
def grad(case):
    return compiled(case, lambda dy, x: (dy.T @ x,), *layer(case))


def products(dy, x):
    return dy.T @ x, jnp.square(dy).T @ jnp.square(x)


@contestant("JAX", "moments")
def moments(case):
    return compiled(case, products, *layer(case))


@contestant("JAX", "moments of sequences")
def sequences(case):
    def f(dy, x):
        g = jnp.einsum("btj,bti->bji", dy, x)
        return g.sum(0), jnp.square(g).sum(0)

    return compiled(case, f, *layer(case))


@contestant("JAX scan", "moments of sequences")
def scan(case):
    def one(sums, rows):
        dy, x = rows
        g = dy.T @ x
        return (sums[0] + g, sums[1] + g * g), None

    zeros = jnp.zeros((case.outputs, case.inputs), jnp.float32)
    return compiled(case, lambda dy, x: jax.lax.scan(one, (zeros, zeros), (dy, x))[0], *layer(case))


def stepping(case, f, start, results, inputs, **how):
    """state = f(inputs, state), in place of the old state."""
    inputs = [jnp.array(a, copy=True) for a in inputs]
    step = jax.jit(f, donate_argnums=1)
    state = [None]

    def reset():
        state[0] = start(*(jnp.array(a, copy=True) for a in case.start.values()))

    def run():
        state[0] = jax.block_until_ready(step(inputs, state[0]))

    return Contestant(run, lambda: results(state[0]), reset, **how)


def adam(case, gradient, *inputs):
    """optax.adam on what `gradient` makes of the inputs."""
    optimizer = optax.adam(LR, *BETAS, eps=EPSILON)

    def start(params, exp_avg, exp_avg_sq):
        first, *others = optimizer.init(params)
        count = jnp.full_like(first.count, STEP - 1)
        return params, (first._replace(count=count, mu=exp_avg, nu=exp_avg_sq), *others)

    def f(inputs, state):
        params, state = state
        updates, state = optimizer.update(gradient(*inputs), state, params)
        return optax.apply_updates(params, updates), state

    def results(state):
        params, (first, *_) = state
        return {"params": params, "exp_avg": first.mu, "exp_avg_sq": first.nu}

    return stepping(case, f, start, results, inputs, f32_beta=True)


@contestant("optax", "adam")
def update(case):
    return adam(case, lambda grad: grad, case.grad)


@contestant("JAX and optax", "step on grad^2")
def step(case):
    return adam(case, lambda dy, x: dy.T @ x, *layer(case))


@contestant("JAX", "step on grad_sq")
def step_sq(case):
    """Adam's formula by hand, since optax takes no second moment."""

    def f(inputs, state):
        params, m, v, t = state
        g, s = products(*inputs)
        m, v = m + (1 - BETAS[0]) * (g - m), v + (1 - BETAS[1]) * (s - v)
        rate = LR / (1 - BETAS[0] ** t)
        params = params - rate * m / (jnp.sqrt(v / (1 - BETAS[1] ** t)) + EPSILON)
        return params, m, v, t + 1

    return stepping(case, f, lambda *state: (*state, jnp.float32(STEP)),
                    lambda state: dict(zip(case.written, state)), layer(case), f32_beta=True)


@contestant("JAX", "per-example gradients")
def per_example_grad(case):
    def f(dy, x):
        return (jnp.einsum("bj,bi->bji" if case.steps == 1 else "btj,bti->bji", dy, x),)

    return compiled(case, f, *layer(case))


@contestant("JAX vmap(grad)", "per-example gradients")
def vmap(case):
    weight = np.zeros((case.outputs, case.inputs), np.float32)
    gradient = jax.vmap(jax.grad(lambda w, dy, x: jnp.vdot(x @ w.T, dy)), (None, 0, 0))
    return compiled(case, lambda w, dy, x: (gradient(w, dy, x),), weight, *layer(case))


@contestant("JAX", "clipped grad")
def clipped(case):
    def f(dy, x):
        norms = jnp.sqrt(jnp.square(dy).sum(1) * jnp.square(x).sum(1))
        return ((dy * jnp.minimum(1, case.max_norm / norms)[:, None]).T @ x,)

    return compiled(case, f, *layer(case))


@contestant("JAX", "reduce")
def reduce(case):
    return compiled(case, lambda rows: (rows.sum(0), jnp.square(rows).sum(0)), case.rows)


@contestant("JAX", "forward")
def forward(case):
    return compiled(case, lambda x, weight: (x @ weight.T,), case.x, case.weight)


@contestant("JAX", "input gradient")
def input_grad(case):
    return compiled(case, lambda dy, weight: (dy @ weight,), case.dy, case.weight)
