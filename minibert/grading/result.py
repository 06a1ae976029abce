"""What grading found, in words that do not give the answer away."""

import re
from dataclasses import dataclass

from minibert.grading.cases import ORDINARY
from minibert.runtime.spelling import Spelled
from minibert.runtime.swap import SwapError


@dataclass(frozen=True)
class Found:
    """How one case came out; no cause: well."""

    case: str
    cause: str = ""
    stage: str | None = None
    note: str = ""


@dataclass(frozen=True, repr=False)
class Grade(Spelled):
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
    notes: tuple[str, ...] = ()  # what else there is to say of it; it costs no points

    @property
    def ok(self) -> bool:
        """Whether every case came out right."""
        return not self.wrong

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        stage = f"; first wrong stage: {self.stage}" if self.stage else ""
        cause = "" if self.ok else f"{stage}; probable cause: {self.cause}"
        said = f"{'right' if self.ok else 'wrong'}, {self.points:g} of {self.out_of:g} points"
        return f"{self.function}: {said}{cause}{''.join(f'; note: {n}' for n in self.notes)}"


def late(limit: float) -> Found:
    """Return what is found of a function that takes longer than that, in seconds."""
    return Found(ORDINARY, f"it had not finished after {limit:g} seconds")


class TimeIsUp(BaseException):
    """Stops a function that takes too long; no ``except Exception`` keeps it."""


def is_ours(error: BaseException) -> bool:
    """Tell whether it ends the grading, not only the function, whatever else that may raise."""
    return isinstance(error, TimeIsUp | KeyboardInterrupt)


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
