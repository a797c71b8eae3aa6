"""The works, their shapes, and the arrays that all contestants share."""

import itertools
import mmap

import numpy as np

HUGE = 2 << 20
LR, BETAS, EPSILON = 0.01, (0.9, 0.999), 1e-8  # Adam's
STEP = 10  # the step that is checked


TURNS = itertools.count()


def array(*shape):
    """Zeros whose pages have been touched, placed as pergrad's tensors are: at different places of a page, on
    huge pages where they are large."""
    size = 4 * int(np.prod(shape, dtype=int))
    memory = mmap.mmap(-1, size + 2 * HUGE)
    if size >= HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    start = -np.frombuffer(memory, np.uint8).ctypes.data % HUGE
    start += next(TURNS) % 16 * 17 * 64 % 4096
    found = np.frombuffer(memory, np.float32, size // 4, start).reshape(shape)
    found.fill(0)
    return found


def random(seed, low, high, *shape):
    found = array(*shape)
    np.random.default_rng(seed).random(dtype=np.float32, out=found)
    found *= high - low
    found += low
    return found


# B x T x J x I
LAYERS = [(32, 1, 128, 128), (128, 1, 512, 512), (256, 1, 1024, 1024), (64, 1, 4096, 1024),
          (16, 1, 1024, 1024), (1, 1, 1024, 1024)]
SEQUENCES = [(16, 64, 256, 256), (32, 16, 512, 512)]
OUTER = [(16, 1, 64, 64), (32, 1, 256, 256), (64, 1, 512, 1024)] + SEQUENCES
SIZES = [(4096,), (65_536,), (1 << 20,), (1 << 24,)]
ROWS = [(32, 4096), (256, 16_384), (32, 1 << 20)]
SMALL_LAYERS = [LAYERS[0], (3, 1, 5, 37)]

# By work: its shapes, those of a quick run, and what is written.
WORKS = {
    "grad": (LAYERS, SMALL_LAYERS, ["grad"]),
    "moments": (LAYERS, SMALL_LAYERS, ["grad", "grad_sq"]),
    "moments of sequences": (SEQUENCES, [(3, 4, 5, 37)], ["grad", "grad_sq"]),
    "step on grad_sq": (LAYERS, SMALL_LAYERS, ["params", "exp_avg", "exp_avg_sq"]),
    "step on grad^2": (LAYERS, SMALL_LAYERS, ["params", "exp_avg", "exp_avg_sq"]),
    "adam": (SIZES, [SIZES[0], (77,)], ["params", "exp_avg", "exp_avg_sq"]),
    "per-example gradients": (OUTER, [OUTER[0], (3, 4, 5, 37)], ["per_example_grad"]),
    "clipped grad": (LAYERS, SMALL_LAYERS, ["grad"]),
    "reduce": (ROWS, [ROWS[0], (7, 13)], ["sum", "sum_sq"]),
    "forward": (LAYERS, SMALL_LAYERS, ["y"]),
    "input gradient": (LAYERS, SMALL_LAYERS, ["dx"]),
}


def name(shape):
    """As people write it: the steps of a layer are told where there are several."""
    if len(shape) == 4 and shape[1] == 1:
        shape = (shape[0], *shape[2:])
    return " x ".join(map(str, shape))


class Case:
    """A work on one shape: inputs, outputs, and where what is updated in place starts.

    x [B T, I], dy [B T, J], weight, params, grad and their like [J, I]; where T > 1 the rows of one
    example follow each other. With a flat shape, `n` elements.
    """

    def __init__(self, work, shape):
        self.work, self.shape = work, shape
        self.written = WORKS[work][2]
        self.start = {}
        if work == "adam":
            self.grad = random(3, -1, 1, *shape)
            self.state(shape)
        elif work == "reduce":
            self.batch = shape[0]
            self.rows = random(1, -1, 1, *shape)
            self.sum, self.sum_sq = array(shape[1]), array(shape[1])
        else:
            self.layer(*shape)

    def layer(self, batch, steps, outputs, inputs):
        self.batch, self.steps, self.outputs, self.inputs = batch, steps, outputs, inputs
        self.x = random(1, -1, 1, batch * steps, inputs)
        self.dy = random(2, -1, 1, batch * steps, outputs)
        # Which about half of the examples exceed.
        self.max_norm = float(np.sqrt(outputs * inputs) / 3)
        weight = (outputs, inputs)
        if self.work.startswith("step"):
            self.grad, self.grad_sq = array(*weight), array(*weight)  # for those that store them
            self.state(weight)
        elif self.work == "forward":
            self.weight, self.y = random(3, -1, 1, *weight), array(batch * steps, outputs)
        elif self.work == "input gradient":
            self.weight, self.dx = random(3, -1, 1, *weight), array(batch * steps, inputs)
        elif self.work == "per-example gradients":
            self.per_example_grad = array(batch, *weight)
        else:
            self.grad, self.grad_sq = array(*weight), array(*weight)

    def state(self, shape):
        """Parameters as small as the learning rate, so that a wrong step is seen."""
        for name, low, high in [("params", -0.01, 0.01), ("exp_avg", -1, 1), ("exp_avg_sq", 0.01, 1)]:
            setattr(self, name, random(len(name), low, high, *shape))
            self.start[name] = getattr(self, name).copy()

    def reset(self):
        """What is updated goes back to its start, and outputs to NaN: what is not written is seen."""
        for name in self.written:
            getattr(self, name)[...] = self.start.get(name, np.nan)

    def results(self):
        return {name: getattr(self, name) for name in self.written}

    def __str__(self):
        return name(self.shape)
