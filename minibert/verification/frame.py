"""Where the marks of a plot are: stages from left to right, a log scale from bottom to top."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from minibert.verification.findings import number

LEFT, RIGHT, TOP, BOTTOM, LANE = 48, 10, 22, 40, 22  # pixels around the plot; one lane
MARGIN = 0.1  # of a decade, so that no mark lies on the edge


def has_height(value: float | None) -> bool:
    """Tell whether an error has a place on a log scale."""
    return value is not None and math.isfinite(value) and value > 0


@dataclass(frozen=True)
class Frame:
    """Where things are: stages from left to right, decades from bottom to top.

    A log scale has no place for 0, infinity and NaN: they have lanes of their own, where needed.
    """

    width: int
    height: int
    count: int
    low: int  # decades
    high: int
    lanes: tuple[str, ...]

    @classmethod
    def around(cls, values: Sequence[float], count: int, width: int, height: int) -> "Frame":
        """Return a frame of whole decades that holds the values of so many stages."""
        decades = [math.log10(value) for value in values if has_height(value)] or [0.0]
        low, high = math.floor(min(decades) - MARGIN), math.ceil(max(decades) + MARGIN)
        names = {number(value) for value in values}
        lanes = tuple(lane for lane in ("NaN", "inf", "0") if lane in names)
        return cls(width, height, count, low, high, lanes)

    @property
    def top(self) -> float:
        """Where the highest decade is."""
        return TOP + LANE * len({"inf", "NaN"} & set(self.lanes))

    @property
    def bottom(self) -> float:
        """Where the lowest decade is."""
        return self.height - BOTTOM - LANE * ("0" in self.lanes)

    @property
    def step(self) -> float:
        """How wide a stage is."""
        return (self.width - LEFT - RIGHT) / self.count

    def x(self, index: float) -> float:
        """Return the middle of a stage."""
        return LEFT + self.step * (index + 0.5)

    def y(self, value: float) -> float:
        """Return the height of an error."""
        name = number(value)
        if name in self.lanes:
            return self.lane(name)
        return self.height_of(min(max(math.log10(value), self.low), self.high))

    def height_of(self, decade: float) -> float:
        """Return the height of a power of ten."""
        return self.bottom - (self.bottom - self.top) * (decade - self.low) / (self.high - self.low)

    def lane(self, name: str) -> float:
        """Return the middle of a lane."""
        if name == "0":
            return self.bottom + LANE * 0.6
        return TOP + LANE * ([lane for lane in self.lanes if lane != "0"].index(name) + 0.4)
