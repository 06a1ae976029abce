"""The report as a table of at most 80 columns but for the last line, the verdict."""

from __future__ import annotations

import os
from collections.abc import Iterator
from textwrap import wrap
from typing import TYPE_CHECKING, TextIO

from minibert.verification.findings import about, faults, number, reasons, times, visible

if TYPE_CHECKING:
    from minibert.verification.diagnosis import Diagnosis, StageResult

WIDTH = 80
BAD, GOOD, QUIET, END = "\x1b[1;31m", "\x1b[32m", "\x1b[2m", "\x1b[0m"
INDENT = " " * 11
FIGURES = ("accumulated", "added", "floor")


def wants_colour(stream: TextIO) -> bool:
    """Tell whether to write colour: to a terminal, unless NO_COLOR is set."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not plain


def table(report: Diagnosis, colour: bool = False) -> str:
    """Return both sides, the stages in network order, why the faulty ones are, and the verdict.

    Colour says nothing that the words do not say.
    """
    verdict = _paint(visible(report.verdict), report.ok, colour)  # a line, for whoever reads one
    parts = [*_head(report), "", *_stages(report, colour), "", *_faults(report, colour)]
    return "\n".join([*parts, verdict])


def _head(report: Diagnosis) -> Iterator[str]:
    theirs = report.provenance.get("reference") or {}
    known = [theirs.get(name) for name in ("tools", "checkpoint", "dtype", "attention")]
    sides = {
        "model": str(report.provenance.get("model") or "not known"),
        "reference": ", ".join(str(fact) for fact in known if fact) or "not known",
        "compared": " ".join(about(report)),
    }
    for name, text in sides.items():
        yield from wrap(visible(text), WIDTH, initial_indent=f"{name:11}", subsequent_indent=INDENT)


def _stages(report: Diagnosis, colour: bool) -> Iterator[str]:
    names = [visible(row.stage) for row in report.rows]
    heads = _figures("status", "accum.", "added", "floor", "x floor")
    width = min(max(map(len, names), default=5), WIDTH - len(heads))
    yield f"{'stage':{width}}{heads}"
    for row, name in zip(report.rows, names, strict=True):
        yield from _line(row, name, width, colour)


def _figures(status: str, *figures: str) -> str:
    return f"  {status:9}" + "".join(f" {figure:>7}" for figure in figures)


def _line(row: StageResult, name: str, width: int, colour: bool) -> Iterator[str]:
    *above, last = wrap(name, width, break_on_hyphens=False) or [""]
    yield from above  # a name that is too long has lines of its own
    figures = [number(getattr(row, figure)) for figure in FIGURES]
    line = f"{last:{width}}{_figures(visible(row.status)[:9], *figures, times(row))}"
    yield _paint(line, False, colour) if row.is_fault else line


def _faults(report: Diagnosis, colour: bool) -> Iterator[str]:
    for count, row in enumerate(faults(report), 1):
        title = f"{count}. {visible(row.status)} {visible(row.stage)}"
        for line in wrap(title, WIDTH, break_on_hyphens=False):
            yield _paint(line, False, colour)
        for reason in reasons(row):
            yield from wrap(reason, WIDTH, initial_indent="   ", subsequent_indent="   ")
        yield ""


def _paint(text: str, good: bool, colour: bool) -> str:
    return f"{GOOD if good else BAD}{text}{END}" if colour else text
