"""The arguments of a call, checked: TypeError or ValueError with name, found and allowed."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minibert.runtime.arrays import Array, Integers, Mask, number_array


def mask(values: Any, shape: tuple[int, ...], past: Mask = None) -> tuple[NDArray[np.bool_], Mask]:
    """Return the mask (B, T), True at real tokens (by default all); and who may look at whom.

    The second is (B, T, T), if ``values`` are of this shape or (B, 1, T, T): then a token is real
    if it looks at any, or any at it. past: the mask of tokens before, (B, P); then ``values`` are
    (B, P + T).
    """
    if past is not None:
        return _later(values, shape, past), None
    if values is None:
        return np.ones(shape, bool), None
    mask = number_array("attention_mask", values)
    while mask.ndim > 2 and mask.shape[1] == 1 < shape[1]:
        mask = mask[:, 0]  # the same for all heads, or for all queries
    _same_shape("attention_mask", mask, shape if mask.ndim < 3 else (*shape, shape[1]))
    refuse("attention_mask", mask, (mask != 0) & (mask != 1), "1 (a real token), 0 (padding)")
    allowed = mask.astype(bool)
    if allowed.ndim == 2:
        return allowed, None
    return np.logical_or(allowed.any(axis=1), allowed.any(axis=2)), allowed


def token_types(values: Any, shape: tuple[int, ...], count: int, default: int = 0) -> Integers:
    """Return the segment of each token (B, T)."""
    if values is None:
        return np.full(shape, default, np.int64)
    types = indices("token_type_ids", values, count, "type_vocab_size")
    _same_shape("token_type_ids", types, shape)
    return types


def positions(values: Any, shape: tuple[int, ...], count: int, before: int = 0) -> Integers:
    """Return the position of each token (B, T): 0, 1, 2, ... by default, after those before."""
    if values is None:
        end = before + shape[1]
        if end > count:
            raise ValueError(
                f"the sequences are {end} tokens long; this model has positions for {count} "
                "(max_position_embeddings): cut them or split them"
            )
        return np.broadcast_to(np.arange(before, end), shape)
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


def merge_choices(name: str, values: Any) -> tuple[int, Any]:
    """Make one axis of questions and their choices, (batch, choices, ...); return their number."""
    if values is None:
        return 1, None
    array = number_array(name, values)
    needed = 4 if name == "inputs_embeds" else 3
    axes = "(batch, choices, tokens)" + (", width" if needed == 4 else "")
    _need_axes(name, array, needed, axes)
    return array.shape[1], array.reshape(-1, *array.shape[2:])


def indices(name: str, values: Any, count: int, field: str) -> Integers:
    """Return a (batch, tokens) array of whole numbers from 0 to count - 1."""
    array = number_array(name, values)
    if array.size == 0:
        raise ValueError(f"{name} is empty: its shape is {array.shape}")
    hint = f"; for one sequence, write {name}=[[...]]" if array.ndim == 1 else ""
    _need_axes(name, array, 2, f"(batch, tokens){hint}")
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} holds {array.dtype}; needed: whole numbers")
    # NumPy would read a negative index from the end, without a word
    outside = (array < 0) | (array >= count)
    refuse(name, array, outside, f"0 to {count - 1} ({field} is {count})")
    return array.astype(np.int64, copy=False)


def _later(values: Any, shape: tuple[int, ...], past: NDArray[np.bool_]) -> NDArray[np.bool_]:
    before = past.shape[1]
    if before and len(past) != shape[0]:
        raise ValueError(f"past_key_values is of {len(past)} sequences, the input of {shape[0]}")
    if values is None:
        return np.ones(shape, bool)
    whole, allowed = mask(values, (shape[0], before + shape[1]))
    if allowed is not None:
        raise ValueError("attention_mask has an axis for queries; with past_key_values: (B, T)")
    if before and (whole[:, :before] != past).any():
        what = f"attention_mask says of the first {before} tokens, those of past_key_values,"
        raise ValueError(f"{what} something else than when they were computed")
    return whole[:, before:]


def _same_shape(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} has the shape {array.shape}; the input has {shape}")


def _need_axes(name: str, array: NDArray[Any], needed: int, axes: str) -> None:
    if array.ndim != needed:
        found = f"{array.ndim} dimension(s), shape {array.shape}"
        raise ValueError(f"{name} has {found}; needed: {needed}, {axes}")


def refuse(name: str, array: NDArray[Any], wrong: NDArray[np.bool_], allowed: str) -> None:
    """Raise ValueError for the first number that is wrong."""
    if wrong.any():
        place = np.argwhere(wrong)[0].tolist()
        raise ValueError(f"{name}{place} is {array[tuple(place)]}; allowed: {allowed}")
