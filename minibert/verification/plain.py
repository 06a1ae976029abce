"""Two recordings without a model: where they part, and no more."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.runtime.arrays import Array
from minibert.trace import layer_of, pattern_of
from minibert.verification.cause import FACTOR
from minibert.verification.compare import Difference, Tolerance, per_token, real_places
from minibert.verification.naming import AXES
from minibert.verification.precision import grids
from minibert.verification.report import Diagnosis
from minibert.verification.result import StageResult

Stages = Mapping[str, Array]


class Plain:
    """The stages of two recordings, and the rows that they make."""

    def __init__(self, a: Stages, b: Stages, real: NDArray[np.bool_], tolerance: Tolerance) -> None:
        self.a, self.b, self.real, self.tolerance = a, b, real, tolerance
        self.token_errors: dict[str, Array] = {}

    def diagnosis(self, provenance: dict[str, Any]) -> Diagnosis:
        """Return the report."""
        rows = tuple(self._rows())
        shown = {name: self.b[name][self._places(name, self.b[name])] for name in self.token_errors}
        names = sorted({precision.name for precision in grids(shown).values()})
        precision = " and ".join(names) or "unknown"
        return Diagnosis(rows, precision, FACTOR, provenance, self.tolerance, self.token_errors)

    def _rows(self) -> Iterator[StageResult]:
        order = list(AXES)
        names = [*self.b, *(name for name in self.a if name not in self.b)]
        for name in sorted(names, key=lambda x: _rank(x, order)):
            row = self._of_both(name) if name in self.a and name in self.b else self._of_one(name)
            if row is not None:
                yield row

    def _of_one(self, name: str) -> StageResult | None:
        """Return a row only for what is wrong by itself."""
        side, stage = ("A", self.a[name]) if name in self.a else ("B", self.b[name])
        odd = int((self._places(name, stage) & ~np.isfinite(stage)).sum())
        detail = f"{odd} numbers are NaN or infinite"
        who = f"recording {side}"
        return StageResult(name, "NONFINITE", side=who, detail=detail) if odd else None

    def _of_both(self, name: str) -> StageResult | None:
        a, b = self.a[name], self.b[name]
        if a.shape != b.shape:
            return StageResult(name, "SHAPE", detail=f"{a.shape} and {b.shape}")
        places = self._places(name, b)
        if not places.any():
            return None
        found = Difference.of(a, b, places)
        self.token_errors[name] = per_token(_axes(name, b), found.error, self.real)
        odd = int((places & ~(np.isfinite(a) & np.isfinite(b))).sum())
        outside, count = int((places & ~self.tolerance.allows(a, b)).sum()), int(places.sum())
        if odd:
            status, detail = "NONFINITE", f"{odd} numbers are NaN or infinite"
        elif outside:
            status, detail = "DIFF", f"{outside} of {count} numbers are beyond the tolerance"
        else:
            status, detail = "OK", ""
        return StageResult(name, status, detail=detail, **found.fields())

    def _places(self, name: str, stage: Array) -> NDArray[np.bool_]:
        return np.broadcast_to(real_places(_axes(name, stage), self.real), stage.shape)


def _axes(name: str, stage: Array) -> str:
    """Return the axes by name; of a stage that no model has, by the number of dimensions."""
    known = next((x for x in AXES.get(pattern_of(name), ()) if len(x) == stage.ndim), None)
    return known or {2: "BC", 4: "BHTT"}.get(stage.ndim, "BTC")


def _rank(name: str, order: list[str]) -> tuple[int, int, int]:
    """Return what sorts stages in network order; those that no model has come last."""
    pattern = pattern_of(name)
    place = order.index(pattern) if pattern in order else len(order)
    if pattern.startswith("embeddings"):
        return 0, 0, place
    layer = layer_of(name)
    return (1, layer, place) if layer >= 0 else (2, 0, place)
