"""Beam search: of each prompt the likeliest texts as a whole, not word by word.

Several texts, the beams, run at once. Each step looks at all their next words and goes on with the
likeliest texts; those that end are kept, the best by their score divided by a power of their
length. What is compared, and in which order, is transformers' vectorised search, so that the texts
are the same.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.models.generation_config import GenerationConfig
from minibert.models.processors import log_softmax
from minibert.models.texts import Texts
from minibert.runtime.arrays import Array, Integers

FEW = 1000  # to be sorted all
FAR = np.float32(-1e9)  # below every score of a text


def best(scores: Array, count: int) -> Integers:
    """Return where the highest scores of each row are, in order: (B, n) -> (B, count).

    Of equal ones the first come first; among thousands of words it is not said which.
    """
    if scores.shape[1] <= FEW:
        return np.argsort(-scores, axis=1, kind="stable")[:, :count]
    found = np.argpartition(scores, -count, axis=1)[:, -count:]
    return _of(found, np.argsort(-_of(scores, found), axis=1, kind="stable"))


def drawn(scores: Array, count: int, random: np.random.Generator) -> Integers:
    """Return as many places drawn by their probabilities, none twice, the highest scores first.

    The largest of scores with a draw from Gumbel's distribution added are such a sample (Kool et
    al. 2019).
    """
    found = best(scores + random.gumbel(size=scores.shape), count)
    return _of(found, np.argsort(-_of(scores, found), axis=1, kind="stable"))


class BeamSearch:
    """The search of all prompts of a batch; ``run`` does a step at a time."""

    def __init__(
        self,
        texts: Texts,
        settings: GenerationConfig,
        ends: list[int],
        count: int,
        fill: int,
        random: np.random.Generator,
    ) -> None:
        """Begin with num_beams texts of each prompt.

        ends: the words that end a text. count: how many words there are at most. fill: what stands
        after the end.
        """
        beams, self.texts, self.settings, self.ends = settings.num_beams, texts, settings, ends
        shape = len(texts) // beams, beams
        self.count, self.random = count, random
        self.running = np.full((*shape, count), fill)  # the words of the beams
        self.scores = np.zeros(shape, np.float32)
        self.scores[:, 1:] = FAR  # all beams of a prompt are the same text at first
        self.kept, self.lengths = self.running.copy(), np.zeros(shape, int)  # of what has ended
        self.kept_scores = np.full(shape, FAR)
        self.is_end = np.zeros(shape, bool)  # whether what is kept has ended
        self.is_open = np.ones(len(self.scores), bool)  # whether a beam may still become better

    def run(self, process: Callable[[Integers, Array], Array]) -> Iterator[None]:
        """Go on step by step until nothing better can come. process: changes scores."""
        is_done = np.zeros(len(self.scores), bool)
        for i in range(self.count):
            scores, parents, words = self._candidates(process)
            texts = _of(self.running, parents)
            texts[:, :, i] = words
            ended = np.isin(words, self.ends) | (i + 1 == self.count)
            chosen = best(scores + ended * FAR, self.scores.shape[1])
            self.running = _of(texts, chosen)
            self.scores = _of(scores + ended * FAR, chosen)
            self._keep(texts, scores, ended, i + 1)
            self._close(i + 1)
            yield
            is_full = self.settings.early_stopping is True and self.is_end.all(axis=1)
            is_done |= ~self.is_open | is_full
            if is_done.all() or ended[~is_done].all():
                return
            self._go_on(_of(parents, chosen), self.running[:, :, i], is_done)

    def _candidates(
        self, process: Callable[[Integers, Array], Array]
    ) -> tuple[Array, Integers, Integers]:
        """Return the likeliest next texts: their scores, the beams they come from, their words."""
        scores = process(self.texts.words, log_softmax(self.texts.next_logits()))
        size, beams = self.scores.shape
        logs = np.full((size * beams, scores.shape[1]), -np.inf, np.float32)
        logs[self.texts.running] = scores
        total = (logs.reshape(size, beams, -1) + self.scores[:, :, None]).reshape(size, -1)
        count = min(max(2, 1 + len(self.ends)) * beams, total.shape[1])  # so that beams remain
        draws = self.settings.do_sample
        places = drawn(total, count, self.random) if draws else best(total, count)
        return _of(total, places), *divmod(places, scores.shape[1])

    def _keep(self, texts: Integers, scores: Array, ended: NDArray[np.bool_], length: int) -> None:
        """Keep those that have ended, if they are better than what is kept."""
        beams = self.scores.shape[1]
        counts = ended & (np.arange(ended.shape[1]) < beams)  # the others are there as a reserve
        scores = scores / length**self.settings.length_penalty
        is_full = self.settings.early_stopping is True and self.is_end.all(axis=1)
        for out in (is_full & np.ones_like(self.is_open), ~self.is_open):
            scores = scores + out[:, None] * FAR
        merged = np.concatenate([scores + ~counts * FAR, self.kept_scores], axis=1)
        chosen = best(merged, beams)
        lengths = np.full(scores.shape, length)
        self.kept_scores = _of(merged, chosen)
        self.kept = _of(np.concatenate([texts, self.kept], axis=1), chosen)
        self.lengths = _of(np.concatenate([lengths, self.lengths], axis=1), chosen)
        self.is_end = _of(np.concatenate([counts, self.is_end], axis=1), chosen)

    def _close(self, length: int) -> None:
        """See which prompts have beams that may become better than the worst that is kept.

        If a beam did not become less likely from now on; ``early_stopping="never"``: as long as it
        may become, if that makes it better.
        """
        penalty = self.settings.length_penalty
        longest = self.settings.early_stopping == "never" and penalty > 0
        possible = self.scores[:, :1] / (self.count if longest else length) ** penalty
        worst = np.where(self.is_end, self.kept_scores.min(axis=1, keepdims=True), FAR)
        self.is_open &= (possible > worst).any(axis=1)

    def _go_on(self, parents: Integers, words: Integers, is_done: NDArray[np.bool_]) -> None:
        """Let each beam be the text that it comes from, and the next word."""
        size, beams = parents.shape
        parents = np.where(is_done[:, None], np.arange(beams), parents)
        self.texts.select((parents + beams * np.arange(size)[:, None]).ravel())
        self.texts.add(words.ravel(), (~is_done).repeat(beams))

    def results(self, count: int) -> tuple[Integers, Array]:
        """Return the best texts of each prompt, (B * count, T), and their scores."""
        longest = int(self.lengths[:, :count].max())
        texts = self.kept[:, :count, :longest].reshape(-1, longest)
        return texts, self.kept_scores[:, :count].ravel()


def _of(array: NDArray[Any], places: Integers) -> NDArray[Any]:
    """Return some columns of each row: (B, n, ...), (B, k) -> (B, k, ...)."""
    return array[np.arange(len(array))[:, None], places]
