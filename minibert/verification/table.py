"""A result as a table of at most 80 columns; and the sentences that the table and page share."""

import os
import re
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import TextIO

from minibert.checkpoint.files import first_of, visible
from minibert.verification.result import Result, StageResult, number, times

WIDTH = 80
BAD, GOOD, END = "\x1b[1;31m", "\x1b[32m", "\x1b[0m"
INDENT = " " * 11
LAYER = re.compile(r"\blayer\.([0-9]+)")
STAGE = re.compile(r"\.\.\.|pooler|logits|(embeddings|predictions|layer\.[0-9]+)(\.\w+)*")
OURS = re.compile(r", this model uses .*?(?=; or, |$)")
FIGURES = ("accumulated", "added", "floor")


def wants_colour(stream: TextIO) -> bool:
    """Tell whether to write colour: to a terminal, unless NO_COLOR is set."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not plain


def table(result: Result, colour: bool = False) -> str:
    """Return both sides, the stages in network order, the faults, and the verdict in one line.

    Only the verdict may be longer than 80 columns. Colour says nothing that the words do not.
    """
    verdict = _paint(visible(result.verdict), result.ok, colour)
    return "\n".join(
        [*_head(result), "", *_stages(result, colour), "", *_faults(result, colour), verdict]
    )


def about(result: Result) -> Iterator[str]:
    """Tell in short sentences what was compared, and what the figures mean."""
    tokens = result.provenance.get("real_tokens", "All")
    who, are = ("recordings", "are") if "a" in result.provenance else ("reference", "is")
    precision = f"the {who} {are} in {result.precision}"
    if result.precision == "unknown":
        precision = f"the {who}'{'s' * (are == 'is')} precision is unknown"
    yield f"{tokens} real tokens were compared; {precision}."
    yield from _required(result)
    yield _same_files(result)
    for who, facts in result.recordings.items():
        if read_as := facts.get("read_as"):
            yield f"In {who}, {visible(read_as, 400)}."
    if result.lacking and not result.is_unexplained:  # else the verdict says it
        yield f"{result.lacking[0].upper()}{result.lacking[1:]}."


def _required(result: Result) -> Iterator[str]:
    if result.provenance.get("model") == "none":
        sides = str(result.tolerance).replace("ours", "A").replace("theirs", "B")
        yield f"Without a model, a stage differs unless {sides}."
        return
    yield (
        f"A stage is at fault if it adds more than {result.factor:g} times the floor, "
        "which is what rounding alone does there."
    )
    if result.tolerance is not None:
        yield f"Besides, {result.tolerance} is required."


def _same_files(result: Result) -> str:
    theirs = (result.provenance.get("reference") or {}).get("checkpoint_sha256")
    ours = (result.provenance.get("a") or result.provenance).get("checkpoint_sha256")
    if theirs is None or ours is None:
        return "Whether both sides have the same checkpoint is not known."
    same = "the same checkpoint" if ours == theirs else "DIFFERENT CHECKPOINTS"
    return f"By their SHA-256, both sides have {same}."


def fault_groups(result: Result) -> list[list[StageResult]]:
    """Return the faults in network order, together those that have one cause, whatever the stage.

    Without a cause, stages are alike if they differ in nothing but their layer.
    """
    groups: dict[tuple[str, ...], list[StageResult]] = {}
    for row in result.faults:
        alike = _without_place(row) or LAYER.sub("layer", row.stage)
        groups.setdefault((row.status, row.side or "", alike), []).append(row)
    return list(groups.values())


def _without_place(row: StageResult) -> str:
    """Return the cause without what differs by stage: "a, b: the reference agrees with c, ..."."""
    place, colon, cause = OURS.sub("", row.cause or "").partition(": ")
    stages = colon and all(STAGE.fullmatch(name) for name in place.split(", "))
    return LAYER.sub("layer", cause if stages else OURS.sub("", row.cause or ""))


def reasons(group: Sequence[StageResult]) -> Iterator[str]:
    """Tell in short sentences what is wrong with the first of a group, and where else."""
    row, *others = group
    if row.finding:
        yield _sentence(row.finding[0].upper() + row.finding[1:])
    if row.after is not None:
        yield f"The fault lies after {row.after}."
    if row.cause is not None:
        yield f"Probable cause: {_sentence(row.cause.removeprefix(f'{row.stage}: '))}"
    elif row.status == "FAULT":
        yield "No known variation explains it."
        if row.remains:
            yield _sentence(row.remains[0].upper() + row.remains[1:])
    if others:
        yield f"The same {_places(row.stage, [other.stage for other in others])}."


def _places(first: str, others: list[str]) -> str:
    """Name the layers, those in a row by the first and last; or else the stages, some of many."""
    if any(LAYER.sub("layer", name) != LAYER.sub("layer", first) for name in others):
        return f"at {', '.join(first_of(others, 6))}"
    layers = [LAYER.findall(name)[0] for name in others]
    if len(layers) > 2 and int(layers[-1]) - int(layers[0]) == len(layers) - 1:
        return f"in layers {layers[0]} to {layers[-1]}"
    return f"in layer{'s' if layers[1:] else ''} {', '.join(layers)}"


def _sentence(text: str) -> str:
    return f"{text.rstrip('.')}."


def _head(result: Result) -> Iterator[str]:
    sides = {"model": str(result.provenance.get("model") or "not known")}
    for who, facts in result.recordings.items():
        known = [facts.get(name) for name in ("tools", "checkpoint", "dtype", "attention")]
        side = who.removeprefix("recording ").replace("the recording", "reference")
        sides[side] = ", ".join(str(fact) for fact in known if fact) or "not known"
    sides["compared"] = " ".join(about(result))
    for name, text in sides.items():
        yield from wrap(visible(text), WIDTH, initial_indent=f"{name:11}", subsequent_indent=INDENT)


def _stages(result: Result, colour: bool) -> Iterator[str]:
    names = [visible(row.stage) for row in result.rows]
    heads = _cells("status", "accum.", "added", "floor", "x floor")
    width = min(max(map(len, names), default=5), WIDTH - len(heads))
    yield f"{'stage':{width}}{heads}"
    for row, name in zip(result.rows, names, strict=True):
        *above, last = wrap(name, width, break_on_hyphens=False) or [""]
        yield from above  # a name that is too long has lines of its own
        figures = [number(getattr(row, figure)) for figure in FIGURES]
        cells = _cells(visible(row.status)[:9], *figures, times(row.excess))
        line = f"{last:{width}}{cells}"
        yield _paint(line, False, colour) if row.is_fault else line


def _cells(status: str, *figures: str) -> str:
    return f"  {status:9}" + "".join(f" {figure:>7}" for figure in figures)


def _faults(result: Result, colour: bool) -> Iterator[str]:
    for count, group in enumerate(fault_groups(result), 1):
        title = f"{count}. {visible(group[0].status)} {visible(group[0].stage)}"
        for line in wrap(title, WIDTH, break_on_hyphens=False):
            yield _paint(line, False, colour)
        for reason in map(visible, reasons(group)):
            yield from wrap(reason, WIDTH, initial_indent="   ", subsequent_indent="   ")
        yield ""


def _paint(text: str, good: bool, colour: bool) -> str:
    return f"{GOOD if good else BAD}{text}{END}" if colour else text
