"""Error by stage on a log scale, as inline SVG: accumulated, added, and the floor."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

from minibert.verification.findings import number, visible
from minibert.verification.frame import BOTTOM, LEFT, RIGHT, TOP, Frame, has_height

if TYPE_CHECKING:
    from minibert.verification.diagnosis import StageResult

LETTER = 6.7  # pixels, of the labels' font
EVERY = 11  # pixels between the markers of a line, at least

Point = tuple[float, float]


def circle(x: float, y: float) -> str:
    """Draw the marker of what accumulated."""
    return f"M{x - 3:.1f} {y:.1f}a3 3 0 1 0 6 0a3 3 0 1 0-6 0z"


def square(x: float, y: float) -> str:
    """Draw the marker of what a stage adds."""
    return f"M{x - 3:.1f} {y - 3:.1f}h6v6h-6z"


def triangle(x: float, y: float) -> str:
    """Draw the marker of the floor."""
    return f"M{x - 3.5:.1f} {y + 3:.1f}h7l-3.5-6z"


#: Each line: its class in the style, its marker, and what it says.
LINES: dict[str, tuple[Callable[[float, float], str], str]] = {
    "floor": (triangle, "floor: rounding alone"),
    "accumulated": (circle, "accumulated up to the stage"),
    "added": (square, "added by the stage itself"),
}


#: A drawing for each kind of screen, so that letters keep their size: width and height in pixels.
SIZES = {"wide": (960, 380), "narrow": (336, 340)}


def plot(rows: Sequence[StageResult], factor: float, kind: str) -> str:
    """Draw the rows in one of the sizes."""
    if not rows:
        return ""
    values = [value for row in rows for name in LINES if (value := getattr(row, name)) is not None]
    frame = Frame.around(values, len(rows), *SIZES[kind])
    parts = [
        f'<svg class="{kind}" viewBox="0 0 {frame.width} {frame.height}" role="img" '
        'aria-label="Error by stage on a log scale; the table of all stages has the numbers">',
        *_band(rows, factor, frame),
        *_decades(frame),
        *_groups(rows, frame),
        *(part for name in LINES for part in _line(name, rows, frame)),
        *_flags(rows, frame),
        *_tips(rows, frame),
        "</svg>",
    ]
    return "\n".join(parts)


def _decades(frame: Frame) -> Iterator[str]:
    end = frame.width - RIGHT
    every = math.ceil((frame.high - frame.low) * 26 / (frame.bottom - frame.top))
    ticks = [(f"1e{e}", frame.height_of(e)) for e in range(frame.low, frame.high + 1, every)]
    for lane in frame.lanes:
        ticks.append((lane, frame.lane(lane)))
    for name, y in ticks:
        style = "lane" if name in frame.lanes else "grid"
        yield f'<path class="{style}" d="M{LEFT} {y:.1f}H{end}"/>'
        yield f'<text class="y" x="{LEFT - 6}" y="{y + 4:.1f}">{name}</text>'
    yield '<text x="4" y="13">error, log scale</text>'


def _group(row: StageResult) -> str:
    first, _, rest = row.stage.partition(".")
    digits = rest.partition(".")[0]
    return f"layer {digits}" if first == "layer" and digits.isdecimal() else visible(first)


def _groups(rows: Sequence[StageResult], frame: Frame) -> Iterator[str]:
    """Draw where layers begin, with their names, or numbers alone if there is no more room."""
    groups = [(name, len(list(members))) for name, members in groupby(rows, _group)]
    narrow = any(not _fits(name, size, frame) for name, size in groups if name[:5] == "layer")
    base, end = frame.height - BOTTOM, frame.width - RIGHT
    start, free = 0, 0.0
    for name, size in groups:
        if start:
            x = frame.x(start - 0.5)
            yield f'<path class="grid" d="M{x:.1f} {frame.top:.1f}V{base}"/>'
        label = name.removeprefix("layer ") if narrow else name
        middle, half = frame.x(start + (size - 1) / 2), len(label) * LETTER / 2
        if middle - half >= free and (label != name or _fits(name, size, frame)):
            yield f'<text class="x" x="{middle:.1f}" y="{base + 15}">{escape(label)}</text>'
            free = middle + half + 3
        start += size
    yield f'<path class="axis" d="M{LEFT} {TOP}V{base}H{end}"/>'
    title = f"stage, in network order{'; numbers are layers' if narrow else ''}"
    yield f'<text class="x" x="{(LEFT + end) / 2:.1f}" y="{base + 34}">{title}</text>'


def _fits(name: str, stages: int, frame: Frame) -> bool:
    return len(name) * LETTER + 4 < frame.step * stages


def _runs(values: Sequence[float | None], frame: Frame) -> Iterator[list[Point]]:
    """Return the points that a line joins: it is broken where there is no height."""
    for there, run in groupby(enumerate(values), lambda item: has_height(item[1])):
        if there:
            yield [(frame.x(i), frame.y(value)) for i, value in run if value is not None]


def _band(rows: Sequence[StageResult], factor: float, frame: Frame) -> Iterator[str]:
    """Shade what rounding may do: up to the factor times the floor."""
    tops = [row.floor and row.floor * factor for row in rows]
    half = frame.step / 2
    for run in _runs(tops, frame):
        steps = "".join(f"L{x - half:.1f} {y:.1f}H{x + half:.1f}" for x, y in run)
        left = run[0][0] - half
        yield f'<path class="band" d="M{left:.1f} {frame.bottom:.1f}{steps}V{frame.bottom:.1f}z"/>'


def _line(name: str, rows: Sequence[StageResult], frame: Frame) -> Iterator[str]:
    values: list[float | None] = [getattr(row, name) for row in rows]
    for run in _runs(values, frame):
        if len(run) > 1:
            path = "L".join(f"{x:.1f} {y:.1f}" for x, y in run)
            yield f'<path class="line {name}" d="M{path}"/>'
    every = math.ceil(EVERY / frame.step)
    first = every // 2 if name == "floor" else 0  # beside the others, not on them
    marks = [
        LINES[name][0](frame.x(i), frame.y(value))
        for i, value in enumerate(values)
        if value is not None and (i % every == first or rows[i].is_fault or not has_height(value))
    ]
    if marks:
        yield f'<path class="mark {name}" d="{"".join(marks)}"/>'


def _flags(rows: Sequence[StageResult], frame: Frame) -> Iterator[str]:
    """Give the faults the numbers of their list, where there is room."""
    free, count = 0.0, 0
    for i, row in enumerate(rows):
        if not row.is_fault:
            continue
        count += 1
        x = frame.x(i)
        values = [v for v in (row.added, row.accumulated) if v is not None]
        y = max(frame.y(values[0]) - 13, 10) if values else frame.top + 10
        yield f'<path class="fault" d="M{x:.1f} {y + 9:.1f}V{frame.height - BOTTOM}"/>'
        if x >= free:
            yield f'<circle class="flag" cx="{x:.1f}" cy="{y:.1f}" r="9"/>'
            yield f'<text class="flag" x="{x:.1f}" y="{y + 4:.1f}">{count}</text>'
            free = x + 19


def _tips(rows: Sequence[StageResult], frame: Frame) -> Iterator[str]:
    """Lay a transparent column over each stage, which tells its numbers to a pointer."""
    for i, row in enumerate(rows):
        told = ", ".join(f"{name} {number(getattr(row, name))}" for name in LINES)
        yield (
            f'<rect class="tip" x="{frame.x(i - 0.5):.1f}" y="{TOP}" width="{frame.step:.1f}" '
            f'height="{frame.height - BOTTOM - TOP}">'
            f"<title>{escape(visible(row.stage))}: {escape(visible(row.status))}, {told}</title>"
            "</rect>"
        )
