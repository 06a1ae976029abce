"""Two recordings without a model: where they part, and no more."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from minibert.runtime.arrays import Array
from minibert.trace import layer_of, pattern_of
from minibert.verification.cause import FACTOR
from minibert.verification.compare import Difference, Masks, Tolerance, per_token
from minibert.verification.masked import lowest_left_out
from minibert.verification.names import AXES, axes_in, places
from minibert.verification.parts import WEIGHT
from minibert.verification.precision import grids
from minibert.verification.report import Diagnosis
from minibert.verification.result import StageResult

Stages = Mapping[str, Array]
#: Stages of which the second is not computed from the first, though it comes after it.
BESIDE = {("query", "key"), ("query", "value"), ("key", "value")}
BESIDE |= {("value", "scores"), ("value", "probabilities"), ("logits", "seq_relationship")}


class Plain:
    """The stages of two recordings, and the rows that they make."""

    def __init__(self, a: Stages, b: Stages, masks: Masks, tolerance: Tolerance) -> None:
        self.a, self.b = map(lowest_left_out, (a, b))
        self.masks, self.tolerance = masks, tolerance
        self.token_errors: dict[str, Array] = {}

    def diagnosis(self, provenance: dict[str, Any]) -> Diagnosis:
        """Return the report."""
        rows = list(self._rows())
        shown = {"A": self._precision(self.a), "B": self._precision(self.b)}
        self._sum_up(rows, shown)
        precision = shown["B"]
        if shown["A"] != shown["B"]:
            precision = " and ".join(f"{words} ({side})" for side, words in shown.items())
        return Diagnosis(
            tuple(rows), precision, FACTOR, provenance, self.tolerance, self.token_errors
        )

    def _precision(self, stages: Stages) -> str:
        """Return what the numbers of one side show."""
        shown = {x: stages[x][places(x, stages[x], *self.masks)] for x in self.token_errors}
        names = sorted({precision.name for precision in grids(shown).values()})
        return " and ".join(names) or "unknown"

    def _sum_up(self, rows: list[StageResult], shown: Mapping[str, str]) -> None:
        """Have the first stage that differs say what does after it, and how both sides round."""
        first = next((i for i, row in enumerate(rows) if row.status == "DIFF"), None)
        if first is None:
            return
        later = sum(row.status == "INHERITED" for row in rows[first:])
        found = rows[first].detail
        if shown["A"] != shown["B"]:
            found += "; " + ", ".join(f"recording {x} shows {y}" for x, y in shown.items())
        if later:
            many = f"{later} stages after it differ" if later > 1 else "one stage after it differs"
            found += f"; {many} too, which may follow from it alone"
        rows[first] = replace(rows[first], detail=found)

    def _rows(self) -> Iterator[StageResult]:
        wrong: list[str] = []
        for name in sorted({**self.b, **self.a}, key=_rank):
            row = self._of_both(name) if name in self.a and name in self.b else self._of_one(name)
            if row is None:
                continue
            if row.status in ("DIFF", "NONFINITE") and any(_leads(x, name) for x in wrong):
                row = replace(row, status="INHERITED")
            elif not row.ok:
                wrong.append(name)
            yield row

    def _of_one(self, name: str) -> StageResult | None:
        """Return a row only for what is wrong by itself."""
        side, stage = ("A", self.a[name]) if name in self.a else ("B", self.b[name])
        odd = _not_finite(stage[places(name, stage, *self.masks)])
        return StageResult(name, "NONFINITE", side=f"recording {side}", detail=odd) if odd else None

    def _of_both(self, name: str) -> StageResult | None:
        a, b = self.a[name], self.b[name]
        if a.shape != b.shape:
            return StageResult(name, "SHAPE", detail=f"{a.shape} and {b.shape}")
        real = places(name, b, *self.masks)
        if not real.any():
            return None
        found = Difference.of(a, b, real)
        if not name.startswith(WEIGHT):
            self.token_errors[name] = per_token(axes_in(name, b), found.error, *self.masks)
        outside = int((real & ~self.tolerance.allows(a, b)).sum())
        status, detail = "OK", ""
        if odd := _not_finite(np.where(np.isfinite(a), b, a)[real]):
            status, detail = "NONFINITE", odd
        elif outside:
            status = "DIFF"
            detail = f"{outside} of {int(real.sum())} numbers are beyond the tolerance"
        return StageResult(name, status, detail=detail, **found.fields())


def _leads(first: str, name: str) -> bool:
    """Tell whether a stage is computed from another one before it."""
    if layer_of(first) != layer_of(name):
        return True
    pair = first.rpartition(".")[2], name.rpartition(".")[2]
    return pair not in BESIDE and not (first == "pooler" and name.startswith("predictions"))


def _not_finite(numbers: Array) -> str:
    odd = int((~np.isfinite(numbers)).sum())
    return f"{odd} numbers are NaN or infinite" if odd else ""


def _rank(name: str) -> tuple[int, int, int]:
    """Return what sorts stages in network order; those that no model has come last."""
    pattern, order = pattern_of(name), list(AXES)
    place = order.index(pattern) if pattern in order else len(order)
    if pattern.startswith("embeddings"):
        return 0, 0, place
    layer = layer_of(name)
    return (1, layer, place) if layer >= 0 else (2, 0, place)
