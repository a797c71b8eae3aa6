"""What is right: NumPy in float64, and how far f32 may be off.

Bounds are absolute, element by element, from these tolerances (one ulp is 2^-23 of the value):

| tolerance | size | relative to | reason |
| --- | --- | --- | --- |
| SUM    | 2 ulp, and one times the root of the number of terms | the sum of the magnitudes | every order of summation is allowed. One after the other is the worst: a random walk of steps up to half an ulp of a sum that grows, of which this is six standard deviations (a matrix has millions of such sums). The 2 are for products and squares rounded before |
| ONE    | 1 ulp | the value | one product, rounded once to half an ulp |
| STATE  | 4 ulp | the largest value | an average: a product, a difference and a sum; beta rounded to f32 |
| UPDATE | 8 ulp | the largest update | some ten roundings from the averages to the update |
| PARAM  | 2 ulp | the largest parameter | the subtraction, and a learning rate that was rounded |

and, for those that hold beta in f32 (optax and DeepSpeed),

| BETA   | a quarter of an ulp | the gradient, or the second moment | 1 - beta, from half a unit of a number under 1 |
| POWER  | 1 ulp of beta^t, times t/2 + 1 | 1 - beta^t | the power t of that beta |

The error that a gradient brings goes on into what is made from it, by the derivative.
"""

import numpy as np

from cases import BETAS, EPSILON, LR, STEP

ULP = 2.0**-23
ONE, STATE, UPDATE, PARAM, BETA = ULP, 4 * ULP, 8 * ULP, 2 * ULP, ULP / 4


def SUM(terms):
    return ULP * (2 + terms**0.5)


def POWER(beta):
    return ULP * (STEP / 2 + 1) * beta**STEP / (1 - beta**STEP)


class Wrong(Exception):
    pass


def wide(*arrays):
    return [a.astype(np.float64) for a in arrays]


def product(a, b, terms):
    """a @ b, a sum of so many terms, and its bound."""
    return a @ b, SUM(terms) * (abs(a) @ abs(b))


def gradients(case):
    """The rows of dy and x of each example, multiplied: G[b], and its bound."""
    x, dy = wide(case.x, case.dy)
    for b in range(case.batch):
        rows = slice(b * case.steps, (b + 1) * case.steps)
        yield product(dy[rows].T, x[rows], case.steps)


def grad(case):
    x, dy = wide(case.x, case.dy)
    return product(dy.T, x, len(x))


def moments(case):
    if case.steps == 1:
        x, dy = wide(case.x, case.dy)
        return grad(case), product(np.square(dy).T, np.square(x), case.batch)
    grad_sq, carried = 0.0, 0.0
    for g, off in gradients(case):
        grad_sq, carried = grad_sq + g * g, carried + off * (2 * abs(g) + off)
    return grad(case), (grad_sq, carried + SUM(case.batch) * grad_sq)


def adam(case, grad, second, f32_beta):
    """One step from the gradient and the second moment, each with its bound."""
    (g, g_off), (s, s_off) = grad, second
    params, exp_avg, exp_avg_sq = wide(*case.start.values())
    exp_avg += (1 - BETAS[0]) * (g - exp_avg)
    exp_avg_sq += (1 - BETAS[1]) * (s - exp_avg_sq)
    exp_avg_off, exp_avg_sq_off = (1 - BETAS[0]) * g_off, (1 - BETAS[1]) * s_off
    if f32_beta:
        exp_avg_off, exp_avg_sq_off = exp_avg_off + BETA * abs(g), exp_avg_sq_off + BETA * s
    rate, root = LR / (1 - BETAS[0]**STEP), np.sqrt(exp_avg_sq / (1 - BETAS[1]**STEP))
    update = rate * exp_avg / (root + EPSILON)
    # d update = update (d exp_avg / exp_avg - d exp_avg_sq / (2 exp_avg_sq)), epsilon being small.
    update_off = (rate * exp_avg_off / root + abs(update) * exp_avg_sq_off / (2 * exp_avg_sq)
                  + UPDATE * abs(update).max())
    if f32_beta:
        update_off += abs(update) * (POWER(BETAS[0]) + POWER(BETAS[1]) / 2)
    params -= update
    return {
        "params": (params, update_off + PARAM * abs(params).max()),
        "exp_avg": (exp_avg, exp_avg_off + STATE * abs(exp_avg).max()),
        "exp_avg_sq": (exp_avg_sq, exp_avg_sq_off + STATE * exp_avg_sq.max()),
    }


