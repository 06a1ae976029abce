"""Writing on: of the words that may come next the likeliest, again and again.

A prompt is run once; after that each step runs one token of each text, for the cache keeps what the
others are looked at for. Texts of other lengths lie in one batch as rows; one that has ended is run
no further.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from minibert import arguments
from minibert.batch import Batch
from minibert.cache import Cache
from minibert.runtime.arrays import Array, Integers
from minibert.runtime.spelling import spelled
from minibert.runtime.threads import in_turn


class Writer(Protocol):
    """A model that says which word comes next."""

    config: Any

    def batch(self, *inputs: Any, **named: Any) -> Batch:
        """Check the inputs of a call, and pack them."""

    def next_logits(self, batch: Batch) -> Array:
        """Return a score for each word to come after the last token of each sequence."""


@spelled
def generate(
    model: Writer,
    input_ids: Any,
    attention_mask: Any = None,
    max_new_tokens: int = 20,
    eos_token_id: int | list[int] | None = None,
    pad_token_id: int | None = None,
) -> Integers:
    """Return the prompts (B, T) and what comes after them, (B, T + n).

    attention_mask: (B, T), 0 at padding, on either side: it is not looked at, and new words come
    behind the last column all the same. max_new_tokens: how many words at most. eos_token_id: with
    which a text ends, None: the config's. pad_token_id: what follows the end of a text that is
    shorter than others, None: the config's, or the end itself.
    ValueError for a prompt of padding alone, and where the model has no more positions.
    """
    config = model.config
    ids = arguments.indices("input_ids", input_ids, config.vocab_size, "vocab_size")
    mask, allowed = arguments.mask(attention_mask, ids.shape)
    _check(mask, allowed, max_new_tokens, config.max_position_embeddings)
    given = config.eos_token_id if eos_token_id is None else eos_token_id
    ends = [] if given is None else [*np.atleast_1d(given)]
    pads = (pad_token_id, config.pad_token_id, *ends, 0)
    pad = next(token for token in pads if token is not None)
    words = [*_written(model, ids, mask, max_new_tokens, ends, pad)]
    return np.concatenate([ids, *(word[:, None] for word in words)], axis=1)


def _check(mask: NDArray[np.bool_], allowed: Any, count: int, positions: int) -> None:
    if allowed is not None:
        raise ValueError("attention_mask has an axis for queries; to generate it is (B, T)")
    if not mask.any(axis=1).all():
        row = int(mask.any(axis=1).argmin())
        raise ValueError(f"prompt {row} is padding alone: there is nothing to go on from")
    if count < 1:
        raise ValueError(f"max_new_tokens is {count}; allowed: 1 and more")
    longest = int(mask.sum(axis=1).max())
    if longest + count > positions:
        raise ValueError(
            f"a prompt of {longest} tokens and max_new_tokens={count} make {longest + count}; "
            f"this model has positions for {positions} (max_position_embeddings)"
        )


def _written(
    model: Writer, ids: Integers, mask: NDArray[np.bool_], count: int, ends: list[int], pad: int
) -> Iterator[Integers]:
    """Yield the next word of each text (B,), until all have ended; ``pad`` where one has."""
    cache, new, runs = Cache(), mask, np.ones(len(ids), bool)
    positions = np.maximum(np.cumsum(mask, axis=1) - 1, 0)  # of real tokens alone
    for _ in range(count):
        seen = np.concatenate([cache.mask, new], axis=1) if cache else new
        batch = model.batch(ids, seen, position_ids=positions, cache=cache)
        words = np.full(len(ids), pad)
        words[runs] = in_turn(model.next_logits, batch).argmax(axis=-1)
        cache.add(batch.mask)
        yield words
        runs = runs & ~np.isin(words, ends)
        if not runs.any():
            return
        ids, new, positions = words[:, None], runs[:, None], positions[:, -1:] + 1
