"""The arguments of a call, checked: TypeError or ValueError with name, found and allowed."""

from collections.abc import Mapping
from typing import Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minibert.functions import Array

Integers: TypeAlias = NDArray[np.int64]


def mask(values: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the mask (B, T), True at real tokens: all of them by default."""
    if values is None:
        return np.ones(shape, bool)
    mask = number_array("attention_mask", values)
    _same_shape("attention_mask", mask, shape)
    wrong = _first((mask != 0) & (mask != 1))
    if wrong:
        raise ValueError(
            f"attention_mask{wrong} is {mask[tuple(wrong)]}; allowed: 1 (a real token), 0 (padding)"
        )
    real: NDArray[np.bool_] = mask != 0
    return real


def token_types(values: Any, shape: tuple[int, ...], count: int) -> Integers:
    """Return the segment of each token (B, T): 0 by default."""
    if values is None:
        return np.zeros(shape, np.int64)
    types = indices("token_type_ids", values, count, "type_vocab_size")
    _same_shape("token_type_ids", types, shape)
    return types


def positions(values: Any, shape: tuple[int, ...], count: int) -> Integers:
    """Return the position of each token (B, T): 0, 1, 2, ... by default."""
    if values is None:
        if shape[1] > count:
            raise ValueError(
                f"the sequences are {shape[1]} tokens long; this model has positions for {count} "
                "(max_position_embeddings): cut them or split them"
            )
        return np.broadcast_to(np.arange(shape[1]), shape)
    array = number_array("position_ids", values)
    lines = array[np.newaxis] if array.ndim == 1 else array
    positions = indices("position_ids", lines, count, "max_position_embeddings")
    if positions.shape != (1, shape[1]):
        _same_shape("position_ids", array, shape)
    return np.broadcast_to(positions, shape)


def embeddings(values: Any, hidden_size: int, dtype: DTypeLike) -> Array:
    """Return embeddings given in place of ids, (B, T, C)."""
    array = number_array("inputs_embeds", values)
    if array.ndim != 3 or array.shape[2] != hidden_size or array.size == 0:
        raise ValueError(
            f"inputs_embeds has the shape {array.shape}; needed: (batch, tokens, {hidden_size})"
        )
    if array.dtype.kind != "f":
        raise TypeError(f"inputs_embeds holds {array.dtype}; needed: floating-point numbers")
    return array.astype(dtype, copy=False)


def indices(name: str, values: Any, count: int, field: str) -> Integers:
    """Return a (batch, tokens) array of whole numbers from 0 to count - 1."""
    array = number_array(name, values)
    if array.size == 0:
        raise ValueError(f"{name} is empty: its shape is {array.shape}")
    if array.ndim != 2:
        hint = f"; for one sequence, write {name}=[[...]]" if array.ndim == 1 else ""
        raise ValueError(
            f"{name} has {array.ndim} dimension(s), shape {array.shape}; "
            f"needed: 2, (batch, tokens){hint}"
        )
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} holds {array.dtype}; needed: whole numbers")
    wrong = _first((array < 0) | (array >= count))
    if wrong:  # NumPy would read a negative index from the end, without a word
        raise ValueError(
            f"{name}{wrong} is {array[tuple(wrong)]}; "
            f"allowed: 0 to {count - 1} ({field} is {count})"
        )
    return array.astype(np.int64, copy=False)


def number_array(name: str, values: Any) -> NDArray[Any]:
    """Return what a caller passed as an array of numbers; TypeError or ValueError if it is none."""
    if isinstance(values, Mapping):  # what a tokenizer returns, passed whole
        raise TypeError(f"{name} is a {type(values).__name__}; to pass all it holds, put ** before")
    if isinstance(values, list | tuple):
        _refuse_ragged(name, values)
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} is not an array: {error}") from None
    if array.dtype.kind in "US":
        _refuse_text(name)
    if array.dtype.kind not in "iufb":
        kinds = sorted({type(item).__name__ for item in array.flat})
        found = f"objects ({', '.join(kinds)})" if array.dtype.kind == "O" else array.dtype
        raise TypeError(f"{name} holds {found}; needed: numbers, in lists or an array")
    return array


def _refuse_text(name: str) -> NoReturn:
    raise TypeError(f"{name} holds text; needed: the numbers that a tokenizer makes of it")


def _refuse_ragged(name: str, rows: Any) -> None:
    lengths = [_length(row) for row in rows]
    longest = max(lengths, default=-1)
    if all(length == longest for length in lengths):
        return
    if any(isinstance(x, str) for row in rows for x in (row if _length(row) > 0 else [row])):
        _refuse_text(name)
    others = [f"row {i} {_entries(n)}" for i, n in enumerate(lengths) if n != longest]
    more = f" and {len(others) - 5} more" if len(others) > 5 else ""
    raise ValueError(
        f"{name} is ragged: row {lengths.index(longest)} {_entries(longest)}, "
        f"{', '.join(others[:5])}{more}. Pad the shorter rows to one length, "
        "and set attention_mask to 0 there"
    )


def _length(row: Any) -> int:
    """Return the length of a row; -1 if it is no row but a single number, say."""
    try:
        return len(row)
    except TypeError:
        return -1


def _entries(length: int) -> str:
    return "is not a list" if length < 0 else f"has {length} entries"


def _same_shape(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} has the shape {array.shape}; the input has {shape}")


def _first(wrong: NDArray[np.bool_]) -> list[int]:
    """Return the place of the first True; empty if there is none."""
    return np.argwhere(wrong)[0].tolist() if wrong.any() else []
