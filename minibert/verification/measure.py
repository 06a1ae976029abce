"""What an operation adds to the error of its inputs, beside what rounding alone does there."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minibert.batch import Batch
from minibert.runtime.arrays import Array
from minibert.trace import Replacing
from minibert.verification.precision import FLOAT32, Precision


@dataclass(frozen=True)
class Size:
    """The largest of many numbers, and their root mean square."""

    largest: float
    rms: float

    @classmethod
    def of(cls, numbers: Array) -> "Size":
        """Measure an array; NaN if one of its numbers is NaN."""
        sizes = np.abs(numbers).astype(np.float64, copy=False).ravel()
        return cls(float(sizes.max()), math.sqrt(np.vdot(sizes, sizes) / sizes.size))

    def plus(self, other: "Size", mine: float, its: float) -> "Size":
        """Return a bound of ``mine * self + its * other``; root mean squares add as squares."""
        rms = np.hypot(mine * self.rms, its * other.rms)
        return Size(mine * self.largest + its * other.largest, float(rms))


@dataclass(frozen=True)
class Measure:
    """What an operation adds to the error of its inputs, and what rounding alone would add."""

    added: Size  # recorded - computed in float64 from the recording's own inputs
    rounding: Size  # computed in float32 - computed in float64
    size: Size  # of the recorded numbers

    @classmethod
    def of(cls, theirs: Array, exact: Array, single: Array) -> "Measure":
        """Measure what is recorded against what is computed in float64 and in float32."""
        return cls(Size.of(theirs - exact), Size.of(single - exact), Size.of(theirs))

    @classmethod
    def joined(cls, pieces: "list[tuple[int, Measure]]") -> "Measure":
        """Return the measure of a whole stage from those of so many numbers each."""
        counts = np.array([count for count, _ in pieces])

        def join(sizes: list[Size]) -> Size:
            largest = np.array([size.largest for size in sizes]).max()  # NaN stays
            squares = np.square([size.rms for size in sizes]) * counts
            return Size(float(largest), float(np.sqrt(squares.sum() / counts.sum())))

        names = ("added", "rounding", "size")
        return cls(*(join([getattr(measure, name) for _, measure in pieces]) for name in names))

    def floor(self, precision: Precision) -> Size:
        """Return what rounding does in a precision: within the operation, and to its result."""
        return self.rounding.plus(self.size, precision.scale, precision.half_ulp)

    def excess(self, precision: Precision, added: Size | None = None) -> float:
        """Return how many times above the floor the added error is, largest or RMS."""
        floor, added = self.floor(precision), added or self.added
        return max(_ratio(added.largest, floor.largest), _ratio(added.rms, floor.rms))


def _ratio(error: float, floor: float) -> float:
    if error == 0:
        return 0.0
    return error / floor if floor > 0 else float("inf")


class Measuring(Replacing):
    """A pass in float64 that measures each piece of a recorded stage, and keeps figures only."""

    def __init__(self, batch: Batch, known: Mapping[str, Array], single: Replacing) -> None:
        super().__init__(batch, known, only=())
        self.single = {
            (name, _key(place)): piece
            for name, pieces in single.pieces.items()
            for place, _, piece in pieces
        }
        single.pieces.clear()
        self.first_is_real = batch.mask[:, 0]
        self.measures: dict[str, list[tuple[int, Measure]]] = {}

    def __call__(self, name: str, x: Array) -> Array:
        """Measure what was computed, and return what was recorded."""
        theirs = super().__call__(name, x)
        name = self.prefix + name
        if name in self.known:
            place, _ = self.where.place(x, self.group)
            numbers = [theirs, x, self.single.pop((name, _key(place)))]
            if isinstance(place, list):  # a vector for each sequence: of column 0, in a reference
                numbers = [n[self.first_is_real[place]] for n in numbers]
            if numbers[0].size:
                measure = Measure.of(*numbers)
                self.measures.setdefault(name, []).append((numbers[0].size, measure))
        return theirs


def _key(place: Any) -> tuple[Any, ...]:
    parts = place if isinstance(place, tuple) else (place,)
    return tuple(x.tobytes() if isinstance(x, np.ndarray) else str(x) for x in parts)


def nudged(known: Mapping[str, Array], times: float = 1) -> dict[str, Array]:
    """Change each number as float32's rounding would, or so many times as much."""
    random = np.random.default_rng(0)

    def nudge(x: Array) -> Array:
        changed: Array = x * (1 + random.uniform(-times, times, x.shape) * FLOAT32.half_ulp)
        return changed

    return {name: nudge(x) for name, x in known.items()}
