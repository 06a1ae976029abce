"""Dropout recognised from recorded numbers: which were dropped is not known, but it shows.

Each function takes this model's numbers and the recorded ones, and returns ours with the dropout
that comes nearest: it is there only if that is what was recorded.
"""

import math
from itertools import combinations

import numpy as np

from minibert.functions import layer_norm, merge_heads, split_heads
from minibert.layers import LayerNorm
from minibert.runtime.arrays import Array

SHARES = (0.1, 0.05, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)  # that are dropped in practice
ROUNDS = 60


def dropped(own: Array, theirs: Array) -> Array:
    """Set to 0 what the recording has as 0, and divide the rest by what was kept of it."""
    gone = (theirs == 0) & (own != 0)
    kept = ~gone & (own != 0)
    is_some = 0 < gone.sum() < 0.6 * np.count_nonzero(own) and kept.any()
    if not is_some or (gone.all(axis=-1) & own.any(axis=-1)).any():  # whole tokens: no chance
        return own
    share = float(np.median(theirs[kept] / own[kept]))
    return np.where(gone, 0, own * share)


def dropped_before_norm(x: Array, change: Array, theirs: Array, norm: LayerNorm) -> Array:
    """Return the norm's result (N, C), ``change`` dropped before it was added to x.

    What a norm was given is known up to scale and shift of each row; they are those with which each
    number is that of x, or of x and the change.
    """
    weight, bias = norm.weight.astype(np.float64), norm.bias.astype(np.float64)
    known = weight != 0
    normed = np.where(known, (theirs - bias) / np.where(known, weight, 1), 0)
    best: Array = x + change
    least = np.inf
    for share in SHARES:
        added = change / (1 - share)
        kept = _kept(normed, x, added)
        given = x + added * kept
        error = np.abs(_fitted(normed, given, np.ones_like(x)) - given).max(axis=1)
        if (size := float(np.median(error))) < least:
            best, least = given, size
    made: Array = layer_norm(best, weight, bias, norm.eps)
    return made


def _fitted(normed: Array, target: Array, weights: Array) -> Array:
    """Scale and shift each row so that it comes nearest to its target."""
    total = weights.sum(axis=1, keepdims=True)
    a, b = ((weights * z).sum(axis=1, keepdims=True) / total for z in (normed, target))
    x, y = normed - a, target - b
    scale = (weights * x * y).sum(axis=1, keepdims=True)
    found: Array = x * scale / np.maximum((weights * x * x).sum(axis=1, keepdims=True), 1e-300) + b
    return found


def _kept(normed: Array, x: Array, added: Array) -> Array:
    """Return where each number is nearer to x and the change than to x alone."""
    kept, weights = np.ones(x.shape, bool), np.ones_like(x)
    for count in range(ROUNDS):
        fitted = _fitted(normed, x + added * kept, weights)
        off = np.abs(fitted - x - added * kept)
        if count < ROUNDS // 2:  # most are kept: the others must not draw the scale to them
            weights = 1 / np.maximum(off, 1e-3 * np.abs(added).mean())
        else:
            weights = np.ones_like(x)
            kept = np.abs(fitted - x - added) < np.abs(fitted - x)
    return kept


MOST = 4000  # sets of keys that are tried, where there are more keys than numbers in a head


def dropped_keys(probabilities: Array, values: Array, contexts: Array) -> Array:
    """Return one sequence's contexts (T, C), some of the probabilities (H, T, T) being 0."""
    ours = probabilities.astype(np.float64)
    theirs, value = (split_heads(x.astype(np.float64), len(ours)) for x in (contexts, values))
    if value.shape[1] > value.shape[2]:
        return merge_heads(_with_few_keys_less(ours, value, theirs))
    ratio = theirs @ np.linalg.pinv(value) / ours
    share = float(np.median(ratio[ratio > 0.5])) if (ratio > 0.5).any() else 1.0
    kept = ratio > share / 2
    return merge_heads(ours * kept * share @ value)


def _with_few_keys_less(ours: Array, value: Array, theirs: Array) -> Array:
    """Leave out of each row the few keys with which it comes nearest."""
    length = value.shape[1]
    few = [n for n in range(5) if math.comb(length, n) <= MOST]
    sets = [keys for n in few for keys in combinations(range(length), n)]
    kept = np.ones((len(sets), length))
    for row, keys in zip(kept, sets, strict=True):
        row[[*keys]] = 0
    best, least = theirs * 0, np.inf
    for share in SHARES:
        made = np.empty_like(theirs)
        for place in np.ndindex(theirs.shape[:2]):
            found = (ours[place] * kept) @ value[place[0]] / (1 - share)
            made[place] = found[np.square(found - theirs[place]).sum(axis=1).argmin()]
        size = float(np.median(np.abs(made - theirs).max(axis=-1)))
        if size < least:
            best, least = made, size
    return best
