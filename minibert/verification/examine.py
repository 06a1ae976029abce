"""Each stage of one recording, held against its operation run on the recording's own inputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.runtime.arrays import Array
from minibert.verification.compare import real_places
from minibert.verification.graph import Graph, Pass
from minibert.verification.packing import Value, pack, unpack
from minibert.verification.precision import FLOAT32, FLOAT64, Precision, grids


@dataclass(frozen=True)
class Size:
    """The largest of many numbers, and their root mean square."""

    largest: float
    mean: float

    @classmethod
    def of(cls, numbers: Array) -> "Size":
        """Measure an array; NaN if one of its numbers is NaN."""
        numbers = np.abs(numbers).astype(np.float64, copy=False)
        return cls(float(numbers.max()), float(np.sqrt(np.square(numbers).mean())))

    def plus(self, other: "Size", mine: float, its: float) -> "Size":
        """Return a bound of ``mine * self + its * other``; the means add as squares."""
        mean = np.hypot(mine * self.mean, its * other.mean)
        return Size(mine * self.largest + its * other.largest, float(mean))


@dataclass(frozen=True)
class Measure:
    """What an operation adds to the error of its inputs, and what rounding alone would add."""

    added: Size  # recorded - computed in float64 from the recording's own inputs
    rounding: Size  # computed in float32 - computed in float64
    size: Size  # of the recorded numbers

    def floor(self, precision: Precision) -> Size:
        """Return what rounding does in a precision: within the operation, and to its result."""
        return self.rounding.plus(self.size, precision.scale, precision.half_ulp)

    def excess(self, precision: Precision, added: Size | None = None) -> float:
        """Return how many times above the floor the added error is, largest or mean."""
        floor, added = self.floor(precision), added or self.added
        return max(_ratio(added.largest, floor.largest), _ratio(added.mean, floor.mean))


def _ratio(error: float, floor: float) -> float:
    if error == 0:
        return 0.0
    return error / floor if floor > 0 else float("inf")


class Examination:
    """A recording's stages, each measured against its operation in isolation.

    problems: why a stage cannot be measured, as (status, detail). Such a stage is no input of
    another either: what comes after is computed from further back.
    """

    def __init__(
        self, graph: Graph, stages: Mapping[str, Array], real: NDArray[np.bool_], who: str
    ) -> None:
        self.graph, self.stages, self.real, self.who = graph, stages, real, who
        self.problems: dict[str, tuple[str, str]] = {}
        known: dict[str, Value] = {}
        for name in stages:
            problem = self._problem(name)
            if problem:
                self.problems[name] = problem
            else:
                known[name] = pack(graph.axes[name], graph.batch, stages[name])
        self.exact = Pass(graph, known, np.float64)
        self.single = Pass(graph, known, np.float32)
        with np.errstate(all="ignore"):  # what is recorded may be anything
            self.measures = {
                name: self._measure(name) for name in graph.operations if name in known
            }

    def _problem(self, name: str) -> tuple[str, str] | None:
        if name not in self.graph.operations:
            return "MISSING", "the model has no stage of this name"
        found, expected = self.stages[name].shape, self.graph.shape(name)
        if found != expected:
            return "SHAPE", f"{self.who} has {found}, the model {expected}"
        odd = self.places(name) & ~np.isfinite(self.stages[name])
        if odd.any():
            count, place = int(odd.sum()), np.argwhere(odd)[0].tolist()
            return "NONFINITE", f"{count} numbers are NaN or infinite, the first at {place}"
        return None

    def places(self, name: str) -> NDArray[np.bool_]:
        """Return where a stage holds real tokens, in its own shape."""
        places = real_places(self.graph.axes[name], self.real)
        return np.broadcast_to(places, self.stages[name].shape)

    def real_numbers(self, name: str, value: Value) -> Array:
        """Return the numbers of a computed stage at real tokens."""
        whole = unpack(self.graph.axes[name], self.graph.batch, value)
        return whole[self.places(name)]

    def _measure(self, name: str) -> Measure:
        theirs = self.stages[name][self.places(name)]
        exact = self.real_numbers(name, self.exact.compute(name))
        single = self.real_numbers(name, self.single.compute(name))
        size, rounding = Size.of(theirs), Size.of(single - exact)
        if rounding.largest > 1e-3 * size.largest and not self._rounds(name, exact, rounding):
            rounding = Size(0, 0)
        return Measure(Size.of(theirs - exact), rounding, size)

    def _rounds(self, name: str, found: Array, rounding: Size) -> bool:
        """Tell whether so large a difference can be float32's rounding, or is something else.

        It is not if the operation gives other numbers each time, or if it changes much less when
        its inputs are changed by as much as rounding does.
        """
        again, other = (
            self.real_numbers(name, Pass(self.graph, known, np.float64).compute(name))
            for known in (self.exact.known, _nudged(self.exact.known))
        )
        changed = float(np.abs(other - found).max())
        return np.array_equal(again, found) and rounding.largest <= 1000 * changed

    def error(self, name: str, value: Value) -> Size:
        """Return how far a computed stage is from the recorded one."""
        return Size.of(self.stages[name][self.places(name)] - self.real_numbers(name, value))

    @cached_property
    def precisions(self) -> dict[str, Precision]:
        """The precision of each stage, as its numbers show it.

        Numbers with float64's digits may come from operations in float32. So do these, if hardly
        any stage is nearer to float64 than float32's rounding is.
        """
        found = grids({x: self.stages[x][self.places(x)] for x in self.measures})
        ratios = [
            measure.added.mean / measure.rounding.mean
            for name, measure in self.measures.items()
            if found[name] is FLOAT64 and measure.rounding.mean > 0
        ]
        if ratios and np.quantile(ratios, 0.1) > 2.0**-14:  # halfway from float64 to float32
            found = {name: FLOAT32 if p is FLOAT64 else p for name, p in found.items()}
        return found

    def excess(self, name: str) -> float:
        """Return how many times above its floor a stage's added error is."""
        return self.measures[name].excess(self.precisions[name])

    def agrees_without(self, name: str, stages: set[str], factor: float) -> bool:
        """Tell whether a stage is right if some stages before it are computed, not recorded.

        Then what was recorded of them is not what the recorded run went on with.
        """
        known = {k: v for k, v in self.exact.known.items() if k not in stages}
        with np.errstate(all="ignore"):
            computed = Pass(self.graph, known, np.float64).compute(name)
        added = self.error(name, computed)
        return self.measures[name].excess(self.precisions[name], added) <= factor

    def after(self, name: str) -> str | None:
        """Return the last recorded stage before a gap; None if all inputs are recorded."""
        gap = self.exact.gap(name)
        if not gap:
            return None
        inputs = {x for stage in [name, *gap] for x in self.graph.operations[stage][0]}
        known = [x for x in self.graph.operations if x in inputs and x in self.exact.known]
        return known[-1] if known else "the inputs"

    def ancestors(self, name: str) -> set[str]:
        """Return all stages that lead to one."""
        found: set[str] = set()
        waiting: list[Any] = [name]
        while waiting:
            new = set(self.graph.operations[waiting.pop()][0]) - found
            found |= new
            waiting += new
        return found


def _nudged(known: Mapping[str, Value]) -> dict[str, Value]:
    """Change each number as float32's rounding would."""
    random = np.random.default_rng(0)

    def nudge(x: Array) -> Array:
        changed: Array = x * (1 + random.uniform(-1, 1, x.shape) * FLOAT32.half_ulp)
        return changed

    return {k: [nudge(x) for x in v] if isinstance(v, list) else nudge(v) for k, v in known.items()}
