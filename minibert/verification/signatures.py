"""Variations that are told by the recorded numbers themselves.

What was drawn or attended to is not in the inputs, but the recorded stage shows it: each function
takes the place, this model's stage, the recorded one and the stage's inputs, and returns what the
stage would be if the variation were true. It is true only if that is what was recorded.
"""

from typing import Any

import numpy as np

from minibert.runtime.arrays import Array
from minibert.verification.graph import A, F, Place
from minibert.verification.packing import Packed


def dropped(own: Array, theirs: Array) -> Array:
    """Set to 0 what the recording has as 0, and divide the rest by what was kept of it."""
    gone = (theirs == 0) & (own != 0)
    kept = ~gone & (own != 0)
    if not 0 < gone.mean() < 0.6 or not kept.any():
        return own
    share = float(np.median(theirs[kept] / own[kept]))
    return np.where(gone, 0, own * share)


def _dropped_rows(at: Place, own: Array, theirs: Array, *_: Any) -> Array:
    return dropped(own, theirs)


def _dropped_pairs(at: Place, own: Packed, theirs: Packed, *_: Any) -> Packed:
    flat = dropped(_flat(own), _flat(theirs))
    ends = np.cumsum([x.size for x in own])[:-1]
    parts = np.split(flat, ends)
    return [part.reshape(x.shape) for part, x in zip(parts, own, strict=True)]


def _flat(pairs: Packed) -> Array:
    return np.concatenate([x.ravel() for x in pairs])


def _is_padded(at: Place) -> list[bool]:
    length = at.batch.shape[1]
    return [len(s.columns) < length for s in at.batch.sequences]


def _padding_attended(at: Place, own: Packed, theirs: Packed, *_: Any) -> Packed:
    """Leave to each real key its share of what is attended in all."""
    rows = zip(own, theirs, _is_padded(at), strict=True)
    return [o * t.sum(axis=-1, keepdims=True) if padded else o for o, t, padded in rows]


def _mask_inverted(at: Place, own: Packed, theirs: Packed, *_: Any) -> Packed:
    """Leave nothing to real keys; where all keys are real, every mask is the same for all."""
    found = []
    for o, t, padded in zip(own, theirs, _is_padded(at), strict=True):
        even = np.full_like(o, 1 / o.shape[-1])
        alike = np.abs(t - even).max() < np.abs(t - o).max()
        found.append(np.zeros_like(o) if padded else even if alike else o)
    return found


def _dropped_probabilities(
    at: Place, own: Array, theirs: Array, probabilities: Packed, value: Array
) -> Array:
    """Solve for the probabilities that the context was made of; they must be ours, or 0."""
    from minibert.verification.graph import heads, merged

    solved = []
    rows = [theirs[s.rows] for s in at.batch.sequences]
    count = at.layer.attention.num_heads
    values = heads(at, value)
    for context, v, p in zip(rows, values, probabilities, strict=True):
        if v.shape[1] > v.shape[2]:  # more keys than numbers in a head: no single answer
            return own
        c = context.reshape(len(context), count, -1).transpose(1, 0, 2)
        solved.append((c @ np.linalg.pinv(v)).reshape(p.shape))
    ratio = _flat(solved) / _flat(probabilities)
    share = float(np.median(ratio[ratio > 0.5])) if (ratio > 0.5).any() else 1.0
    pairs = zip(solved, probabilities, strict=True)
    kept = [np.where(s > p * share / 2, p * share, 0) for s, p in pairs]
    if not 0 < np.mean(_flat(kept) == 0) < 0.6:
        return own
    return merged([p @ v for p, v in zip(kept, values, strict=True)])


PADDING = "padding that is attended: the mask missing, or applied to the queries"
DROPOUT = "dropout left on (a model in training mode)"
_ROWS = ((DROPOUT, _dropped_rows),)

SIGNATURES: dict[str, tuple[tuple[str, Any], ...]] = {
    "embeddings": _ROWS,
    f"{A}.probabilities": (
        (DROPOUT, _dropped_pairs),
        (PADDING, _padding_attended),
        ("the mask inverted", _mask_inverted),
    ),
    f"{A}.context": ((DROPOUT, _dropped_probabilities), *_ROWS),
    f"{A}.output": _ROWS,
    f"{F}.activation": _ROWS,
    F: _ROWS,
    "pooler": _ROWS,
}
