"""Keys and values of the tokens so far: those that come next look at them, and at no more.

Real tokens alone are kept, each sequence's by itself: 2 * layers * tokens * C numbers, and room for
an eighth more, so that a token is copied a few times and not at every step.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minibert.runtime.arrays import Array
from minibert.runtime.spelling import Spelled

MIN_ROOM = 32  # tokens


@dataclass(frozen=True, eq=False)
class Past:
    """The keys and values of one layer, or of some of its heads."""

    kept: list[Array]  # of each sequence, (2, H, room, D)
    counts: list[int]  # how many tokens of each there are so far

    def extended(self, index: int, key: Array, value: Array) -> tuple[Array, Array]:
        """Add those of new tokens of a sequence, (H, T, D) each; return all, (H, K, D) each."""
        kept, start = self.kept[index], self.counts[index]
        end = start + key.shape[1]
        kept[0, :, start:end], kept[1, :, start:end] = key, value
        return kept[0, :, :end], kept[1, :, :end]

    def of_heads(self, heads: slice) -> "Past":
        """Return those of some heads."""
        return Past([kept[:, heads] for kept in self.kept], self.counts)


class Cache(Spelled):
    """What a model returns as ``past_key_values``, and takes: each call adds its own tokens.

    ``cache[i]`` are the keys and the values of a layer, (B, H, T, D) each, zeros at padding. A call
    changes it: two texts that begin alike need a cache each. Where there is an encoder,
    ``cache.source[i]`` are those of its tokens in a layer's cross-attention, kept once for all.
    """

    def __init__(self) -> None:
        self.mask = np.zeros((0, 0), bool)  # (B, T), of all calls so far
        self.layers: list[list[Array]] = []
        self.source: Cache | None = None  # of what the encoder read, if a decoder looks at it

    def __repr__(self) -> str:
        source = f" and {self.source.get_seq_length()} of a source" if self.source else ""
        tokens = f"{len(self.mask)} sequences of {self.get_seq_length()} tokens{source}"
        return f"Cache({tokens}, {len(self)} layers)"

    def get_seq_length(self) -> int:
        """Return how many tokens it holds of each sequence, padding among them."""
        return self.mask.shape[1]

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, i: int) -> tuple[Array, Array]:
        kept = self.layers[i]
        _, heads, _, width = kept[0].shape
        whole = np.zeros((2, len(kept), self.mask.shape[1], heads, width), kept[0].dtype)
        for b, count in enumerate(self.counts):
            whole[:, b, self.mask[b]] = kept[b][:, :, :count].transpose(0, 2, 1, 3)
        keys, values = whole.transpose(0, 1, 3, 2, 4)
        return keys, values

    @property
    def counts(self) -> list[int]:
        """How many real tokens there are of each sequence."""
        counts: list[int] = self.mask.sum(axis=1).tolist()
        return counts

    def of_layer(self, i: int) -> Past:
        """Return what a layer's attention reads and extends."""
        return Past(self.layers[i], self.counts)

    def of_source(self, i: int) -> Past:
        """Return what a layer's cross-attention reads, and at the first call computes."""
        assert self.source is not None  # a decoder's cache has one
        past = self.source.of_layer(i)
        return past if self.get_seq_length() else Past(past.kept, [0] * len(past.counts))

    def reserve(
        self, mask: NDArray[np.bool_], layers: int, heads: int, width: int, dtype: DTypeLike
    ) -> None:
        """Make room for the tokens of a batch, (B, T), which are not added yet."""
        if not self.layers:
            self.mask = np.zeros((len(mask), 0), bool)
            nothing = np.empty((2, heads, 0, width), dtype)
            self.layers = [[nothing] * len(mask) for _ in range(layers)]
        for b, (count, new) in enumerate(zip(self.counts, mask.sum(axis=1).tolist(), strict=True)):
            needed = count + new
            room = needed + max(MIN_ROOM, needed // 8) if count else needed
            for kept in self.layers:
                if kept[b].shape[2] < needed:
                    larger = np.empty((2, heads, room, width), dtype)
                    larger[:, :, :count] = kept[b][:, :, :count]
                    kept[b] = larger

    def add(self, mask: NDArray[np.bool_]) -> None:
        """Count the tokens of a batch, (B, T), now that every layer has extended its own."""
        self.mask = np.concatenate([self.mask, mask], axis=1)

    def select(self, parents: list[int]) -> None:
        """Go on with these sequences; one may be there several times, to go on in as many ways.

        The first of them takes the arrays of the sequence, others get copies, written over the
        arrays of those that do not go on.
        """
        counts, dropped = self.counts, sorted({*range(len(self.mask))} - {*parents})
        for i, kept in enumerate(self.layers):
            free, taken = [kept[b] for b in dropped], set[int]()
            self.layers[i] = []
            for b in parents:
                own, count = kept[b], counts[b]
                if b in taken:
                    fits = free and free[-1].shape[2] >= count
                    own = free.pop() if fits else np.empty_like(own)
                    own[:, :, :count] = kept[b][:, :, :count]
                taken.add(b)
                self.layers[i].append(own)
        self.mask = self.mask[parents]
        if self.source is not None:  # which nothing is written to any more
            self.source.mask = self.source.mask[parents]
            self.source.layers = [[kept[b] for b in parents] for kept in self.source.layers]
