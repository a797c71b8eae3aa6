"""DeepSpeed's Adam, which it compiles when it is first loaded."""

from importlib.metadata import version

from deepspeed.ops.op_builder.cpu import CPUAdamBuilder

from cases import BETAS, EPSILON, LR, STEP
from contest import VERSIONS, Contestant, contestant
from peers_torch import product_first, shared

VERSIONS["DeepSpeed"] = version("deepspeed")
LIBRARY = CPUAdamBuilder().load(verbose=False)
LIBRARY.create_adam(0, LR, *BETAS, EPSILON, 0.0, False, False)


@contestant("DeepSpeed", "adam", "step on grad^2")
def adam(case):
    a, t = shared(case), [0]
    before = product_first(case, a)
    arrays = [tensor.flatten() for tensor in (a.params, a.grad, a.exp_avg, a.exp_avg_sq)]

    def run():
        before()
        t[0] += 1
        LIBRARY.adam_update(0, t[0], LR, *BETAS, EPSILON, 0.0, True, *arrays)

    def reset():
        t[0] = STEP - 1

    return Contestant(run, reset=reset, f32_beta=True)
