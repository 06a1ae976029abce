"""What the table, the page and the plot ask of a report, and how they write numbers and names."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minibert.verification.diagnosis import Diagnosis, StageResult


def faults(report: Diagnosis) -> list[StageResult]:
    """Return the rows where something is wrong, not before them, in network order."""
    return [row for row in report.rows if row.is_fault]


def about(report: Diagnosis) -> Iterator[str]:
    """Tell in short sentences what was compared, and what the figures mean."""
    tokens = report.provenance.get("real_tokens", "All")
    yield f"{tokens} real tokens were compared; the reference is in {visible(report.precision)}."
    yield (
        f"A stage is at fault if it adds more than {report.factor:g} times the floor, "
        "which is what rounding alone does there."
    )
    if report.tolerance is not None:
        yield f"Besides, {report.tolerance} is required."
    yield _same_files(report)


def _same_files(report: Diagnosis) -> str:
    theirs = (report.provenance.get("reference") or {}).get("checkpoint_sha256")
    ours = report.provenance.get("checkpoint_sha256")
    if theirs is None or ours is None:
        return "Whether both sides have the same checkpoint is not known."
    same = "the same checkpoint" if ours == theirs else "DIFFERENT CHECKPOINTS"
    return f"By their SHA-256, both sides have {same}."


def visible(text: object) -> str:
    r"""Write what does not print as ``\x1b`` or ``\u202e``.

    Names come from strangers' files: a terminal would obey some characters, and others turn a
    line round.
    """
    return "".join(c if c.isprintable() else _escape(c) for c in str(text))


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


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


def times(row: StageResult) -> str:
    """Write how many times the floor a stage adds, in at most seven characters."""
    ratio = row.excess
    if ratio is None or not math.isfinite(ratio):
        return number(ratio)
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:,.0f}" if ratio < 1e6 else f"{ratio:.0e}"


def reasons(row: StageResult) -> Iterator[str]:
    """Tell in short sentences what is wrong with a row."""
    if row.detail:
        yield _sentence(row.detail[0].upper() + row.detail[1:])
    elif row.status == "FAULT":
        over = f"{times(row)} times the floor of {number(row.floor)}"
        yield f"It adds {number(row.added)}, {over}."
    if row.after is not None:
        yield f"The fault lies after {visible(row.after)}."
    if row.cause is not None:
        yield f"Probable cause: {_sentence(row.cause.removeprefix(f'{row.stage}: '))}"
    elif row.status == "FAULT":
        yield "No known variation explains it."


def _sentence(text: str) -> str:
    return f"{visible(text).rstrip('.')}."
