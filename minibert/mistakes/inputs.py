"""What goes wrong with the inputs of a call: a phrase, and other inputs.

The mask, token types, positions, words, and the order of all these.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert import arguments, functions
from minibert.batch import Batch, Limits
from minibert.runtime.arrays import Integers, Mask
from minibert.trace import silent


@dataclass(frozen=True, eq=False)
class Inputs:
    """The inputs of a call as whole arrays, of B sequences of T tokens."""

    words: NDArray[Any]  # (B, T) ids, or (B, T, C) embeddings
    mask: NDArray[np.bool_]
    types: Integers
    positions: Integers
    allowed: Mask = None  # (B, T, T): which keys each query looks at, padding among them
    source: "Inputs | None" = None  # what an encoder reads, where these are a decoder's
    across: Mask = None  # (B, T, S): which of its tokens each query looks at, padding among them

    @classmethod
    def of(cls, limits: Limits, inputs: Mapping[str, NDArray[Any]]) -> "Inputs":
        """Return the inputs of a recording; what it lacks is what a call has by default."""
        decoder = {x[len(_D) :]: array for x, array in inputs.items() if x.startswith(_D)}
        if decoder:
            source = {x: array for x, array in inputs.items() if not x.startswith(_D)}
            return replace(cls.of(limits, decoder), source=cls.of(limits, source))
        words = inputs["input_ids" if "input_ids" in inputs else "inputs_embeds"]
        shape = words.shape[:2]
        mask, allowed = arguments.mask(inputs.get("attention_mask"), shape)
        kinds = limits.type_vocab_size, limits.default_token_type
        types = arguments.token_types(inputs.get("token_type_ids"), shape, *kinds)
        count = limits.max_position_embeddings
        positions = arguments.positions(inputs.get("position_ids"), shape, count)
        return cls(words, mask, types, positions, allowed)

    def batch(self) -> Batch:
        """Pack the real tokens; all of them, where ``allowed`` says who looks at whom."""
        rows = self.mask if self.allowed is None else np.ones_like(self.mask)
        kind = "token_ids" if self.words.ndim == 2 else "token_embeddings"
        words: dict[str, Any] = {kind: self.words[rows], "allowed": self.allowed}
        batch = Batch(rows, self.types[rows], self.positions[rows], **words)
        if self.source is None:
            return batch
        plain = self.source.mask[:, None] if self.across is None else self.across
        shape = *self.mask.shape, self.source.mask.shape[1]
        looks = np.broadcast_to(plain, shape)
        return Looking(**vars(replace(batch, source=self.source.batch())), looks=looks)

    @property
    def is_masked(self) -> bool:
        """Whether who looks at whom is said besides the mask."""
        own = self.allowed is not None or self.across is not None
        return own or (self.source is not None and self.source.is_masked)

    def is_like(self, other: "Inputs") -> bool:
        """Tell whether real tokens are the same, at the same places."""
        if not np.array_equal(self.mask, other.mask):
            return False
        names = "words", "types", "positions"
        pairs = ((getattr(x, name)[x.mask] for x in (self, other)) for name in names)
        return all(np.array_equal(*pair) for pair in pairs)


@dataclass(frozen=True, eq=False)
class Looking(Batch):
    """A decoder's batch of which is known who looks at what the encoder read."""

    looks: Mask = None  # (B, T, S)

    @cached_property
    def across(self) -> Batch:
        """The batch for cross-attention."""
        batch, looks = super().across, self.looks
        assert looks is not None  # of whole arrays
        tokens = (
            replace(s, allowed=looks[s.index][np.ix_(s.columns, s.keys)]) for s in batch.sequences
        )
        return batch._with(sequences=tuple(tokens))


_D = "decoder_"
Change = Callable[[Inputs], Inputs]
Changes = tuple[tuple[str, Change], ...]

# the mask


def _looking(allowed: Callable[[Inputs], Any]) -> Change:
    """Let each query look at what ``allowed`` says, (B, T, T) or what becomes it."""

    def change(inputs: Inputs) -> Inputs:
        size, length = inputs.mask.shape
        whole = np.broadcast_to(allowed(inputs), (size, length, length))
        return replace(inputs, allowed=whole)

    return change


def _keys(keys: Callable[[NDArray[np.bool_]], Any]) -> Change:
    return _looking(lambda inputs: keys(inputs.mask)[:, None])


def _swapped(inputs: Inputs) -> Inputs:
    looking = _looking(lambda inputs: (inputs.types != 0)[:, None])(inputs)
    return replace(looking, types=inputs.mask.astype(np.int64))


