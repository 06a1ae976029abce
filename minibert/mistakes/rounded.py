"""What is rounded to few digits: all weights at once, or what one operation takes and returns."""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from minibert.functions import ACTIVATIONS
from minibert.runtime.arrays import Array
from minibert.runtime.swap import OPERATIONS

Change = Callable[[Any], Any]


def of_all(change: Callable[[Array], Array]) -> Change:
    """Return the change of a part, whatever it is, all of whose arrays are changed."""

    def changed(part: Any) -> Any:
        if isinstance(part, np.ndarray):
            return change(part)
        if is_dataclass(part) and not isinstance(part, type):
            return replace(part, **{f.name: changed(getattr(part, f.name)) for f in fields(part)})
        return part

    return changed


def bfloat16(x: Array) -> Array:
    """Round to bfloat16's eight binary digits, to even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return rounded.view(np.float32).astype(x.dtype)


def float16(x: Array) -> Array:
    """Round to float16."""
    return x.astype(np.float16).astype(x.dtype)


def _in_8_bits(axis: int | None) -> Callable[[Array], Array]:
    """Round matrices to 255 steps: of the largest number, or that of each row."""

    def change(x: Array) -> Array:
        if x.ndim != 2:
            return x
        step = np.abs(x).max(axis=axis, keepdims=True) / 127
        return np.rint(x / np.where(step == 0, 1, step)) * step

    return change


def _matrices(change: Callable[[Array], Array]) -> Change:
    return of_all(lambda x: change(x) if x.ndim == 2 else x)


ROUNDED: tuple[tuple[str, Change], ...] = (
    ("weights rounded to float16", of_all(float16)),
    ("weights rounded to bfloat16", of_all(bfloat16)),
    ("matrices rounded to float16", _matrices(float16)),
    ("matrices rounded to bfloat16", _matrices(bfloat16)),
    ("matrices rounded to 8 bits, a scale for each (int8)", of_all(_in_8_bits(None))),
    ("matrices rounded to 8 bits, a scale for each row (int8)", of_all(_in_8_bits(1))),
)

COARSE = ("softmax", "layer_norm")  # and activations: what mixed precision may compute so


def coarse(name: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield an operation computed in half precision, in the midst of others that are not."""
    if name in OPERATIONS and (name in COARSE or OPERATIONS[name] in ACTIVATIONS.values()):
        for form, cut in (("bfloat16", bfloat16), ("float16", float16)):
            yield f"{name} computed in {form}", _coarse(OPERATIONS[name], cut)


def _coarse(function: Callable[..., Any], cut: Callable[[Array], Array]) -> Callable[..., Any]:
    return lambda x, *args: cut(function(cut(x), *args))
