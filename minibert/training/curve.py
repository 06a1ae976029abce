"""The learning curve: the loss of each step and of what was held out, as CSV and as a picture."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from minibert.checkpoint.writing import write_whole

Rows = Sequence[Mapping[str, float]]
Points = Sequence[tuple[float, float]]
WIDTH, HEIGHT, EDGE = 640, 320, 48  # pixels


def write_curve(history: Rows, folder: Path) -> None:
    """Write curve.csv and curve.svg into a folder."""
    names = [*dict.fromkeys(name for row in history for name in row)]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_whole(folder / "curve.csv", text.getvalue().encode())
    write_whole(folder / "curve.svg", curve(history).encode())


def curve(history: Rows) -> str:
    """Draw the losses: a thin line, its moving mean, and dots for what is held out."""
    points = [(row["step"], row["loss"]) for row in history]
    dots = [(row["step"], row["held-out loss"]) for row in history if "held-out loss" in row]
    finite = [y for _, y in (*points, *dots) if math.isfinite(y)] or [0.0, 1.0]
    low, high = min(0.0, *finite), max(finite) * 1.05 or 1.0
    last = max((x for x, _ in points), default=1)

    def place(x: float, y: float) -> str:
        across = EDGE + (WIDTH - 2 * EDGE) * x / last
        return f"{across:.1f},{HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * (y - low) / (high - low):.1f}"

    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{_in_words(points, dots)}" font-family="sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            *_axes(low, high, last),
            _line([place(*p) for p in points if math.isfinite(p[1])], "#bbb", 1),
            _line([place(*p) for p in smoothed(points) if math.isfinite(p[1])], "#000", 2),
            *_dots([place(*p) for p in dots]),
            "</svg>\n",
        ]
    )


def smoothed(points: Points) -> list[tuple[float, float]]:
    """Return the mean of each point and those before it, of which later ones count more."""
    found, mean, share = [], 0.0, min(0.9, 1 - 10 / max(len(points), 11))
    for i, (x, y) in enumerate(points):
        mean = share * mean + (1 - share) * y
        found.append((x, mean / (1 - share ** (i + 1))))
    return found


def _line(places: list[str], colour: str, width: int) -> str:
    drawn = " ".join(places)
    return f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _dots(places: list[str]) -> list[str]:
    corners = (place.split(",") for place in places)
    style = 'r="4" fill="white" stroke="#000" stroke-width="2"'
    return [f'<circle cx="{x}" cy="{y}" {style}/>' for x, y in corners]


def _axes(low: float, high: float, last: float) -> list[str]:
    right, bottom = WIDTH - EDGE, HEIGHT - EDGE
    path = f'<path d="M{EDGE},{EDGE}V{bottom}H{right}" fill="none" stroke="#000"/>'
    texts = (
        (EDGE - 6, EDGE + 4, "end", f"{high:.3g}"),
        (EDGE - 6, bottom, "end", f"{low:.3g}"),
        (right, bottom + 18, "end", f"step {last:g}"),
        (EDGE, EDGE - 14, "start", "loss (line: training, dots: held out)"),
    )
    return [path, *(f'<text x="{x}" y="{y}" text-anchor="{a}">{t}</text>' for x, y, a, t in texts)]


def _in_words(points: Points, dots: Points) -> str:
    said = [f"loss over {len(points)} steps"]
    if points:
        said.append(f"from {points[0][1]:.3g} to {points[-1][1]:.3g}")
    if dots:
        said.append(f"held out {dots[-1][1]:.3g} at the end")
    return ", ".join(said)
