"""BackPACK and Opacus, on PyTorch: per-example statistics beside a backward pass. They give what they
compute in new memory each time."""

from importlib.metadata import version

import torch

from contest import VERSIONS, Contestant, contestant
from peers_torch import fresh, shared

try:
    from backpack import backpack, extend
    from backpack.extensions import BatchGrad, SumGradSquared

    VERSIONS["BackPACK"] = version("backpack-for-pytorch")
except ImportError:
    backpack = None
try:
    from opacus.grad_sample.linear import compute_linear_grad_sample, compute_linear_norm_sample
    from opacus.optimizers import DPOptimizer

    VERSIONS["Opacus"] = version("opacus")
except ImportError:
    DPOptimizer = None


def linear(case):
    layer = torch.nn.Linear(case.inputs, case.outputs, bias=False)
    layer.weight.requires_grad_()
    return layer


def backward(case, extension):
    """A layer, and its backward pass with an extension. The forward pass is outside of what is timed."""
    a, layer = shared(case), extend(linear(case))
    x, dy = (a.x, a.dy) if case.steps == 1 else (a.xs, a.dys)
    with torch.enable_grad():
        y = layer(x)

    def run():
        layer.weight.grad = None
        with torch.enable_grad(), backpack(extension(), retain_graph=True):
            y.backward(dy, retain_graph=True)

    return layer.weight, run


if backpack:

    @contestant("BackPACK", "moments", "moments of sequences")
    def moments(case):
        weight, run = backward(case, SumGradSquared)
        return Contestant(run, lambda: {"grad": weight.grad.numpy(),
                                        "grad_sq": weight.sum_grad_squared.numpy()})

    @contestant("BackPACK", "per-example gradients")
    def batch_grad(case):
        weight, run = backward(case, BatchGrad)
        return Contestant(run, lambda: {"per_example_grad": weight.grad_batch.numpy()})


if DPOptimizer:

    @contestant("Opacus", "per-example gradients")
    def grad_sample(case):
        """What its hook computes in the backward pass; not the pass."""
        a, layer = shared(case), linear(case)
        return fresh(case, lambda: compute_linear_grad_sample(layer, [a.xs], a.dys)[layer.weight])

    @contestant("Opacus", "clipped grad")
    def clipped(case):
        """Its hook, and its optimizer's clipping. Not where an example's gradient has a million
        elements: PyTorch's norm of so many is off by 1e-5, of four million by 3e-4, too much for us."""
        if case.outputs * case.inputs >= 1 << 20:
            return None
        a, layer = shared(case), linear(case)
        weight = layer.weight
        optimizer = DPOptimizer(torch.optim.SGD([weight], lr=1.0), noise_multiplier=0.0,
                                max_grad_norm=case.max_norm, expected_batch_size=case.batch)

        def run():
            weight.summed_grad = None
            weight.grad_sample = compute_linear_grad_sample(layer, [a.x], a.dy)[weight]
            optimizer.clip_and_accumulate()

        return Contestant(run, lambda: {"grad": weight.summed_grad.numpy()})

    @contestant("Opacus ghost", "clipped grad")
    def ghost(case):
        """Its norms without the gradients, its factors, then the product of the second pass."""
        a, layer = shared(case), linear(case)
        scaled = torch.empty_like(a.dy)

        def run():
            norms = compute_linear_norm_sample(layer, [a.x], a.dy)[layer.weight]
            factors = (case.max_norm / (norms + 1e-6)).clamp(max=1.0)
            torch.mul(a.dy, factors[:, None], out=scaled)
            torch.mm(scaled.T, a.x, out=a.grad)

        return Contestant(run)
