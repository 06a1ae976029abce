"""Texts that a model goes on with: what is new of them is run, and keys and values are kept.

A prompt is run once, however many texts begin with it; after that each step runs one token of each
text. Texts of other lengths lie in one batch as rows, and one that has ended is run no further. An
encoder has run before: what it read, the source, is there once for all texts of a prompt.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from minibert.batch import Batch
from minibert.cache import Cache
from minibert.runtime.arrays import Array, Integers
from minibert.runtime.parallel import pass_in_turn


class Writer(Protocol):
    """A model that says which word comes next."""

    def next_batch(
        self, source: Batch | None, ids: Any, mask: Any, positions: Any, cache: Cache | None
    ) -> Batch:
        """Pack the tokens (B, T) that are run next; mask: of all tokens."""

    def next_logits(self, batch: Batch) -> Array:
        """Return a score for each word to come after the last token of each sequence."""


class Texts:
    """So many texts from each prompt, all of one length; -1 stands for padding before them."""

    def __init__(
        self,
        model: Writer,
        prompts: Integers,
        mask: NDArray[np.bool_],
        room: int,
        times: int = 1,
        use_cache: bool = True,
        source: Batch | None = None,
    ) -> None:
        """Begin with prompts (B, T), where the mask is True, and room for so many tokens more.

        times: how many texts go on from each prompt. source: what the encoder read, with states.
        """
        order = np.argsort(mask, axis=1, kind="stable")  # padding comes first
        words = np.take_along_axis(np.where(mask, prompts, -1), order, axis=1)
        self.length = self.prompt = prompts.shape[1]
        self._words = np.full((len(prompts) * times, self.length + room), -1)
        self._words[:, : self.length] = words.repeat(times, axis=0)
        self._model, self._times, self._source = model, times, source
        self._cache = Cache() if use_cache else None

    def __len__(self) -> int:
        return len(self._words)

    @property
    def running(self) -> NDArray[np.bool_]:
        """Which texts have not ended."""
        return self._words[:, self.length - 1] >= 0

    @property
    def words(self) -> Integers:
        """The tokens of those that have not ended, (n, T)."""
        words: Integers = self._words[self.running, : self.length]
        return words

    def next_logits(self) -> Array:
        """Return a score for each word that may come, of texts that have not ended: (n, V)."""
        is_first, cache = self.length == self.prompt, self._cache
        words = self._words[:: self._times if is_first else 1, : self.length]
        mask = words >= 0
        start = cache.get_seq_length() if cache else 0
        seen = mask if cache is not None else mask & mask[:, -1:]
        positions = np.maximum(np.cumsum(mask, axis=1) - 1, 0)[:, start:]
        new = np.maximum(words[:, start:], 0), seen, positions
        batch = self._model.next_batch(self._source, *new, cache)
        scores = pass_in_turn(self._model.next_logits, batch).astype(np.float32)
        if cache is not None:
            cache.add(batch.mask)
        if is_first and self._times > 1:
            self._part(np.arange(len(words)).repeat(self._times))
            scores = scores.repeat(self._times, axis=0)
        return scores

    def _part(self, parents: Integers) -> None:
        """Let the texts of a prompt, which have been one so far, go on as several."""
        source = self._source
        if self._cache is not None:
            self._cache.select(parents.tolist())
        elif source is not None and source.states is not None:
            mask, nothing = source.mask[parents], np.zeros(0, np.int64)
            states = source.unpack(source.states)[parents][mask]
            self._source = Batch(mask, nothing, nothing, states=states)

    def add(self, words: Integers, running: NDArray[np.bool_]) -> None:
        """Add a word to each text, (R,); where one does not go on, it has ended."""
        self._words[:, self.length] = np.where(running, words, -1)
        self.length += 1

    def select(self, parents: Integers) -> None:
        """Go on with these texts, (R,): one may go on as several, each with another next word."""
        self._words = self._words[parents]
        if self._cache is not None:
            self._cache.select(parents.tolist())
