"""How time grows with layers, width, length and batch, one of them at a time."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import log
from pathlib import Path
from typing import Any

from bench.checkpoints import draw
from bench.engines import ENGINES, open_engines
from bench.tables import duration, table
from bench.turns import in_turn
from bench.workloads import Shape, even

NAMES = ("minibert", "transformers sdpa")
SECONDS = 2.0  # for each point

AXES = {
    "layers": (1, 2, 4, 8, 12),
    "width": (64, 128, 256, 512, 1024),
    "length": (16, 32, 64, 128, 256, 512),
    "batch": (1, 2, 4, 8, 16, 32),
}


@dataclass(frozen=True)
class Point:
    """One model and one batch; as they stand, where all axes meet."""

    layers: int = 4
    width: int = 256
    length: int = 64
    batch: int = 4

    def shape(self) -> Shape:
        """Return a model with heads of 64 and a feed-forward of four times the width."""
        width = self.width
        return Shape(self.layers, width, width // 64, 4 * width, vocabulary=1000)


def points() -> Iterator[tuple[str, int, Point]]:
    """Yield each axis, each of its values and the point there."""
    for axis, values in AXES.items():
        for value in values:
            yield axis, value, replace(Point(), **{axis: value})


def measure(threads: int, seconds: float = SECONDS) -> dict[str, Any]:
    """Return the least times by axis, engine and value: how work grows, and not the noise."""
    least: dict[str, Any] = {axis: {} for axis in AXES}
    for axis, value, point in points():
        for engine, times in times_at(point, threads, seconds).items():
            least[axis].setdefault(engine, {})[str(value)] = min(times)
    return {"at": vars(Point()), "least": least}


def times_at(point: Point, threads: int, seconds: float) -> dict[str, list[float]]:
    """Time both engines at one point, in turn."""
    shape = point.shape()
    ids, mask = even(point.batch, point.length).inputs(shape.vocabulary)
    openers = {name: ENGINES[name] for name in NAMES}
    with tempfile.TemporaryDirectory() as name:
        engines, _ = open_engines(draw(Path(name), shape), threads, openers)
        return in_turn({e.name: partial(e.run, ids, mask) for e in engines}, seconds)


def exponent(times: dict[str, float]) -> float:
    """Return the power of the value that time grows with, over the last step."""
    (before, first), (after, last) = list(times.items())[-2:]
    return log(last / first) / log(int(after) / int(before))


def render(measured: dict[str, Any]) -> str:
    """Return a table for each axis."""
    at = ", ".join(f"{axis} {value}" for axis, value in measured["at"].items())
    parts = [
        f"Time by {axis}\n{render_values(by_engine)}"
        for axis, by_engine in measured["least"].items()
    ]
    return "\n\n".join([f"Least times. One thing grows at a time; the others stay at {at}", *parts])


def render_values(by_engine: dict[str, dict[str, float]]) -> str:
    """Return a table: a line for each engine, a column for each value, and the last power."""
    values = list(next(iter(by_engine.values())))
    rows = [
        (f"  {engine}", *map(duration, times.values()), f"{exponent(times):.2f}")
        for engine, times in by_engine.items()
    ]
    return table(("  engine", *values, "last power"), rows)
