"""From recorded stages, (B, T, ...), to what operations take, and back."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minibert.batch import Batch
from minibert.runtime.arrays import Array

Packed: TypeAlias = list[Array]  # (H, T, T) for each sequence, real tokens only
Value: TypeAlias = Array | Packed


def pack(axes: str, batch: Batch, stage: Array) -> Value:
    """Take a stage's real tokens: rows (N, ...), pairs for each sequence, or a vector for each."""
    if axes == "BHTT":
        return [stage[s.index][:, s.columns][:, :, s.columns] for s in batch.sequences]
    if len(axes) == 2:
        return stage[[s.index for s in batch.sequences]]
    return stage[batch.mask]


def unpack(axes: str, batch: Batch, value: Any) -> Array:
    """Put them back where they stood, zeros elsewhere: the inverse of ``pack``."""
    if axes == "BHTT":
        size, length = batch.shape
        whole = np.zeros((size, len(value[0]), length, length), value[0].dtype)
        for s, pairs in zip(batch.sequences, value, strict=True):
            whole[s.index][:, s.columns[:, None], s.columns] = pairs
        return whole
    return batch.unpack_sequences(value) if len(axes) == 2 else batch.unpack(value)


def per_token(axes: str, error: Array, real: NDArray[np.bool_]) -> Array:
    """Return the largest error of each token, (B, T), NaN at padding.

    A sequence's one vector counts as its column 0; what is not finite counts as infinite.
    """
    size = np.where(np.isfinite(error), error, np.inf)
    if axes == "BHTT":
        keys = real[:, None, None, :]
        largest: Array = np.where(keys, size, 0).max(axis=(1, 3))
    elif len(axes) == 2:
        largest = np.full(real.shape, np.nan)
        largest[:, 0] = size.max(axis=1)
    else:
        largest = size.reshape(*error.shape[:2], -1).max(axis=2)
    return np.where(real, largest, np.nan)
