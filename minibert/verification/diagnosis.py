"""What a verification found, as data; terminal.py and page.py show it."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from minibert.runtime.arrays import Array
from minibert.verification.compare import Tolerance


@dataclass(frozen=True)
class StageResult:
    """One stage. Errors are the largest over real tokens; None where there is nothing to measure.

    status: OK; FAULT, its operation adds more than rounding does; INHERITED, its operation is
    fine and its inputs are not; SHAPE, another shape; MISSING, the model has no such stage;
    NONFINITE, NaN or infinity; DIFF, no fault, but beyond the tolerance that was asked for.
    """

    stage: str
    status: str
    accumulated: float | None = None  # |ours - theirs| of the whole run
    added: float | None = None  # by the operation alone, on the recorded inputs
    floor: float | None = None  # what rounding alone adds there
    excess: float | None = None  # added over floor, of the largest error or of the mean square
    worst: tuple[int, ...] | None = None  # where ``accumulated`` is
    ours: float | None = None  # there
    theirs: float | None = None  # there
    cause: str | None = None  # a sentence, for a FAULT
    after: str | None = None  # the last recorded stage before it, where stages between are not
    side: str | None = None  # whose recording does not follow the operation
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether the stage agrees."""
        return self.status == "OK"

    @property
    def is_fault(self) -> bool:
        """Whether something is wrong here, not before."""
        return self.status not in ("OK", "INHERITED")


@dataclass(frozen=True)
class Diagnosis:
    """The stages in network order, and where both sides are from.

    precision: what the second side's numbers show, "float64" or "bfloat16 and float32".
    factor: a FAULT adds more than so many times its floor. token_errors: for each stage the
    largest accumulated error of each token, (B, T), NaN at padding.
    """

    rows: tuple[StageResult, ...]
    precision: str
    factor: float
    provenance: dict[str, Any]
    tolerance: Tolerance | None = None
    token_errors: dict[str, Array] = field(default_factory=dict, repr=False, compare=False)

    @property
    def faults(self) -> tuple[StageResult, ...]:
        """All faulty stages, in network order."""
        return tuple(row for row in self.rows if row.is_fault)

    @property
    def first_failure(self) -> StageResult | None:
        """The first faulty stage."""
        return next(iter(self.faults), None)

    @property
    def ok(self) -> bool:
        """Whether every stage agrees, and there is one."""
        return bool(self.rows) and all(row.ok for row in self.rows)

    @property
    def verdict(self) -> str:
        """One line: all is well, or the first faulty stage and its likely cause."""
        if not self.rows:
            return "FAULT: there is no stage to compare"
        first = self.first_failure
        if first is None:
            return f"OK: all {len(self.rows)} stages agree, to the rounding of {self.precision}"
        more = f" ({len(self.faults)} faulty stages)" if len(self.faults) > 1 else ""
        return f"{first.status}: {_explained(first)}{more}"

    def to_dict(self) -> dict[str, Any]:
        """Return the same as data, for JSON; NaN and infinities are text.

        {"ok": bool, "verdict": str, "faults": [names of stages], "first_failure": str or null,
        "precision": str, "factor": number, "tolerance": null or {"atol", "rtol"},
        "provenance": {...}, "stages": [{"stage", "status", "accumulated", "added", "floor",
        "excess", "worst", "ours", "theirs", "cause", "after", "side", "detail"}]}: the fields of
        a StageResult, null where there is nothing to tell.
        """
        return {
            "ok": self.ok,
            "verdict": self.verdict,
            "faults": [row.stage for row in self.faults],
            "first_failure": self.first_failure.stage if self.first_failure else None,
            "precision": self.precision,
            "factor": self.factor,
            "tolerance": asdict(self.tolerance) if self.tolerance else None,
            "provenance": self.provenance,
            "stages": [_plain(asdict(row)) for row in self.rows],
        }

    def __str__(self) -> str:
        from minibert.verification.terminal import table

        return table(self)

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from minibert.verification.page import fragment

        return fragment(self)


def _explained(row: StageResult) -> str:
    """Say what is wrong with a stage, and what is probably the cause."""
    after = f", somewhere after {row.after}" if row.after else ""
    if row.status != "FAULT":
        return f"{row.stage}{after}: {row.detail}"
    if row.cause is None:
        return f"{row.stage}{after}: {row.detail}; no known variation explains it"
    return row.cause if row.cause.startswith(f"{row.stage}:") else f"{row.stage}: {row.cause}"


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Write NaN and infinities as text: JSON has no number for them."""
    odd = {k: str(v) for k, v in row.items() if isinstance(v, float) and not math.isfinite(v)}
    return {**row, **odd}
