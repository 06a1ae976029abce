"""Arithmetic whose rounding no other run repeats: matrix products in half precision or in 8 bits.

Over a gap, the recorded numbers cannot be computed again. But the errors of such products have a
size and a spread over columns and tokens, at every stage, that hardly anything else has by chance.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from minibert.mistakes.rounded import bfloat16, float16
from minibert.runtime.arrays import Array
from minibert.runtime.swap import OPERATIONS, is_swapping, swap
from minibert.trace import Replacing
from minibert.verification.cause import FACTOR, products, shortened, whole
from minibert.verification.isolate import Isolation
from minibert.verification.parts import is_embeddings, is_layer, part_of
from minibert.verification.precision import BFLOAT16, FLOAT16, TF32, Precision, is_float32

#: How far the logarithms of sizes may be apart: of a stage, and the standard deviation of those of
#: its columns and of its tokens. Measured of 180 runs of such products, on models of 21 and 96
#: columns: at most 0.52, 0.89 and 0.76; of 340 planted faults 1 is as near.
SIZE, COLUMNS, TOKENS = 0.6, 1.05, 0.85
MIDDLE = 0.8  # of the median beside the mean: errors of some numbers alone have none
ENOUGH = 200  # numbers of a stage have a spread
SCALES = (1.0, 1.19, 1.41, 1.68, 1.1, 1.3, 1.55, 1.8)  # before rounding: other errors of one size


@dataclass(frozen=True)
class Noise:
    """What rounds so: in words, and the precision to judge stages by; None: it is a fault."""

    phrase: str
    precision: Precision | None
    products: Callable[[float], dict[str, Callable[..., Any]]]  # takes a scale
    sizes: tuple[float, float] = (-SIZE, SIZE)  # logarithms of a stage's size beside a run's


def _rounded(
    cut: Callable[[Array], Array], result: bool, scale: float
) -> dict[str, Callable[..., Any]]:
    """Return products of rounded numbers, rounded themselves if ``result``."""

    def short(x: Array) -> Array:
        return cut(x * scale) / scale

    return products(short, short if result else whole)


def _in_steps(x: Array, count: int, scale: float) -> Array:
    step = (max(x.max(), 0) - min(x.min(), 0)) / count or 1.0
    whole: Array = (np.rint(x / step + scale) - scale) * step
    return whole


def _in_8_bits(scale: float) -> dict[str, Callable[..., Any]]:
    def linear(x: Array, weight: Array, bias: Array) -> Any:
        steps = _in_steps(x, 127, scale), _in_steps(weight, 254, scale)
        return OPERATIONS["linear"](*steps, bias)

    return {"linear": linear}


def _short(phrase: str, digits: int, cut: Callable[[Array], Array], result: bool) -> Noise:
    by = f"{phrase} (by the size of their errors: what is no larger does not show)"
    return Noise(phrase, Precision(by, 24, digits), partial(_rounded, cut, result))


NOISES = (
    *(  # hardware rounds, or only cuts off
        _short(TF32.name, 11, partial(shortened, digits=11, cut=cut), False)
        for cut in (np.rint, np.trunc)
    ),
    _short("matrix products in float16", FLOAT16.digits, float16, True),
    _short("matrix products in bfloat16", BFLOAT16.digits, bfloat16, True),
    Noise("matrix products in 8 bits (int8)", None, _in_8_bits, (-0.75, 0.3)),
)


def noise_of(side: Isolation) -> Noise | None:
    """Return the arithmetic whose errors the faulty stages of a recording's layers have."""
    if is_swapping():
        return None  # it would hide what a user's function does
    faulty = [x for x in side.measures if side.excess(x) > FACTOR]
    if any(map(is_embeddings, faulty)):
        return None  # there are no products
    faulty = [x for x in faulty if _is_state(side, x)]
    if not any(side.places(name).sum() >= ENOUGH for name in faulty):
        return None
    with np.errstate(all="ignore"):
        exact = _run(side, {})
        # float64 has digits that no such program writes
        is_single = all(is_float32(side.numbers(x, side.stages[x])) for x in faulty)
        noises = [noise for noise in NOISES if is_single or noise.precision is None]
        distances = [_distance(side, noise, exact, faulty) for noise in noises]
    nearest = int(np.argmin(distances))
    return noises[nearest] if np.isfinite(distances[nearest]) else None


def _is_state(side: Isolation, name: str) -> bool:
    """Tell whether a stage is of a layer, or comes of all of them by a norm."""
    return is_layer(name) or name == side.model.last_state


def _run(side: Isolation, swaps: dict[str, Callable[..., Any]]) -> Replacing:
    trace = Replacing(side.batch, side.known)
    with swap(**swaps):
        side.run(trace, np.float64)
    return trace


def _distance(side: Isolation, noise: Noise, exact: Replacing, faulty: list[str]) -> float:
    """Return how far the sizes of errors are from those of a noise; infinite: others differ."""
    distance = 0.0
    first = _run(side, noise.products(SCALES[0]))
    if not all(_is_of_size(side, name, exact, first) for name in faulty):
        return np.inf
    runs = [first, *(_run(side, noise.products(scale)) for scale in SCALES[1:])]
    shown = faulty if noise.precision is None else side.measures
    layers = {part_of(x) for x in shown if _is_state(side, x)}
    for name in (x for x in side.measures if part_of(x) in layers):
        expected = [run[name] - exact[name] for run in runs]
        if name not in faulty:  # such arithmetic would show there, too
            size = side.error(name, side.stages[name] + expected[0])
            if side.excess(name, size) > FACTOR * np.exp(SIZE):
                return np.inf
        else:
            found = side.stages[name] - exact[name]
            distance = max(distance, _apart(side, name, found, expected, noise.sizes))
    return distance


def _is_of_size(side: Isolation, name: str, exact: Replacing, run: Replacing) -> bool:
    """Tell by one run whether others are worth their time."""
    places = side.places(name)
    squares = (np.square(x[name] - exact[name])[places].mean() for x in (side.stages, run))
    return bool(abs(np.log(next(squares) / next(squares))) < 4 * SIZE)


def _apart(
    side: Isolation, name: str, found: Array, expected: list[Array], sizes: tuple[float, float]
) -> float:
    """Return how far sizes of errors are apart; infinite: or their spread over columns, tokens."""
    places = side.places(name)
    squares = np.square(found), np.mean(np.square(expected), axis=0)
    mean, likely = (np.float64(x[places].mean()) for x in squares)
    size = float(np.log(mean / likely)) / 2
    middles = (np.median(np.square(x)[..., places]) for x in (found, np.array(expected)))
    middle = abs(np.log(next(middles) / mean) - np.log(next(middles) / likely))
    if not (sizes[0] < size < sizes[1] and middle < MIDDLE):
        return np.inf
    real = places.all(axis=-1)
    for axis, most in ((0, COLUMNS), (1, TOKENS)):
        own, theirs = (x[real].reshape(-1, x.shape[-1]).mean(axis=axis) for x in squares)
        if len(own) and not np.log(own / theirs).std() < most:
            return np.inf
    return abs(size)
