"""Which precision a recording is in, told by its numbers."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from minibert.runtime.arrays import Array


@dataclass(frozen=True)
class Precision:
    """A format of numbers, by how many binary digits it keeps."""

    name: str
    digits: int
    arithmetic: int | None = None  # where matrix products keep fewer digits of their inputs

    @property
    def half_ulp(self) -> float:
        """The largest relative error of rounding one number."""
        return 2.0**-self.digits

    @property
    def scale(self) -> float:
        """How much more than float32 it rounds."""
        return 2.0 ** (24 - (self.arithmetic or self.digits))


BFLOAT16, FLOAT16 = Precision("bfloat16", 8), Precision("float16", 11)
FLOAT32, FLOAT64 = Precision("float32", 24), Precision("float64", 53)
#: float32 whose matrix products keep fewer digits of what they multiply, as GPUs may do.
TF32 = Precision("float32 with matrix products of 11 digits (TF32 or float16)", 24, 11)
SHORT = Precision("float32 with matrix products in bfloat16", 24, 8)
ENOUGH = 32  # different numbers that are on a grid are not there by chance


def grids(stages: Mapping[str, Array]) -> dict[str, Precision]:
    """Return for each stage the coarsest format that holds all its numbers exactly.

    A float32 number is on the grid of float16 by chance once in 8,192 times: a stage is not. Of
    a stage with few numbers the others decide, if it is on their grid.
    """
    fits = {name: list(_formats(values)) for name, values in stages.items()}
    sure = [fits[name][0] for name, values in stages.items() if _is_enough(values)]
    usual = Counter(sure).most_common(1)[0][0] if sure else FLOAT32
    return {
        name: found[0] if _is_enough(stages[name]) or usual not in found else usual
        for name, found in fits.items()
    }


def in_words(stages: Iterable[tuple[str, Precision]]) -> str:
    """Say in which precisions stages are; of a coarser one that few have, where it is first."""
    groups: dict[Precision, list[str]] = {}
    for name, precision in stages:
        groups.setdefault(precision, []).append(name)
    usual = max(map(len, groups.values()), default=0)
    found = []
    for precision in sorted(groups, key=lambda p: p.name):
        names = groups[precision]
        is_odd = len(names) * 3 < usual and precision.digits < max(p.digits for p in groups)
        places = f" ({names[0]}{f' and {len(names) - 1} more' if names[1:] else ''})"
        found.append(precision.name + places * is_odd)
    return " and ".join(found) or "unknown"


def _is_enough(values: Array) -> bool:
    return len(np.unique(values[:1000])) >= ENOUGH


def _formats(values: Array) -> Iterator[Precision]:
    """Yield the formats that hold all these numbers, the coarsest first."""
    for form, holds in ((BFLOAT16, _is_bfloat16), (FLOAT16, _is_float16), (FLOAT32, is_float32)):
        if holds(values[:1000]) and holds(values):  # few numbers tell what most are not
            yield form
    yield FLOAT64


def is_float32(values: Array) -> bool:
    """Tell whether float32 holds all these numbers exactly."""
    with np.errstate(over="ignore"):
        return values.dtype == np.float32 or bool((values.astype(np.float32) == values).all())


def _is_float16(values: Array) -> bool:
    with np.errstate(over="ignore"):  # what is too large becomes infinite
        return bool((values.astype(np.float16) == values).all())


def _is_bfloat16(values: Array) -> bool:
    with np.errstate(over="ignore"):
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return not (bits & 0xFFFF).any() and is_float32(values)
