"""NumPy: products by its BLAS, everything else in passes, all into arrays that are there already."""

import numpy as np

from cases import BETAS, EPSILON, LR, STEP, array
from contest import EMPTY, VERSIONS, Contestant, contestant

VERSIONS["NumPy"] = np.__version__
ONE = np.ones((1, 1), np.float32)
EMPTY["NumPy: matmul of 1 x 1"] = lambda out=ONE.copy(): np.matmul(ONE, ONE, out=out)


@contestant("NumPy", "grad")
def grad(case):
    return Contestant(lambda: np.matmul(case.dy.T, case.x, out=case.grad))


def products(case):
    """grad and grad_sq by two products."""
    dy_sq, x_sq = array(*case.dy.shape), array(*case.x.shape)

    def run():
        np.matmul(case.dy.T, case.x, out=case.grad)
        np.square(case.dy, out=dy_sq)
        np.square(case.x, out=x_sq)
        np.matmul(dy_sq.T, x_sq, out=case.grad_sq)

    return run


@contestant("NumPy", "moments")
def moments(case):
    return Contestant(products(case))


@contestant("NumPy", "moments of sequences")
def sequences(case):
    x = case.x.reshape(case.batch, case.steps, -1)
    dy = case.dy.reshape(case.batch, case.steps, -1).transpose(0, 2, 1)
    g = array(case.outputs, case.inputs)

    def run():
        case.grad.fill(0)
        case.grad_sq.fill(0)
        for b in range(case.batch):
            np.matmul(dy[b], x[b], out=g)
            np.add(case.grad, g, out=case.grad)
            np.square(g, out=g)
            np.add(case.grad_sq, g, out=case.grad_sq)

    return Contestant(run)


def adam(case, before=lambda: None, second=None):
    """`before` leaves the gradient; the second moment is given or the gradient's square."""
    p, g, m, v = case.params, case.grad, case.exp_avg, case.exp_avg_sq
    tmp, t = array(*p.shape), [STEP]

    def run():
        before()
        root = (1 - BETAS[1] ** t[0]) ** 0.5
        rate = LR * root / (1 - BETAS[0] ** t[0])
        t[0] += 1
        np.subtract(g, m, out=tmp)
        np.multiply(tmp, 1 - BETAS[0], out=tmp)
        np.add(m, tmp, out=m)
        s = np.square(g, out=tmp) if second is None else second
        np.subtract(s, v, out=tmp)
        np.multiply(tmp, 1 - BETAS[1], out=tmp)
        np.add(v, tmp, out=v)
        np.sqrt(v, out=tmp)
        np.add(tmp, EPSILON * root, out=tmp)
        np.divide(m, tmp, out=tmp)
        np.multiply(tmp, rate, out=tmp)
        np.subtract(p, tmp, out=p)

    def reset():
        t[0] = STEP

    return Contestant(run, reset=reset)


@contestant("NumPy", "adam")
def update(case):
    return adam(case)


@contestant("NumPy", "step on grad^2")
def step(case):
    return adam(case, lambda: np.matmul(case.dy.T, case.x, out=case.grad))


@contestant("NumPy", "step on grad_sq")
def step_sq(case):
    return adam(case, products(case), case.grad_sq)


@contestant("NumPy", "per-example gradients")
def per_example_grad(case):
    x = case.x.reshape(case.batch, case.steps, -1)
    dy = case.dy.reshape(case.batch, case.steps, -1).transpose(0, 2, 1)
    product = np.multiply if case.steps == 1 else np.matmul
    return Contestant(lambda: product(dy, x, out=case.per_example_grad))


@contestant("NumPy", "clipped grad")
def clipped(case):
    dy_sq, x_sq, scaled = (array(case.batch) for _ in range(3))
    dy = array(*case.dy.shape)

    def run():
        np.einsum("bj,bj->b", case.dy, case.dy, out=dy_sq)
        np.einsum("bi,bi->b", case.x, case.x, out=x_sq)
        np.multiply(dy_sq, x_sq, out=scaled)
        np.sqrt(scaled, out=scaled)
        np.divide(case.max_norm, scaled, out=scaled)
        np.minimum(scaled, 1, out=scaled)
        np.multiply(case.dy, scaled[:, None], out=dy)
        np.matmul(dy.T, case.x, out=case.grad)

    return Contestant(run)


@contestant("NumPy", "reduce")
def reduce(case):
    def run():
        np.add.reduce(case.rows, 0, out=case.sum)
        np.einsum("bn,bn->n", case.rows, case.rows, out=case.sum_sq)

    return Contestant(run)


@contestant("NumPy", "forward")
def forward(case):
    return Contestant(lambda: np.matmul(case.x, case.weight.T, out=case.y))


@contestant("NumPy", "input gradient")
def input_grad(case):
    return Contestant(lambda: np.matmul(case.dy, case.weight, out=case.dx))
