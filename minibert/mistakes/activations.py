"""What is computed in place of an activation: a phrase that says it, and a function."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minibert import functions as f
from minibert.mistakes.functions import Mistake

GELU: tuple[Mistake, ...] = (
    ("gelu_new (tanh)", f.gelu_new),
    ("gelu_fast (tanh, constants cut short)", f.gelu_fast),
    ("quick_gelu (sigmoid)", f.quick_gelu),
    ("relu", f.relu),
    ("silu", f.silu),
    ("tanh", f.tanh),
    ("no activation", f.identity),
    ("gelu without the 1/sqrt(2) in the integral", lambda x: 0.5 * x * (1 + f.erf(x))),
    ("gelu with x scaled the wrong way", lambda x: x * (1 + f.erf(x * 2**0.5)) / 2),
    ("gelu with x halved in the integral", lambda x: 0.5 * x * (1 + f.erf(x / 2))),
    ("gelu without the constant in the bracket", lambda x: 0.5 * x * f.erf(x * 0.5**0.5)),
    ("gelu not multiplied by x", lambda x: 0.5 * (1 + f.erf(x * 0.5**0.5))),
    ("gelu without the factor before the bracket", lambda x: x * (1 + f.erf(x * 0.5**0.5))),
    ("gelu with the wrong sign in the bracket", lambda x: 0.5 * x * (1 - f.erf(x * 0.5**0.5))),
)


def _cut(low: float, high: float) -> Callable[[Any], Any]:
    """Return a gelu that is 0 below one number, and x above another."""
    return lambda x: np.where(x < low, 0, np.where(x > high, x, f.gelu(x)))


_RARE = dict.fromkeys(g for g in f.ACTIVATIONS.values() if g not in {f.gelu, *dict(GELU).values()})
#: What is computed in place of an activation; of all of them, but for gelu's own variants.
ACTIVATIONS: tuple[Mistake, ...] = (
    ("gelu (erf)", f.gelu),
    *GELU[:8],
    *((g.__name__, g) for g in _RARE),
    *((f"gelu with its tail cut off: 0 below -{n}", _cut(-n, math.inf)) for n in (1, 2, 3, 4)),
    *(
        (f"gelu with its tails cut off: 0 below -{n}, x above {n}", _cut(-n, n))
        for n in (1, 2, 3, 4)
    ),
)
