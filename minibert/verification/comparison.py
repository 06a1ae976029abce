"""The stages of two sides, judged one by one: what is a fault, what follows from one, and why."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from minibert.runtime.arrays import Array
from minibert.runtime.progress import progress
from minibert.verification.cause import FACTOR, likely_cause, short_products
from minibert.verification.compare import Difference, Tolerance, per_token, real_places
from minibert.verification.isolate import Isolation
from minibert.verification.noise import Noise, noise_of
from minibert.verification.parts import is_gradient, is_layer, part_of
from minibert.verification.precision import FLOAT32, FLOAT64, in_words
from minibert.verification.report import Diagnosis
from minibert.verification.result import StageResult, of_both
from minibert.verification.whole import seen_together

SEVERAL = 3  # layers whose errors are all of a size are no chance


def _layers(side: Isolation) -> int:
    """Return how many layers have stages of their own."""
    return len(set(map(part_of, filter(is_layer, side.measures))))


def _proof(side: Isolation, stage: str) -> str:
    inner = next(filter(is_layer, side.gap(stage)), "the stages inside")
    return f"Recording {inner} would tell"


class Comparison:
    """The stages of two sides, and the rows that they make."""

    def __init__(
        self,
        ours: dict[str, Array],
        theirs: Isolation,
        mine: Isolation | None,
        tolerance: Tolerance | None,
    ) -> None:
        self.ours, self.theirs, self.tolerance = ours, theirs, tolerance
        self.sides = [theirs] if mine is None else [theirs, mine]  # examined by themselves
        self.bad: set[str] = set()  # stages that are wrong by themselves
        self.noises: dict[str, Noise | None] = {}  # by side
        self.coarsest = FLOAT64  # precision of a stage so far
        self.token_errors: dict[str, Array] = {}

    def diagnosis(self, provenance: dict[str, Any]) -> Diagnosis:
        """Return the report."""
        rows = tuple(self._rows())
        for side in self.sides:
            rows = seen_together(rows, side)
        shown = [item for side in self.sides for item in side.precisions.items()]
        precision = in_words(shown)
        return Diagnosis(rows, precision, FACTOR, provenance, self.tolerance, self.token_errors)

    def _rows(self) -> Iterator[StageResult]:
        there = dict.fromkeys(name for side in self.sides for name in side.stages)
        axes = self.theirs.axes
        names = [*(x for x in axes if x in there), *(x for x in there if x not in axes)]
        for i, name in enumerate(names, 1):
            progress(f"stage {i} of {len(names)}, {name}")
            if any(name in side.measures or name in side.problems for side in self.sides):
                row = self._row(name)
                if row.is_fault:
                    self.bad.add(name)
                yield row

    def _row(self, name: str) -> StageResult:
        difference = self._difference(name)
        for side in self.sides:
            if name in side.problems:
                return self._problem(name, side, difference)
        row = StageResult(name, "OK", **difference)
        for side in self.sides:
            if name in side.measures:
                row = self._judged(row, side)
        if row.status == "OK":
            row = self._accumulated(row)
        return self._tolerated(row)

    def _difference(self, name: str) -> dict[str, Any]:
        ours, theirs = self.ours.get(name), self.theirs.stages.get(name)
        if ours is None or theirs is None or ours.shape != theirs.shape:
            return {}
        axes, masks = self.theirs.axes.get(name, "BTC"), self.theirs.masks
        places = np.broadcast_to(real_places(axes, *masks), theirs.shape)
        if not places.any():
            return {}
        found = Difference.of(ours, theirs, places)
        if "B" in axes:  # the gradient of a weight is no token's
            self.token_errors[name] = per_token(axes, found.error, *masks)
        return found.fields()

    def _problem(self, name: str, side: Isolation, difference: dict[str, Any]) -> StageResult:
        status, detail = side.problems[name]
        before = {x for x in self.bad if side.problems.get(x, ("",))[0] == "NONFINITE"}
        if status == "NONFINITE" and before:
            status, detail = "INHERITED", f"{detail}, as in a stage before"
        return StageResult(name, status, side=side.who, detail=detail, **difference)

    def _judged(self, row: StageResult, side: Isolation) -> StageResult:
        """Fill in what the operation adds on one side, and whether that is a fault."""
        name = row.stage
        self._recognise(name, side)
        measure, precision = side.measures[name], side.precisions[name]
        self.coarsest = max(self.coarsest, precision, key=lambda form: form.scale)
        added, excess = measure.added.largest, side.excess(name)
        figures: dict[str, Any] = {
            "added": added,
            "floor": measure.floor(precision).largest,
            "excess": excess,
        }
        if row.added is None:
            row = replace(row, **figures)
        if excess <= FACTOR:
            return row
        wrong = self.bad & set(side.before(name)) & side.known.keys()
        if wrong and side.agrees_without(name, wrong, FACTOR):
            return row
        cause, after = likely_cause(side, name), side.after(name)
        if cause is None and (noise := self._noise(side)):
            cause = f"{side.who} differs by as much as {noise.phrase} do"
            if side.precisions[name] is noise.precision and side.excess(name) <= FACTOR:
                return self._judged(replace(row, added=None), side)
            if noise.precision:
                row = replace(row, **figures, status="UNPROVEN", after=after, side=side.who)
                return replace(row, detail=f"{cause}; a fault may do so, too. {_proof(side, name)}")
            if side.gap(name):  # other mistakes may lead as far
                row, cause = replace(row, remains=cause), None
        wrong_row = replace(row, **figures, status="FAULT", cause=cause, after=after, side=side.who)
        return of_both(row, wrong_row) if row.status == "FAULT" else wrong_row

    def _noise(self, side: Isolation) -> Noise | None:
        """Return the arithmetic whose errors a side has; its stages are judged by that."""
        if side.who not in self.noises:
            self.noises[side.who] = noise = noise_of(side)
            faulty = [x for x in side.measures if side.excess(x) > FACTOR]
            if noise and noise.precision and self._is_shown(noise, side):
                side.precisions.update(dict.fromkeys(faulty, noise.precision))
        return self.noises[side.who]

    def _is_shown(self, noise: Noise, side: Isolation) -> bool:
        """Tell whether a stage proves an arithmetic, or enough of them have such errors."""
        for name in side.measures:
            self._recognise(name, side)
        digits = {p.arithmetic or p.digits for p in side.precisions.values()}
        assert noise.precision
        return noise.precision.arithmetic in digits or _layers(side) >= SEVERAL

    def _recognise(self, name: str, side: Isolation) -> None:
        """See whether a stage is beyond its floor for short matrix products only."""
        own = side.precisions[name]
        if is_gradient(name):  # whose products nobody shortens
            return
        if own in (FLOAT32, FLOAT64) and side.excess(name) > FACTOR and not side.gap(name):
            with np.errstate(all="ignore"):
                side.precisions[name] = short_products(side, name) or own

    def _accumulated(self, row: StageResult) -> StageResult:
        """See whether both sides follow their operations, and differ by more than rounding."""
        if row.accumulated is None:
            return replace(row, status="INHERITED") if self._is_spoiled(row.stage) else row
        if not self._is_far(row):
            return row
        if self.bad:
            return replace(row, status="INHERITED")
        apart = (
            f"they are {row.accumulated:.1e} apart, more than rounding from the inputs on explains"
        )
        return replace(row, status="FAULT", detail=f"each side follows its operations, and {apart}")

    def _is_spoiled(self, name: str) -> bool:
        """Tell whether the only side that has a stage has a wrong one before it."""
        (side,) = (side for side in self.sides if name in side.stages)
        return bool(self.bad & side.stages.keys())

    def _is_far(self, row: StageResult) -> bool:
        """Tell whether rounding, all the way from the inputs, cannot explain a difference."""
        assert row.accumulated is not None
        name, theirs = row.stage, self.theirs
        measure = theirs.measures[name]
        own = FLOAT32 if self.ours[name].dtype == np.float32 else FLOAT64
        coarsest = max(self.coarsest, own, key=lambda precision: precision.scale)
        if row.accumulated <= FACTOR * measure.floor(coarsest).largest:
            return False
        whole_way = replace(measure, rounding=theirs.rounding_from_inputs(name))
        return not row.accumulated <= FACTOR * whole_way.floor(coarsest).largest

    def _tolerated(self, row: StageResult) -> StageResult:
        ours, theirs = self.ours.get(row.stage), self.theirs.stages.get(row.stage)
        if self.tolerance is None or not row.ok or ours is None or theirs is None:
            return row
        places = self.theirs.places(row.stage)
        outside, count = int((~self.tolerance.allows(ours, theirs) & places).sum()), places.sum()
        detail = f"{outside} of {count} numbers are beyond the tolerance"
        return replace(row, status="DIFF", detail=detail) if outside else row
