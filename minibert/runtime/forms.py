"""The form of an operation in one line: ``(..., in), (out, in), (out,) -> (..., out)``.

Letters and words are sizes, the same wherever they stand; ``...`` is any number of axes; a bare
word is a number that is no array, the size of that name. A result may multiply and divide sizes:
``(T, C), H -> (H, T, C/H)``. There may be several results.
"""

import math
import re
from collections.abc import Mapping
from typing import Any


class Form:
    """What an operation takes and gives, as shapes."""

    def __init__(self, text: str) -> None:
        self.text = text
        takes, _, gives = text.partition("->")
        self.takes = re.findall(r"\([^)]*\)|\w+", takes)
        self.gives = [_axes(result) for result in re.findall(r"\([^)]*\)", gives)]

    def results(self, args: tuple[Any, ...]) -> list[tuple[int, ...]]:
        """Return the shapes that the results have for these arguments."""
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
        return [_shape(gives, sizes, rest) for gives in self.gives]

    def misfit(self, named: Mapping[str, Any]) -> str:
        """Say which argument has another shape than the form; nothing if none has."""
        sizes: dict[str, tuple[int, str]] = {}
        for taken, (name, value) in zip(self.takes, named.items(), strict=False):
            if not taken.startswith("("):
                sizes[taken] = value, name
                continue
            axes = _axes(taken)
            count = len(axes) - ("..." in axes)
            said = f"{name} has the shape {value.shape}; needed: {taken}"
            if value.ndim < count or value.ndim > count == len(axes):
                return said
            ends = value.shape[value.ndim - count :]
            for axis, size in zip(axes[len(axes) - count :], ends, strict=True):
                known, who = sizes.setdefault(axis, (size, name))
                if known != size:
                    return f"{said}, and {axis} is {known} in {who}"
        return self._indivisible(sizes)

    def _indivisible(self, sizes: dict[str, tuple[int, str]]) -> str:
        for whole, _, by in (term.partition("/") for gives in self.gives for term in gives):
            if by and (sizes[by][0] < 1 or sizes[whole][0] % sizes[by][0]):
                return f"{sizes[by][1]} is {sizes[by][0]}, which does not divide {sizes[whole][0]}"
        return ""


def _axes(text: str) -> list[str]:
    return [axis.strip() for axis in text.strip().strip("()").split(",") if axis.strip()]


def _shape(gives: list[str], sizes: Mapping[str, int], rest: tuple[int, ...]) -> tuple[int, ...]:
    found = [rest if term == "..." else (_size(term, sizes),) for term in gives]
    return tuple(size for part in found for size in part)


def _size(term: str, sizes: Mapping[str, int]) -> int:
    product, _, divisor = term.partition("/")
    size = math.prod(sizes[factor] for factor in product.split("*"))
    return size // sizes[divisor] if divisor else size
