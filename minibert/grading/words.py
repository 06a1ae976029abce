"""What a function raised, as a sentence that is the same with every version of NumPy."""

import re

from minibert.runtime.swap import SwapError


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