def _last(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (B, T), True at the last real token of each sequence."""
    return mask & (np.cumsum(mask, axis=1) == mask.sum(axis=1, keepdims=True))


def _first(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return mask & (np.cumsum(mask, axis=1) == 1)


def zeroed(q: Any, k: Any, v: Any, allowed: Any = None, trace: Any = silent) -> Any:
    """Attend to all keys, and forget the values of those that are not allowed."""
    seen = np.ones(1, bool) if allowed is None else allowed[0]
    return functions.attention(q, k, v * seen[None, :, None].astype(v.dtype), trace=trace)


def added(q: Any, k: Any, v: Any, allowed: Any = None, trace: Any = silent) -> Any:
    """Add the mask to the scores as it is, 1 and 0: as one number more in each query and key."""
    size = q.shape[-1]
    seen = np.ones(k.shape[1], bool) if allowed is None else allowed[0]
    query = np.concatenate([q / math.sqrt(size), 0 * q[..., :1] + 1], axis=-1)
    key = np.concatenate([k, 0 * k[..., :1] + seen[:, None]], axis=-1)
    scale = q.dtype.type(math.sqrt(size + 1))
    return functions.attention(query * scale, key, v, trace=trace)


def _up_to(offset: int) -> Change:
    """Let tokens look at those before them, and at so many after."""
    return _looking(
        lambda inputs: inputs.mask[:, None] & np.tri(inputs.mask.shape[1], k=offset, dtype=bool)
    )


UP_TO_LAST, UP_TO_NEXT = _up_to(-1), _up_to(1)
EVERYTHING = _keys(np.ones_like)
FROM_OWN = _looking(
    lambda inputs: inputs.mask[:, None] & np.tri(inputs.mask.shape[1], dtype=bool).T
)
PADDING = "padding that is attended: the attention mask missing"
SWAPPED = "the attention mask and the token types swapped"
TYPES_AS_MASK = "token types that are all 1, as if the attention mask stood in their place"
LOOKING: Changes = (
    (PADDING, _keys(np.ones_like)),
    ("the attention mask inverted, so that padding alone is attended", _keys(np.logical_not)),
    ("the attention mask applied to the queries", _looking(lambda inputs: inputs.mask[..., None])),
    (
        "the attention mask one token short: the last one hidden",
        _keys(lambda mask: mask & ~_last(mask)),
    ),
    (
        "the attention mask one token too long: a token of padding attended",
        _keys(lambda mask: mask | np.roll(_last(mask), 1, axis=1)),
    ),
    (
        "the attention mask hiding the first token, [CLS]",
        _keys(lambda mask: mask & ~_first(mask)),
    ),
    ("the attention mask turned round, left and right", _keys(lambda mask: mask[:, ::-1])),
    (SWAPPED, _swapped),
    ("a causal mask: no token looks at later ones", _up_to(0)),
)


def lookings(inputs: Inputs) -> Iterator[tuple[str, Change]]:
    """Yield other masks: each wrong in itself, or that of another sequence of the batch."""
    yield from LOOKING
    for order in other_orders(len(inputs.mask), inputs.mask.sum(axis=1)):
        phrase = f"the attention mask of other sequences, in the order {[*order]}"
        yield phrase, _keys(lambda mask, order=order: mask[list(order)])  # type: ignore[misc]


ADDED = "the attention mask added to the scores as 1 and 0, not as 0 and a large negative number"
AFTER_SOFTMAX = "the attention mask applied after the softmax"
PLAIN_MASK = _keys(lambda mask: mask)


def other_orders(size: int, lengths: NDArray[Any]) -> Iterator[tuple[int, ...]]:
    """Yield orders of sequences: all of a few, the likely ones of many."""
    ups = np.argsort(lengths, kind="stable"), np.argsort(-lengths, kind="stable")
    likely = [range(size)[::-1], np.roll(range(size), 1), np.roll(range(size), -1), *ups]
    found = {tuple(int(i) for i in order) for order in likely}
    if size <= 4:
        found |= set(permutations(range(size)))
    yield from sorted(found - {tuple(range(size))})


# the mask of cross-attention


def _across(looks: Callable[[Inputs, Inputs], Any]) -> Change:
    """Let each query of a decoder look at what ``looks`` says, (B, T, S) or what becomes it."""

    def change(inputs: Inputs) -> Inputs:
        source = inputs.source
        assert source is not None  # what a decoder looks at
        shape = *inputs.mask.shape, source.mask.shape[1]
        whole = np.broadcast_to(looks(inputs, source), shape)
        return replace(inputs, source=PLAIN_MASK(source), across=whole)

    return change


def _cut(mask: NDArray[np.bool_], length: int) -> NDArray[np.bool_]:
    """Return a mask of as many columns as there are tokens to look at."""
    missing = max(length - mask.shape[1], 0)
    return np.pad(mask, ((0, 0), (0, missing)), constant_values=True)[:, None, :length]


def _up_to_query(inputs: Inputs, source: Inputs) -> Any:
    looks = np.tri(inputs.mask.shape[1], source.mask.shape[1], dtype=bool)
    return looks & source.mask[:, None]


#: Of cross-attention: what the decoder's tokens may look at of what the encoder read.
ACROSS: Changes = (
    (PADDING, _across(lambda own, source: True)),
    (
        "cross-attention with the decoder's mask",
        _across(lambda own, source: _cut(own.mask, source.mask.shape[1])),
    ),
    ("cross-attention with a causal mask, as the decoder has it", _across(_up_to_query)),
    (
        "the attention mask inverted, so that padding alone is attended",
        _across(lambda own, source: ~source.mask[:, None]),
    ),
)
