"""Arithmetic whose rounding no other run repeats: matrix products in half precision or in 8 bits.

Over a gap, the recorded numbers cannot be computed again. But the errors of such products have a
size and a spread over the columns, at every stage, that nothing else has by chance.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minibert.mistakes.rounded import bfloat16, float16
from minibert.runtime.arrays import Array
from minibert.runtime.swap import OPERATIONS, replacement_for, swap
from minibert.trace import Replacing, layer_of
from minibert.verification.cause import FACTOR, PRODUCTS
from minibert.verification.isolate import Isolation
from minibert.verification.precision import BFLOAT16, FLOAT16, Precision

NEAR, NEAR_COLUMN = 3.0, 4.0  # how far sizes of errors may be apart: of a stage, of a column
ENOUGH = 0.9  # of the columns must be near


@dataclass(frozen=True)
class Noise:
    """What rounds so: in words, and the precision to judge stages by; None: it is a fault."""

    phrase: str
    precision: Precision | None
    swaps: dict[str, Callable[..., Any]]


def _rounded(cut: Callable[[Array], Array]) -> dict[str, Callable[..., Any]]:
    def of(name: str) -> Callable[..., Any]:
        return lambda *arrays: cut(OPERATIONS[name](*map(cut, arrays)))

    return {name: of(name) for name in PRODUCTS}


def _in_steps(x: Array, count: int) -> Array:
    step = (max(x.max(), 0) - min(x.min(), 0)) / count or 1.0
    whole: Array = np.rint(x / step) * step
    return whole


def _in_8_bits(x: Array, weight: Array, bias: Array) -> Any:
    return OPERATIONS["linear"](_in_steps(x, 127), _in_steps(weight, 254), bias)


def _half(form: Precision, cut: Callable[[Array], Array]) -> Noise:
    phrase = f"matrix products in {form.name}"
    return Noise(phrase, Precision(phrase, 24, form.digits), _rounded(cut))


NOISES = (
    _half(FLOAT16, float16),
    _half(BFLOAT16, bfloat16),
    Noise("matrix products in 8 bits (int8)", None, {"linear": _in_8_bits}),
)


def noise_of(side: Isolation) -> Noise | None:
    """Return the arithmetic whose errors a recording has at faulty stages of several layers."""
    if any(replacement_for(name) for name in PRODUCTS):
        return None
    faulty = [x for x in side.measures if layer_of(x) >= 0 and side.excess(x) > FACTOR]
    if len({*map(layer_of, faulty)}) < 2:
        return None  # a single size may be anything's
    with np.errstate(all="ignore"):
        exact = _run(side, {})
        return next((noise for noise in NOISES if _fits(side, noise, exact, faulty)), None)


def _run(side: Isolation, swaps: dict[str, Callable[..., Any]]) -> Replacing:
    trace = Replacing(side.batch, side.known)
    with swap(**swaps):
        side.run(trace, np.float64)
    return trace


def _fits(side: Isolation, noise: Noise, exact: Replacing, faulty: list[str]) -> bool:
    made = _run(side, noise.swaps)
    for name in (x for x in side.measures if layer_of(x) >= 0):
        expected = made[name] - exact[name]
        if name not in faulty:  # such arithmetic would show there, too
            if side.excess(name, side.error(name, side.stages[name] + expected)) > FACTOR * NEAR:
                return False
        elif not _alike(side, name, side.stages[name] - exact[name], expected):
            return False
    return True


def _alike(side: Isolation, name: str, found: Array, expected: Array) -> bool:
    """Tell whether errors have one size, and one spread over the columns."""
    places = side.places(name)
    whole = [float(np.sqrt(np.mean(np.square(x[places])))) for x in (found, expected)]
    if not whole[1] / NEAR <= whole[0] <= whole[1] * NEAR:
        return False
    rows = places.all(axis=-1)
    ratio = np.square(found[rows]).mean(axis=0) / np.square(expected[rows]).mean(axis=0)
    near = (ratio < NEAR_COLUMN**2) & (ratio > NEAR_COLUMN**-2)
    return len(ratio) == 0 or float(near.mean()) >= ENOUGH
