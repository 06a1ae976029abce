"""Which words a recording was made of, read off its embeddings."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from minibert.mistakes.inputs import Inputs
from minibert.runtime.arrays import Array
from minibert.runtime.swap import replacement_for
from minibert.verification.isolate import Isolation
from minibert.verification.parts import is_embeddings, part_in, part_of
from minibert.verification.trials import Trial, of_stack, read_by

MOST = 512  # tokens that are looked up
CHUNK = 2048  # rows of the table at a time
SHOWN = 5  # words that are named


def other_words(side: Isolation, stage: str) -> Trial | None:
    """Return the trial of the words that come nearest to what is recorded, where that is off."""
    inputs_of = read_by(side.inputs, stage)
    if not is_embeddings(stage) or inputs_of.words.ndim > 2 or replacement_for("embeddings"):
        return None  # a function in place of all of them has no table to look in
    error = np.abs(side.stages[stage] - side.computed(stage)).max(axis=-1)
    real = side.tokens(stage)
    off = real & (error > 1e-3 * error[real].max())
    if not 0 < off.sum() <= MOST:
        return None
    ids = _nearest(side, stage, off)
    if (ids == inputs_of.words[off]).any():
        return None

    def change(inputs: Inputs) -> Inputs:
        words = inputs.words.copy()
        words[off] = ids
        return replace(inputs, words=words)

    places = ", ".join(f"[{b}, {t}]" for b, t in np.argwhere(off)[:SHOWN])
    more = f", and {len(ids) - SHOWN} others elsewhere" if len(ids) > SHOWN else ""
    whole = inputs_of.words.copy()
    whole[off] = ids
    for said, moved in SHIFTS:
        if np.array_equal(*moved(whole, inputs_of.words, real)):
            return Trial((stage,), said, inputs=of_stack(stage, change))
    phrase = f"other words: at {places} those of ids {', '.join(map(str, ids[:SHOWN]))}{more}"
    return Trial((stage,), phrase, inputs=of_stack(stage, change))


#: What the words of a decoder may be beside those that it should read.
SHIFTS: tuple[tuple[str, Callable[[Any, Any, Any], Any]], ...] = (
    (
        "inputs that are not shifted to the right: each token is the next one",
        lambda x, own, real: (x[:, :-1][real[:, 1:]], own[:, 1:][real[:, 1:]]),
    ),
    (
        "inputs that are shifted twice: each token is the one before",
        lambda x, own, real: (x[:, 1:][real[:, 1:]], own[:, :-1][real[:, 1:]]),
    ),
)


def _nearest(side: Isolation, stage: str, off: Any) -> Any:
    """Return for each token the word whose vector comes nearest to what is recorded."""
    parts = part_in(side.model, part_of(stage))
    rest = _without_words(side, stage)[off]
    norm = getattr(parts, "norm", None)
    theirs = side.stages[stage][off].astype(np.float64)
    best, found = np.full(len(rest), np.inf), np.zeros(len(rest), int)
    for start in range(0, len(parts.word), CHUNK):
        words = parts.word[start : start + CHUNK].astype(np.float64) * getattr(parts, "scale", 1)
        distances = _distances(words, rest.astype(np.float64), theirs, stage, norm)
        nearest = distances.argmin(axis=0)
        distance = distances[nearest, np.arange(len(rest))]
        found = np.where(distance < best, start + nearest, found)
        best = np.minimum(distance, best)
    return found


def _without_words(side: Isolation, stage: str) -> Array:
    """Return the sum of a token's vectors but for that of its word."""
    source = f"{part_of(stage)}.sum"
    if source not in side.axes:
        source = stage
    name = part_of(stage)

    def change(part: str, x: Any) -> Any:
        return replace(x, word=0 * x.word) if part == name else x

    return side.computed(source, change=change, without=side.axes)


def _distances(words: Array, rest: Array, theirs: Array, stage: str, norm: Any) -> Array:
    """Return how far each word (rows) leads from what is recorded at each token (columns).

    After a norm that is 1 less the correlation of the vectors, which scale and shift leave alone.
    """
    distances: Array
    if stage.endswith(".sum") or norm is None:
        target = theirs - rest
        distances = np.square(words).sum(axis=1)[:, None] - 2 * words @ target.T
        return distances
    weight, bias = norm.weight.astype(np.float64), norm.bias.astype(np.float64)
    known = weight != 0
    target = np.where(known, (theirs - bias) / np.where(known, weight, 1), 0)
    target -= target.mean(axis=1, keepdims=True)
    words, rest = (x - x.mean(axis=1, keepdims=True) for x in (words, rest))
    sizes = np.square(words).sum(axis=1)[:, None] + 2 * words @ rest.T + np.square(rest).sum(axis=1)
    products: Array = words @ target.T + (rest * target).sum(axis=1)
    distances = 1 - products / np.sqrt(np.maximum(sizes, 1e-300))
    return distances
