"""PyTorch, on the very arrays of the case, into arrays that are there already wherever it can."""

from types import SimpleNamespace

import numpy as np
import torch
from torch.func import grad as grad_of, vmap

from cases import BETAS, EPSILON, LR, STEP
from contest import EMPTY, VERSIONS, Contestant, contestant

torch.set_num_threads(1)
torch.set_grad_enabled(False)
VERSIONS["PyTorch"] = torch.__version__
EMPTY["PyTorch: mm of 1 x 1"] = lambda one=torch.ones(1, 1), out=torch.ones(1, 1): torch.mm(one, one, out=out)


def shared(case):
    """The arrays of a case as tensors in the same memory; x and dy also by example and step."""
    found = {name: torch.from_numpy(a) for name, a in vars(case).items() if isinstance(a, np.ndarray)}
    for name in ("x", "dy"):
        if name in found:
            found[name + "s"] = found[name].view(case.batch, case.steps, -1)
    return SimpleNamespace(**found)


@contestant("PyTorch", "grad")
def grad(case):
    a = shared(case)
    return Contestant(lambda: torch.mm(a.dy.T, a.x, out=a.grad))


def products(a):
    """grad and grad_sq by two products."""
    dy_sq, x_sq = torch.empty_like(a.dy), torch.empty_like(a.x)

    def run():
        torch.mm(a.dy.T, a.x, out=a.grad)
        torch.mul(a.dy, a.dy, out=dy_sq)
        torch.mul(a.x, a.x, out=x_sq)
        torch.mm(dy_sq.T, x_sq, out=a.grad_sq)

    return run


@contestant("PyTorch", "moments")
def moments(case):
    return Contestant(products(shared(case)))


@contestant("PyTorch loop", "moments of sequences")
def sequences(case):
    a = shared(case)
    g = torch.empty_like(a.grad)

    def run():
        a.grad.zero_()
        a.grad_sq.zero_()
        for dy, x in zip(a.dys, a.xs):
            torch.mm(dy.T, x, out=g)
            a.grad.add_(g)
            a.grad_sq.addcmul_(g, g)

    return Contestant(run)


@contestant("PyTorch bmm", "moments of sequences")
def batched(case):
    a = shared(case)
    g = torch.empty(case.batch, *a.grad.shape)

    def run():
        torch.bmm(a.dys.mT, a.xs, out=g)
        torch.sum(g, 0, out=a.grad)
        g.mul_(g)
        torch.sum(g, 0, out=a.grad_sq)

    return Contestant(run)


def fused_adam(a, before=lambda: None):
    """What torch.optim.Adam(fused=True) calls, without what stands around it."""
    step = torch.tensor(0.0)
    lists = [[t] for t in (a.params, a.grad, a.exp_avg, a.exp_avg_sq)]
    options = dict(lr=LR, beta1=BETAS[0], beta2=BETAS[1], eps=EPSILON, weight_decay=0.0, amsgrad=False,
                   maximize=False)

    def run():
        before()
        step.add_(1)
        torch._fused_adam_(*lists, [], [step], **options)

    return Contestant(run, reset=lambda: step.fill_(STEP - 1))


def product_first(case, a):
    """The product, where the gradient is not given."""
    return (lambda: None) if case.work == "adam" else (lambda: torch.mm(a.dy.T, a.x, out=a.grad))


@contestant("PyTorch _fused_adam_", "adam", "step on grad^2")
def fused(case):
    a = shared(case)
    return fused_adam(a, product_first(case, a))


@contestant("PyTorch Adam(fused)", "adam", "step on grad^2")
def optimizer(case):
    a = shared(case)
    before = product_first(case, a)
    param = torch.nn.Parameter(a.params)
    param.grad = a.grad
    adam = torch.optim.Adam([param], lr=LR, betas=BETAS, eps=EPSILON, fused=True)
    adam.state[param] = dict(step=torch.tensor(0.0), exp_avg=a.exp_avg, exp_avg_sq=a.exp_avg_sq)

    def run():
        before()
        adam.step()

    return Contestant(run, reset=lambda: adam.state[param]["step"].fill_(STEP - 1))


@contestant("PyTorch", "step on grad_sq")
def step_sq(case):
    """Two products, then Adam's formula in passes: no fused Adam takes a second moment."""
    a = shared(case)
    before, root, t = products(a), torch.empty_like(a.params), [STEP]

    def run():
        before()
        correction = (1 - BETAS[1] ** t[0]) ** 0.5
        rate = LR * correction / (1 - BETAS[0] ** t[0])
        t[0] += 1
        a.exp_avg.lerp_(a.grad, 1 - BETAS[0])
        a.exp_avg_sq.lerp_(a.grad_sq, 1 - BETAS[1])
        torch.sqrt(a.exp_avg_sq, out=root)
        root.add_(EPSILON * correction)
        a.params.addcdiv_(a.exp_avg, root, value=-rate)

    def reset():
        t[0] = STEP

    return Contestant(run, reset=reset)


@contestant("PyTorch mul(out=), bmm", "per-example gradients")
def outer(case):
    a = shared(case)
    if case.steps == 1:
        return Contestant(lambda: torch.mul(a.dys.mT, a.xs, out=a.per_example_grad))
    return Contestant(lambda: torch.bmm(a.dys.mT, a.xs, out=a.per_example_grad))


def fresh(case, f):
    """A function that gives per-example gradients in new memory; the last ones are freed before."""
    kept = [None]

    def run():
        kept[0] = None
        kept[0] = f()

    return Contestant(run, lambda: {"per_example_grad": kept[0].numpy()})


@contestant("PyTorch einsum", "per-example gradients")
def einsum(case):
    a = shared(case)
    return fresh(case, lambda: torch.einsum("btj,bti->bji", a.dys, a.xs))


@contestant("PyTorch vmap(grad)", "per-example gradients")
def functional(case):
    a = shared(case)
    weight = torch.zeros(case.outputs, case.inputs)
    gradient = vmap(grad_of(lambda w, dy, x: torch.sum((x @ w.T) * dy)), (None, 0, 0))
    return fresh(case, lambda: gradient(weight, a.dys, a.xs))


@contestant("PyTorch", "clipped grad")
def clipped(case):
    a = shared(case)
    scaled = torch.empty_like(a.dy)
    norms, x_norms = torch.empty(case.batch, 1), torch.empty(case.batch, 1)

    def run():
        torch.linalg.vector_norm(a.dy, dim=1, keepdim=True, out=norms)
        torch.linalg.vector_norm(a.x, dim=1, keepdim=True, out=x_norms)
        norms.mul_(x_norms).reciprocal_().mul_(case.max_norm).clamp_(max=1)
        torch.mul(a.dy, norms, out=scaled)
        torch.mm(scaled.T, a.x, out=a.grad)

    return Contestant(run)


@contestant("PyTorch", "reduce")
def reduce(case):
    a = shared(case)
    squares = torch.empty_like(a.rows)

    def run():
        torch.sum(a.rows, 0, out=a.sum)
        torch.mul(a.rows, a.rows, out=squares)
        torch.sum(squares, 0, out=a.sum_sq)

    return Contestant(run)


@contestant("PyTorch", "forward")
def forward(case):
    a = shared(case)
    return Contestant(lambda: torch.mm(a.x, a.weight.T, out=a.y))


@contestant("PyTorch", "input gradient")
def input_grad(case):
    a = shared(case)
    return Contestant(lambda: torch.mm(a.dy, a.weight, out=a.dx))
