"""What grading found, in words that do not give the answer away."""

import re
from dataclasses import dataclass

from minibert.runtime.swap import SwapError


@dataclass(frozen=True)
class Found:
    """How one case came out; no cause: well."""

    case: str
    cause: str = ""
    stage: str | None = None


@dataclass(frozen=True, repr=False)
class Grade:
    """Whether a function does what the operation does, and if not, where and probably why.

    It is true in an ``if`` and an ``assert`` when all is right, and shows itself as one line of
    text that is the same on every run and with every version of NumPy.
    """

    function: str  # the operation
    stage: str | None  # the first wrong stage of the network
    cause: str  # what is probably wrong, in a sentence; empty if nothing is
    points: float
    out_of: float
    right: tuple[str, ...]  # the cases that came out right
    wrong: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether every case came out right."""
        return not self.wrong

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        points = f"{self.points:g} of {self.out_of:g} points"
        if self.ok:
            return f"{self.function}: right, {points}"
        stage = f"; first wrong stage: {self.stage}" if self.stage else ""
        return f"{self.function}: wrong, {points}{stage}; probable cause: {self.cause}"


def in_words(error: BaseException) -> str:
    """Return what is wrong with a function that raised this."""
    if isinstance(error, NotImplementedError):
        return "it is not written yet"
    if isinstance(error, SwapError) and error.__cause__ is None:
        return f"it {error.problem}"
    if isinstance(error, SwapError):  # Python 3.10: what it raised lies beneath
        return in_words(error.__cause__)  # type: ignore[arg-type]
    lines = str(error).strip().splitlines()
    said = f": {_plain(lines[0])}" if lines else ""
    return f"it raises {type(error).__name__}{said}"


def _plain(text: str) -> str:
    """Write numbers as NumPy 1 does, and cut what is long."""
    text = re.sub(r"\bnp\.(?:float|int|uint)\d+\(([^()]*)\)", r"\1", text)
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", text)
    return text if len(text) <= 120 else text[:117] + "..."
