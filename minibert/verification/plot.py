"""Error by stage on a log scale, as inline SVG: accumulated, added, and the floor.

There is one drawing for all screens. The lines are drawn on a grid in which a stage is 1 wide and
a decade 1 high, stretched to whatever room there is; letters, at places in percent, keep their
size and stand around it. page.css has the widths and colours.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby

from minibert.checkpoint.files import visible
from minibert.trace import layer_of
from minibert.verification.result import StageResult, number

#: Each line: its class in the style, and what it says. Drawn in this order.
LINES = {
    "floor": "floor: rounding alone",
    "accumulated": "accumulated up to the stage",
    "added": "added by the stage itself",
}
WIDTH, HEIGHT = 260, 280  # pixels, of the narrowest screen and of all: labels must not overlap
LETTER = 7  # pixels, at most


def plot(rows: Sequence[StageResult], factor: float, numbers: Mapping[str, int]) -> str:
    """Draw the rows; numbers are those of the faulty stages in the list of faults."""
    grid = _Grid(rows)
    parts = [
        '<svg class="plot" role="img" aria-label="Error by stage on a log scale; '
        'the table of all stages has the numbers">',
        f'<svg viewBox="0 0 {len(rows)} {grid.decades}" preserveAspectRatio="none">',
        _band(rows, factor, grid),
        *(path for name in LINES for path in _line(name, rows, grid)),
        *_tips(rows, grid),
        "</svg>",
        *_heights(grid),
        *_layers(rows),
        *_flags(rows, numbers),
        "</svg>",
    ]
    return "\n".join(parts)


class _Grid:
    """Stages from left to right, whole decades from bottom to top.

    On a log scale, 0 has no place and is drawn on the lower edge, infinity and NaN on the upper.
    Nothing else comes near an edge.
    """

    def __init__(self, rows: Sequence[StageResult]) -> None:
        values = [v for row in rows for name in LINES if (v := getattr(row, name)) is not None]
        heights = [math.log10(v) for v in values if math.isfinite(v) and v > 0] or [0.0]
        self.low, self.high = math.floor(min(heights) - 0.1), math.ceil(max(heights) + 0.1)
        self.decades = self.high - self.low

    def y(self, value: float) -> float:
        if math.isnan(value) or value == 0:
            return 0 if value else self.decades
        return min(max(self.high - math.log10(value), 0), self.decades)

    def points(self, values: Sequence[float | None]) -> Iterator[list[tuple[float, float]]]:
        """Return the points that a line joins: it is broken where there is no value."""
        for missing, run in groupby(enumerate(values), lambda item: item[1] is None):
            if not missing:
                yield [(i + 0.5, self.y(value)) for i, value in run if value is not None]


def _band(rows: Sequence[StageResult], factor: float, grid: _Grid) -> str:
    """Shade what rounding may do: up to the factor times the floor."""
    tops = [None if row.floor is None else row.floor * factor for row in rows]
    path = ""
    for run in grid.points(tops):
        steps = "".join(f"L{x - 0.5:g} {y:.3f}h1" for x, y in run)
        path += f"M{run[0][0] - 0.5:g} {grid.decades}{steps}V{grid.decades}z"
    return f'<path class="band" d="{path}"/>'


def _line(name: str, rows: Sequence[StageResult], grid: _Grid) -> Iterator[str]:
    """Draw a line, and a dot for each point that has no neighbour."""
    runs = list(grid.points([getattr(row, name) for row in rows]))
    line = "".join("M" + "L".join(f"{x:g} {y:.3f}" for x, y in run) for run in runs if run[1:])
    dots = "".join(f"M{x:g} {y:.3f}h0" for (x, y), *others in runs if not others)
    for kind, path in ("line", line), ("dot", dots):
        if path:
            yield f'<path class="{kind} {name}" d="{path}"/>'


def _tips(rows: Sequence[StageResult], grid: _Grid) -> Iterator[str]:
    """Lay a transparent column over each stage, which tells its numbers to a pointer."""
    for i, row in enumerate(rows):
        told = ", ".join(f"{name} {number(getattr(row, name))}" for name in LINES)
        text = escape(visible(f"{row.stage}: {row.status}, {told}"))
        rect = f'<rect class="tip" x="{i}" width="1" height="{grid.decades}">'
        yield f"{rect}<title>{text}</title></rect>"


def _heights(grid: _Grid) -> Iterator[str]:
    """Write powers of ten on the left, as many as have room."""
    for decade in range(grid.low, grid.high + 1, math.ceil(grid.decades * 25 / HEIGHT)):
        y = 100 * (grid.high - decade) / grid.decades
        yield f'<line class="grid" x2="100%" y1="{y:.2f}%" y2="{y:.2f}%"/>'
        yield f'<text class="y" x="-6" y="{y:.2f}%">1e{decade}</text>'


def _layers(rows: Sequence[StageResult]) -> Iterator[str]:
    """Draw where layers begin, and write the numbers of those that have room."""
    start, free = 0, 0.0
    for name, members in groupby(rows, _layer):
        size = len(list(members))
        x, middle = 100 * start / len(rows), (start + size / 2) / len(rows)
        left, right = (WIDTH * middle + side * LETTER * len(name) / 2 for side in (-1, 1))
        if start:
            yield f'<line class="grid" x1="{x:.2f}%" x2="{x:.2f}%" y2="100%"/>'
        if name and free <= left and right <= WIDTH:
            yield f'<text class="x" x="{100 * middle:.2f}%" y="100%" dy="16">{name}</text>'
            free = right + 4
        start += size
    yield '<text class="x" x="50%" y="100%" dy="34">stage, in network order, by layer</text>'


def _layer(row: StageResult) -> str:
    return str(layer_of(row.stage)) if layer_of(row.stage) >= 0 else ""


def _flags(rows: Sequence[StageResult], numbers: Mapping[str, int]) -> Iterator[str]:
    """Mark the faults, with the numbers of their list where there is room above the drawing."""
    free = 0.0
    for i, row in enumerate(rows):
        if not row.is_fault:
            continue
        place = (i + 0.5) / len(rows)
        x = f"{100 * place:.2f}%"
        yield f'<line class="fault" x1="{x}" x2="{x}" y2="100%"/>'
        if place * WIDTH >= free:
            yield f'<circle class="flag" cx="{x}" cy="-12" r="9"/>'
            yield f'<text class="flag" x="{x}" y="-8">{numbers[row.stage]}</text>'
            free = place * WIDTH + 19
