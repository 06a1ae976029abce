"""What goes wrong most often in each operation: the mistake in a sentence, and as a function.

Each says what is wrong and not what would be right. A function that computes what a mistake
computes has made it.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minibert import functions as f
from minibert.runtime.swap import OPERATIONS

Mistake = tuple[str, Callable[..., Any]]


def mistakes(operation: str) -> list[Mistake]:
    """Return the mistakes that are known of an operation, its own before those of all."""
    from minibert.grading.mistakes_of_stages import OF_STAGES

    own = {"layer_norm": LAYER_NORM, "softmax": SOFTMAX, "gelu": GELU, **OF_STAGES}
    return [*own.get(operation, ()), *_common(operation)]


def _common(operation: str) -> list[Mistake]:
    ours = OPERATIONS[operation]
    return [
        ("it returns its input unchanged", lambda x, *_: x),
        ("it returns zeros", lambda *args: np.zeros_like(ours(*args))),
        ("its sign is wrong", lambda *args: -ours(*args)),
        ("it adds its input to the result", lambda x, *args: x + ours(x, *args)),
        ("rows and columns of the result are exchanged", lambda *a: ours(*a).swapaxes(-1, -2)),
        ("all of the result is too small, by one factor", lambda *args: ours(*args) / 2),
        ("all of the result is too large, by one factor", lambda *args: 2 * ours(*args)),
    ]


def norm(
    x: Any,
    weight: Any,
    bias: Any,
    eps: float,
    *,
    axis: int | None = -1,
    ddof: int = 0,
    mean: bool = True,
    root: Callable[[Any, float], Any] = lambda variance, eps: np.sqrt(variance + eps),
) -> Any:
    """Normalise with one thing or another done in a different way."""
    middle = x.mean(axis=axis, keepdims=True)
    variance = x.var(axis=axis, ddof=ddof, keepdims=True)
    return (x - middle * mean) / root(variance, eps) * weight + bias


def _rms(x: Any, weight: Any, bias: Any, eps: float) -> Any:
    return x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + eps) * weight + bias


LAYER_NORM: list[Mistake] = [
    ("the variance is divided by n - 1", lambda *a: norm(*a, ddof=1)),
    ("eps is not used", lambda *a: norm(*a, root=lambda v, _: np.sqrt(v))),
    ("a fixed number is used in place of eps", lambda x, w, b, e: norm(x, w, b, 1e-5)),
    ("a fixed number is used in place of eps", lambda x, w, b, e: norm(x, w, b, 1e-3)),
    ("eps is added after the root is taken", lambda *a: norm(*a, root=lambda v, e: v**0.5 + e)),
    ("it divides by the variance", lambda *a: norm(*a, root=lambda v, e: v + e)),
    ("eps is squared", lambda x, w, b, e: norm(x, w, b, e**2)),
    ("nothing is divided by the spread", lambda *a: norm(*a, root=lambda v, e: 1)),
    ("the mean is not taken off", lambda *a: norm(*a, mean=False)),
    ("the mean is taken off neither the numbers nor the squares, as in RMSNorm", _rms),
    ("it normalises columns: the mean is taken over the wrong axis", lambda *a: norm(*a, axis=0)),
    ("one mean and one variance serve all rows", lambda *a: norm(*a, axis=None)),
    ("weight and bias are not used", lambda x, w, b, e: norm(x, 1, 0, e)),
    ("weight is not used", lambda x, w, b, e: norm(x, 1, b, e)),
    ("bias is not used", lambda x, w, b, e: norm(x, w, 0, e)),
    ("bias is subtracted", lambda x, w, b, e: norm(x, w, -b, e)),
    ("weight and bias are exchanged", lambda x, w, b, e: norm(x, b, w, e)),
    ("bias is added before weight multiplies", lambda x, w, b, e: norm(x, w, b * w, e)),
    ("1 is added to weight", lambda x, w, b, e: norm(x, w + 1, b, e)),
]


def powers_over_sum(x: Any, axis: Any = -1, top: Any = 0.0) -> Any:
    """Return softmax over any axis, with anything taken off first."""
    powers = np.exp(x - top)
    return powers / powers.sum(axis=axis, keepdims=True)


SOFTMAX: list[Mistake] = [
    (
        "it sums over all numbers at once",
        lambda x: powers_over_sum(x, None, x.max()),
    ),
    ("it sums over the wrong axis, the queries", lambda x: powers_over_sum(x, -2, x.max())),
    ("it sums over the wrong axis, the first", lambda x: powers_over_sum(x, 0, x.max())),
    ("exp overflows: the numbers go into it as large as they come", powers_over_sum),
    (
        "one maximum is taken off all rows, and some vanish",
        lambda x: powers_over_sum(x, -1, x.max()),
    ),
    ("the result is not divided by its sum", lambda x: np.exp(x - x.max(-1, keepdims=True))),
    ("the result is not divided by its sum", np.exp),
    ("it returns logarithms of probabilities", lambda x: np.log(f.softmax(x))),
    ("the base of the powers is 2", lambda x: f.softmax(x * math.log(2))),
    ("there is no exp: the numbers are divided by their sum", lambda x: x / x.sum(-1)[..., None]),
    ("each number is treated alone, by a sigmoid", f.sigmoid),
    ("the signs of the numbers are turned", lambda x: f.softmax(-x)),
    ("all goes to the largest number", lambda x: (x == x.max(-1, keepdims=True)) * 1.0),
]

GELU: list[Mistake] = [
    ("it is an approximation, by tanh", f.gelu_new),
    ("it is an approximation, by a sigmoid", f.quick_gelu),
    ("it is x times the sigmoid of x (SiLU), another function", f.silu),
    ("it is ReLU, another function", f.relu),
    ("x is not scaled before the integral is taken", lambda x: 0.5 * x * (1 + f.erf(x))),
    ("x is scaled the wrong way before the integral", lambda x: x * (1 + f.erf(x * 2**0.5)) / 2),
    ("x is halved before the integral is taken", lambda x: 0.5 * x * (1 + f.erf(x / 2))),
    ("the constant in the bracket is missing", lambda x: 0.5 * x * f.erf(x * 0.5**0.5)),
    ("the result is not multiplied by x", lambda x: 0.5 * (1 + f.erf(x * 0.5**0.5))),
    ("the factor before the bracket is missing", lambda x: x * (1 + f.erf(x * 0.5**0.5))),
    ("the sign within the bracket is wrong", lambda x: 0.5 * x * (1 - f.erf(x * 0.5**0.5))),
]
