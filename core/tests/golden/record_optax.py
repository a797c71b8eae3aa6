#!/usr/bin/env python3
"""Records more of optax: `optax_more.json`, on the parameters and gradients of `optax.json`.

Usage: record_optax.py, with jax and optax installed. First it follows the cases of `optax.json` itself, which must come
out to the bit if the versions are those of that recording, or to some units in the last place.
"""
import json
import os

import jax

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import numpy as np
import optax

HERE = os.path.dirname(os.path.abspath(__file__))
MORE = [
    ("nadam", {"learning_rate": 0.001}),
    ("nadam", {"learning_rate": 0.01, "b1": 0.8, "b2": 0.99, "eps": 1e-6, "eps_root": 1e-8}),
    ("nadamw", {"learning_rate": 0.001, "weight_decay": 0.1}),
    ("adamw", {"learning_rate": 0.001, "b1": 0.5, "nesterov": True}),
    ("amsgrad", {"learning_rate": 0.01, "b1": 0.8, "b2": 0.9}),
    ("rmsprop", {"learning_rate": 0.01, "decay": 0.95, "bias_correction": True}),
    ("rmsprop", {"learning_rate": 0.01, "bias_correction": True, "momentum": 0.8, "nesterov": True}),
]


def trajectory(algorithm, config, params0, grads, dtype):
    """The parameters after each step, as Python's floats, which hold both types."""
    optimizer = getattr(optax, algorithm)(**config)
    params = jnp.asarray(np.array(params0, dtype))
    state = optimizer.init(params)
    said = []
    for grad in grads:
        updates, state = optimizer.update(jnp.asarray(np.array(grad, dtype)), state, params)
        params = optax.apply_updates(params, updates)
        assert params.dtype == dtype
        said.append([float(p) for p in np.asarray(params)])
    return said


def of(case, algorithm, config):
    """A case with the parameters and gradients of another."""
    params = trajectory(algorithm, config, case["params0"], case["grads"], case["dtype"])
    return {**case, "algorithm": algorithm, "config": config, "params": params}


def main():
    with open(os.path.join(HERE, "optax.json")) as file:
        recorded = json.load(file)
    print(f"optax {optax.__version__}; {recorded['source']} recorded optax.json")
    first = {}
    for case in recorded["cases"]:
        first.setdefault(case["dtype"], {k: case[k] for k in ("dtype", "params0", "grads")})
        again = of(case, case["algorithm"], case["config"])["params"]
        off = np.max(np.abs(np.array(again) / np.array(case["params"]) - 1))
        print(f"{case['algorithm']} {case['config']} {case['dtype']}: {off:.1e} from the recording")
        assert off < (1e-5 if case["dtype"] == "float32" else 1e-13)
    cases = [of(case, algorithm, config) for algorithm, config in MORE for case in first.values()]
    with open(os.path.join(HERE, "optax_more.json"), "w") as file:
        json.dump({"source": f"optax {optax.__version__}", "cases": cases}, file)
        file.write("\n")


main()
