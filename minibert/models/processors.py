"""What is done to the scores of the next word before one is chosen, in transformers' order.

A step takes the words so far, (n, T), and a score for each that may come, (n, V), and returns such
scores anew: -inf for a word that may not come. The words of a text end in the last column; what is
-1 before them is padding.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from minibert.models.generation_config import GenerationConfig
from minibert.runtime.arrays import Array, Integers

Step = Callable[[Integers, Array], Array]


def log_softmax(scores: Array) -> Array:
    """Return the logarithms of the probabilities, (n, V) -> (n, V)."""
    less = scores - scores.max(axis=-1, keepdims=True)
    logs: Array = less - np.log(np.exp(less).sum(axis=-1, keepdims=True))
    return logs


def without(scores: Array, forbidden: NDArray[np.bool_]) -> Array:
    """Return the scores, -inf where a word is forbidden, (n, V) or (V,)."""
    lower: Array = np.where(forbidden, scores.dtype.type(-np.inf), scores)
    return lower


def repeated_less(seen: Integers, scores: Array, penalty: float) -> Array:
    """Make the words that were there less likely, by a factor (Keskar et al. 2019)."""
    words, scores = np.where(seen < 0, seen[:, -1:], seen), scores.copy()
    found = np.take_along_axis(scores, words, axis=1)
    lower = np.where(found < 0, found * penalty, found / penalty)
    np.put_along_axis(scores, words, lower.astype(scores.dtype), axis=1)
    return scores


def no_ngram_twice(seen: Integers, scores: Array, size: int) -> Array:
    """Forbid the word that would complete a sequence of ``size`` words that was there before."""
    if seen.shape[1] < size:
        return scores
    windows = sliding_window_view(seen, size, axis=1)  # (n, T - size + 1, size)
    last = seen[:, seen.shape[1] + 1 - size :]
    alike = (windows[:, :, :-1] == last[:, None]).all(axis=2) & (windows[:, :, -1] >= 0)
    forbidden = np.zeros(scores.shape, bool)
    rows, columns = np.nonzero(alike)
    forbidden[rows, windows[rows, columns, -1]] = True
    return without(scores, forbidden)


def no_bad_word(seen: Integers, scores: Array, words: Sequence[Sequence[int]]) -> Array:
    """Forbid the last token of each word whose other tokens have just been written."""
    forbidden = np.zeros(scores.shape, bool)
    for *before, last in words:
        if len(before) <= seen.shape[1]:
            given = seen[:, seen.shape[1] - len(before) :]
            forbidden[:, last] |= (given == before).all(axis=1)
    return without(scores, forbidden)


def never(seen: Integers, scores: Array, words: Any, before: float = np.inf) -> Array:
    """Forbid words in a text of fewer than ``before`` tokens."""
    if seen.shape[1] >= before:
        return scores
    return without(scores, np.isin(np.arange(scores.shape[1]), words))


def at_first(seen: Integers, scores: Array, words: Any, length: int) -> Array:
    """Forbid words where the text has so many tokens."""
    return never(seen, scores, words) if seen.shape[1] == length else scores


def forced(seen: Integers, scores: Array, words: Any, length: int) -> Array:
    """Allow these words alone where the text has so many tokens: their score is 0."""
    if seen.shape[1] != length:
        return scores
    only = np.full_like(scores, -np.inf)
    only[:, words] = 0
    return only


def warmer(seen: Integers, scores: Array, temperature: float) -> Array:
    """Make all words more alike, or less (below 1)."""
    return scores / temperature


def likeliest(seen: Integers, scores: Array, count: int) -> Array:
    """Keep the ``count`` likeliest words (Fan et al. 2018), and what is as likely as the last."""
    count = min(count, scores.shape[1])
    least = np.partition(scores, -count, axis=1)[:, -count, None]
    return without(scores, scores < least)


def nucleus(seen: Integers, scores: Array, share: float, least: int = 1) -> Array:
    """Keep the likeliest words that together have this probability (Holtzman et al. 2020)."""
    order = np.argsort(scores, axis=1, kind="stable")
    rising = np.exp(log_softmax(np.take_along_axis(scores, order, axis=1)))
    outside = np.cumsum(rising, axis=1) <= 1 - share
    outside[:, -least:] = False
    forbidden = np.empty_like(outside)
    np.put_along_axis(forbidden, order, outside, axis=1)
    return without(scores, forbidden)


def near_the_best(seen: Integers, scores: Array, share: float, least: int = 1) -> Array:
    """Keep the words of at least this share of the likeliest one's probability."""
    probabilities = np.exp(log_softmax(scores))
    outside = probabilities < share * probabilities.max(axis=1, keepdims=True)
    kept = np.argsort(-probabilities, axis=1, kind="stable")[:, :least]
    np.put_along_axis(outside, kept, np.zeros(kept.shape, bool), axis=1)
    return without(scores, outside)


def steps_of(settings: GenerationConfig, ends: list[int], prompt: int, longest: int) -> list[Step]:
    """Return the steps that the settings ask for.

    ends: the words that end a text. prompt, longest: how many tokens a text has at first, and at
    most.
    """
    s, found = settings, list[Step]()
    if s.repetition_penalty != 1:
        found.append(partial(repeated_less, penalty=s.repetition_penalty))
    if s.no_repeat_ngram_size > 0:
        found.append(partial(no_ngram_twice, size=s.no_repeat_ngram_size))
    bad = [word for word in s.bad_words_ids or () if len(word) > 1 or word[0] not in ends]
    if bad:
        found.append(partial(no_bad_word, words=bad))
    least = s.min_length if s.min_new_tokens is None else prompt + s.min_new_tokens
    if ends and least > prompt:
        found.append(partial(never, words=ends, before=least))
    if s.forced_bos_token_id is not None:
        found.append(partial(forced, words=s.forced_bos_token_id, length=1))
    if s.forced_eos_token_id is not None:
        found.append(partial(forced, words=s.forced_eos_token_id, length=longest - 1))
    if s.suppress_tokens is not None:
        found.append(partial(never, words=s.suppress_tokens))
    if s.begin_suppress_tokens is not None:
        first = prompt + (prompt == 1 and s.forced_bos_token_id is not None)
        found.append(partial(at_first, words=s.begin_suppress_tokens, length=first))
    return found + (_warpers(s, ends) if s.do_sample else [])


def _warpers(settings: GenerationConfig, ends: list[int]) -> list[Step]:
    """Return the steps of sampling; with beams, a word is left beside those that end a text."""
    s, found = settings, list[Step]()
    least = max(2, len(ends) + 1) if s.num_beams > 1 else 1
    if s.temperature != 1:
        found.append(partial(warmer, temperature=s.temperature))
    if s.top_k:
        found.append(partial(likeliest, count=max(s.top_k, least)))
    if s.top_p < 1:
        found.append(partial(nucleus, share=s.top_p, least=least))
    if s.min_p is not None:
        found.append(partial(near_the_best, share=s.min_p, least=least))
    return found
