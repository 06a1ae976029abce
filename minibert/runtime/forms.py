"""The form of an operation in one line: ``(..., in), (out, in), (out,) -> (..., out)``.

Letters and words are sizes, the same wherever they stand; ``...`` is any number of axes; a bare
word is a number that is no array, the size of that name. A result may multiply and divide sizes:
``(T, C), H -> (H, T, C/H)``.
"""

import math
import re
from typing import Any


class Form:
    """What an operation takes and gives, as shapes."""

    def __init__(self, text: str) -> None:
        self.text = text
        takes, _, gives = text.partition("->")
        self.takes = re.findall(r"\([^)]*\)|\w+", takes)
        self.gives = _axes(gives)

    def result(self, args: tuple[Any, ...]) -> tuple[int, ...]:
        """Return the shape that the result has for these arguments."""
        sizes: dict[str, int] = {}
        rest: tuple[int, ...] = ()
        for taken, value in zip(self.takes, args, strict=True):
            if not taken.startswith("("):
                sizes[taken] = value
                continue
            names = _axes(taken)
            if "..." in names:
                rest = value.shape[: value.ndim - len(names) + 1]
                names = names[1:]
            sizes.update(zip(names, value.shape[value.ndim - len(names) :], strict=True))
        found = [rest if term == "..." else (_size(term, sizes),) for term in self.gives]
        return tuple(size for part in found for size in part)


def _axes(text: str) -> list[str]:
    return [axis.strip() for axis in text.strip().strip("()").split(",") if axis.strip()]


def _size(term: str, sizes: dict[str, int]) -> int:
    product, _, divisor = term.partition("/")
    size = math.prod(sizes[factor] for factor in product.split("*"))
    return size // sizes[divisor] if divisor else size
