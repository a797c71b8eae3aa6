"""Checkpoints from and for Python, by its `safetensors`, which must be installed, and numpy.

    interop.py write FILE    what `python.safetensors` beside this script is; Rust reads it
    interop.py check FILE    checks what Rust wrote by the same rule

The rule: element k of a tensor is (k - 2) / 4, in all of them.
"""

import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file


def ramp(dtype, *shape):
    return ((np.arange(np.prod(shape, dtype=int)) - 2) / 4).astype(dtype).reshape(shape)


def tensors():
    """A layer and its Adam in f32 as PyTorch has them, and one tensor's momentum in f64."""
    found = {"layer1.weight": ramp("f4", 2, 3), "layer1.bias": ramp("f4", 2)}
    for part, shape in [("weight", (2, 3)), ("bias", (2,))]:
        at = f"optimizer.layer1.{part}."
        found[at + "step"] = np.array(7, "f4")  # PyTorch counts in float32
        found[at + "exp_avg"] = ramp("f4", *shape)
        found[at + "exp_avg_sq"] = ramp("f4", *shape)
    found["t"] = ramp("f8", 2, 1, 2)
    found["optimizer.t.step"] = np.array(9, "u8")
    found["optimizer.t.momentum_buffer"] = ramp("f8", 2, 1, 2)
    return found


METADATA = {
    "epoch": "3 \u00e9",
    "optimizer.t.kind": "momentum",
    "optimizer.t.lr": repr(1 / 3),
    "optimizer.t.alpha": "0.125",
    "optimizer.t.form": "sum",
    "optimizer.t.warm_up": "none",
    "optimizer.t.nesterov": "false",
    "optimizer.t.dampening": "0.5",
    "optimizer.t.lr_placement": "outside",
    "optimizer.t.decay": "coupled 0.01",
    "optimizer.t.maximize": "false",
    "optimizer.t.non_finite": "refuse",
}


def check(path):
    found = load_file(path)
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    want = tensors()
    assert found.keys() == want.keys(), found.keys() ^ want.keys()
    for name, tensor in want.items():
        # Rust counts all steps in 64 bits.
        dtype = np.dtype("u8") if name.endswith(".step") else tensor.dtype
        assert found[name].dtype == dtype, (name, found[name].dtype)
        assert found[name].shape == tensor.shape, (name, found[name].shape)
        assert (found[name] == tensor).all(), (name, found[name])
    for name, text in METADATA.items():
        assert metadata[name] == text, (name, metadata.get(name))
    assert float(metadata["optimizer.t.lr"]) == 1 / 3
    print(f"{path}: {len(found)} tensors and {len(metadata)} texts are as they must be")


if sys.argv[1] == "write":
    save_file(tensors(), sys.argv[2], METADATA)
else:
    check(sys.argv[2])