def squared(grad):
    g, off = grad
    return g * g, off * (2 * abs(g) + off) + ONE * g * g


def clipped(case):
    x, dy = wide(case.x, case.dy)
    norms = np.sqrt((dy * dy).sum(1) * (x * x).sum(1))
    dy *= np.minimum(1, case.max_norm / norms)[:, None]
    value, off = product(dy.T, x, case.batch)
    # The factors come from sums of their own.
    return value, off + (SUM(case.outputs) + SUM(case.inputs)) * (abs(dy).T @ abs(x))


def want(case, f32_beta=False):
    """By the name of what is written: the right values and the bounds. `f32_beta`: with BETA and POWER."""
    work = case.work
    if work in ("grad", "clipped grad"):
        return {"grad": grad(case) if work == "grad" else clipped(case)}
    if work.startswith("moments"):
        return dict(zip(["grad", "grad_sq"], moments(case)))
    if work == "step on grad_sq":
        return adam(case, *moments(case), f32_beta)
    if work == "step on grad^2":
        return adam(case, grad(case), squared(grad(case)), f32_beta)
    if work == "adam":
        exact = (case.grad.astype(np.float64), 0.0)
        return adam(case, exact, squared(exact), f32_beta)
    if work == "per-example gradients":
        found = np.empty((2, *case.per_example_grad.shape))
        for b, (g, off) in enumerate(gradients(case)):
            found[:, b] = g, (ONE * abs(g) if case.steps == 1 else off)
        return {"per_example_grad": tuple(found)}
    if work == "reduce":
        rows, = wide(case.rows)
        sum_sq, tolerance = np.square(rows).sum(0), SUM(case.batch)
        return {"sum": (rows.sum(0), tolerance * abs(rows).sum(0)),
                "sum_sq": (sum_sq, tolerance * sum_sq)}
    if work == "forward":
        x, weight = wide(case.x, case.weight)
        return {"y": product(x, weight.T, case.inputs)}
    if work == "input gradient":
        dy, weight = wide(case.dy, case.weight)
        return {"dx": product(dy, weight, case.outputs)}
    raise KeyError(work)


def check(who, got, want):
    """Raises `Wrong` unless all that was asked for is there and within its bounds."""
    for name, (right, off) in want.items():
        value = np.asarray(got[name])
        if value.shape != right.shape or value.dtype != np.float32:
            raise Wrong(f"{who}: {name} is {value.dtype} {value.shape}, not float32 {right.shape}")
        bad = ~(abs(value - right) <= off)  # a NaN is bad, too
        if bad.any():
            at = tuple(int(k) for k in np.argwhere(bad)[0])
            allowed = np.broadcast_to(off, right.shape)[at]
            raise Wrong(f"{who}: {name}{list(at)} is {value[at]}; float64 has {right[at]}, and "
                        f"{allowed:.2g} is allowed; {bad.sum()} of {bad.size} are wrong")


def refuses():
    """That `check` tells right from wrong, before anything rests on it."""
    right = np.array([1.0, -2.0])
    want = {"a": (right, 1e-6)}
    check("right", {"a": right.astype(np.float32)}, want)
    for wrong in ([1, -2.00001], [np.nan, -2], [1, np.inf], [1], [[1, -2]]):
        try:
            check("wrong", {"a": np.array(wrong, np.float32)}, want)
        except Wrong:
            continue
        raise AssertionError(f"{wrong} passes for {right}")
