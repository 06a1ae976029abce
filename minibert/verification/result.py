"""What a verification found, as data. table.py, plot.py and page.py show it."""

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from minibert.runtime.arrays import Array
from minibert.runtime.spelling import Spelled
from minibert.verification.compare import Tolerance

#: What stands for inputs that nobody gave.
TAKEN = {"attention_mask": "all ones", "token_type_ids": "all 0"}


@dataclass(frozen=True)
class StageResult(Spelled):
    """One stage. Errors are the largest over real tokens; None where there is nothing to measure.

    status: OK; FAULT, its operation adds more than rounding does; INHERITED, its operation is
    fine and its inputs are not, or without a model, it may follow from a stage before; UNPROVEN,
    as far off as matrix products of few digits lead, or a fault; SHAPE, another shape; MISSING, the
    model has no such stage; NONFINITE, NaN or infinity; DIFF, no fault, but beyond the tolerance
    that was asked for.
    """

    stage: str
    status: str
    accumulated: float | None = None  # |ours - theirs|, from the inputs up to this stage
    added: float | None = None  # by the operation alone, on the recorded inputs
    floor: float | None = None  # what rounding alone adds there
    excess: float | None = None  # added over floor, of the largest error or of the mean square
    worst: tuple[int, ...] | None = None  # the place of ``accumulated``
    ours: float | None = None  # the number at that place
    theirs: float | None = None
    cause: str | None = None  # a sentence, for a FAULT
    remains: str | None = None  # what it may still be, without a cause
    after: str | None = None  # the last recorded stage before it, if some in between are not
    side: str | None = None  # whose recording does not follow the operation
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether the stage agrees."""
        return self.status == "OK"

    @property
    def is_fault(self) -> bool:
        """Whether something is wrong here, not before."""
        return self.status not in ("OK", "INHERITED", "UNPROVEN")

    @property
    def finding(self) -> str:
        """What was found, in words: the detail, or else what a FAULT adds. May be empty."""
        if self.detail or self.status != "FAULT" or self.added is None:
            return self.detail
        adds = f"{self.side or 'this stage'} adds {number(self.added)}"
        if self.excess is None or math.isnan(self.excess):
            return adds
        over = times(self.excess) if self.excess < MANY else "more than a million"
        return f"{adds}, {over} times the floor"


@dataclass(frozen=True)
class Result(Spelled):
    """The stages in network order, and where both sides are from.

    precision: what the second side's numbers show, such as "float64" or "bfloat16 and float32".
    factor: a stage is a FAULT if it adds more than this many times its floor. token_errors: for
    each stage the largest accumulated error of each token, (B, T), NaN at padding.
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
        """Whether every stage agrees, and there is at least one."""
        return bool(self.rows) and all(row.ok for row in self.rows)

    @property
    def verdict(self) -> str:
        """One line that begins with OK exactly if ``ok``, or names the first stage at fault."""
        if not self.rows:
            return "FAULT: there is no stage to compare"
        wrong = self.faults or tuple(row for row in self.rows if not row.ok)
        if not wrong:
            count = len(self.rows)
            agree = f"all {count} stages agree" if count > 1 else "the one stage agrees"
            return f"OK: {agree}, to the rounding of {self.precision}"
        more = f" ({len(wrong)} {'faulty' if self.faults else 'such'} stages)" if wrong[1:] else ""
        hint = f"; {self.lacking}" if self.lacking and self.is_unexplained else ""
        return f"{wrong[0].status}: {_explained(wrong[0])}{more}{hint}"

    @property
    def is_unexplained(self) -> bool:
        """Whether the first faulty stage is known without its cause."""
        first = self.first_failure
        return first is not None and first.status == "FAULT" and first.cause is None

    @property
    def recordings(self) -> dict[str, dict[str, str]]:
        """The provenance of what was recorded, by what it is called in sentences."""
        pair = {f"recording {x.upper()}": self.provenance[x] for x in "ab" if x in self.provenance}
        return pair or {"the recording": self.provenance.get("reference") or {}}

    @property
    def lacking(self) -> str:
        """Which inputs the recordings lack, and what was taken for them, in words; or nothing."""
        lists = {
            who: facts.get("lacking", "").split(", ") for who, facts in self.recordings.items()
        }
        said = {
            who: "; ".join(f"no {x}: taken as {y}" for x, y in TAKEN.items() if x in names)
            for who, names in lists.items()
        }
        if len(said) > 1 and len({*said.values()}) == 1:
            said = {"each recording": said["recording A"]}
        return "; ".join(f"{who} holds {words}" for who, words in said.items() if words)

    def to_dict(self) -> dict[str, Any]:
        """Return the same as data, for JSON; NaN and infinities are text.

        {"ok": bool, "verdict": str, "faults": [names of stages], "first_failure": str or null,
        "precision": str, "factor": number, "tolerance": null or {"atol", "rtol"},
        "provenance": {...}, "stages": [...]}. A stage has the fields of a StageResult, null where
        there is nothing to tell; its "detail" is the finding.
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
            "stages": [_plain(asdict(row) | {"detail": row.finding}) for row in self.rows],
        }


def _explained(row: StageResult) -> str:
    """Say what is wrong with a stage, and the likely cause."""
    place = f"{row.stage}, somewhere after {row.after}" if row.after else row.stage
    if row.status == "INHERITED":
        found = row.finding or "its inputs are off"
        return f"{place}: {found}; the fault lies before it, in a stage that was not compared"
    if row.status != "FAULT":
        return f"{place}: {row.finding}"
    if row.cause is None:
        remains = f"; {row.remains}" if row.remains else ""
        return f"{place}: {row.finding}; no known variation explains it{remains}"
    return f"{row.stage}: {row.cause.removeprefix(f'{row.stage}: ')}"


def of_both(row: StageResult, other: StageResult) -> StageResult:
    """Return one row for a stage that is wrong on either side, with the figures of the first.

    What both agree with is said once.
    """
    first, second = sorted((row, other), key=lambda side: side.side or "")
    one, two = first.side or "", second.side or ""
    both = f"{one} and {two}"
    causes = [side.cause for side in (first, second) if side.cause]
    if first.cause and first.cause.replace(one, two) == second.cause:
        causes = [first.cause.replace(one, both).replace(f"{both} agrees", f"{both} agree")]
    elif len(causes) == 1:
        left = two if first.cause else one
        causes.append(f"{left} is wrong too, and no known variation explains it")
    detail = f"{first.finding}; {second.finding}"
    return replace(row, side=both, cause="; ".join(causes) or None, detail=detail)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Write NaN and infinities as text: JSON has no number for them."""
    odd = {k: str(v) for k, v in row.items() if isinstance(v, float) and not math.isfinite(v)}
    return {**row, **odd}


MANY = 1e6  # times the floor: beyond this, the exact ratio says nothing more


def number(value: float | None) -> str:
    """Write an error in at most seven characters."""
    if value is None:
        return "-"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "inf"
    short = f"{value:.1e}"
    return "0" if value == 0 else short if len(short) <= 7 else f"{value:.0e}"


def times(excess: float | None) -> str:
    """Write how many times the floor a stage adds, in at most seven characters."""
    if excess is None or math.isnan(excess):
        return number(excess)
    if excess >= MANY:
        return "> 1e6"
    return f"{excess:.1f}" if excess < 10 else f"{excess:,.0f}"
