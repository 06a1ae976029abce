"""What the package calls its arrays, and what a caller passed as one."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minibert.runtime.spelling import a_kind

Array: TypeAlias = NDArray[np.floating[Any]]
Integers: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_] | None  # None: everything is allowed
_TEXT = "holds text; needed: the numbers that a tokenizer makes of it"


#: The types that a config or a call may name, and how else they are written.
DTYPES = {
    "float32": ("float", "single", "fp32", "f32", "f4", "<f4"),
    "float64": ("double", "fp64", "f64", "f8", "<f8"),
    "float16": ("half", "fp16", "f16", "f2", "<f2"),
    "bfloat16": ("bf16",),
}


def dtype_name(value: Any) -> str | None:
    """Return the name of a floating type: of a text, or a type of NumPy, PyTorch or JAX.

    None for anything else. ``float`` of Python is float64 in NumPy and PyTorch; "float" as a text
    is float32, as torch.float is.
    """
    if value is float:
        return "float64"
    words = getattr(value, "__name__", None) or getattr(value, "name", None) or str(value)
    last = str(words).rpartition(".")[2].lower()
    return next((name for name, others in DTYPES.items() if last in (name, *others)), None)


def number_array(name: str, values: Any) -> NDArray[Any]:
    """Return what a caller passed as an array of numbers; TypeError or ValueError if it is none."""
    if isinstance(values, Mapping):  # what a tokenizer returns, passed whole
        raise TypeError(f"{name} is {a_kind(values)}; to pass all it holds, put ** before")
    if isinstance(values, list | tuple):
        _refuse_ragged(name, values)
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} is not an array: {error}") from None
    if array.dtype.kind in "US":
        raise TypeError(f"{name} {_TEXT}")
    if array.dtype.kind not in "iufb":
        kinds = sorted({type(item).__name__.replace("NoneType", "None") for item in array.ravel()})
        found = f"objects ({', '.join(kinds)})" if array.dtype.kind == "O" else array.dtype
        raise TypeError(f"{name} holds {found}; needed: numbers, in lists or an array")
    return array


def _refuse_ragged(name: str, rows: Any) -> None:
    lengths = [_length(row) for row in rows]
    longest = max(lengths, default=-1)
    if all(length == longest for length in lengths):
        return
    if any(isinstance(x, str) for row in rows for x in (row if _length(row) > 0 else [row])):
        raise TypeError(f"{name} {_TEXT}")
    others = [f"row {i} {_entries(n)}" for i, n in enumerate(lengths) if n != longest]
    more = f" and {len(others) - 5} more" if len(others) > 5 else ""
    found = f"row {lengths.index(longest)} {_entries(longest)}, {', '.join(others[:5])}{more}"
    hint = "Pad the shorter rows to one length, and set attention_mask to 0 there"
    raise ValueError(f"{name} is ragged: {found}. {hint}")


def _length(row: Any) -> int:
    """Return the length of a row; -1 if it is no row but a single number, say."""
    try:
        return len(row)
    except TypeError:
        return -1


def _entries(length: int) -> str:
    return "is not a list" if length < 0 else f"has {length} entries"
