"""A model in another precision, whole or some layers of it, with parts exchanged at will.

Only what runs is converted, each layer when its turn comes, so that a large model needs no second
copy of its weights.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from minibert.batch import Batch
from minibert.models.base import PreTrainedModel
from minibert.runtime.arrays import Array
from minibert.trace import Trace

Change = Callable[[str, Any], Any]  # takes the name of a part and the part: "layer.3", "pooler"


def in_dtype(part: Any, dtype: Any) -> Any:
    """Return a part of a model with all its arrays in a dtype, read-only."""
    if isinstance(part, np.ndarray):
        if part.dtype == dtype:
            return part
        array = part.astype(dtype)
        array.setflags(write=False)
        return array
    if is_dataclass(part) and not isinstance(part, type):
        changed = {f.name: in_dtype(getattr(part, f.name), dtype) for f in fields(part)}
        return replace(part, **changed)
    return part


MAX_LAYERS = 8  # of a cache


def unchanged(name: str, part: Any) -> Any:
    """Exchange nothing."""
    return part


@dataclass(frozen=True, eq=False)
class Layers:
    """The layers ``first`` to ``last`` of a model, converted one by one; those before pass on."""

    layers: tuple[Any, ...]
    first: int
    last: int
    dtype: Any
    change: Change
    cache: dict[tuple[int, str], Any] | None  # of converted layers

    def __len__(self) -> int:
        return self.last + 1

    def __iter__(self) -> Iterator[Any]:
        for i in range(len(self)):
            yield _pass_on if i < self.first else self[i]

    def __getitem__(self, i: int) -> Any:
        if self.cache is None:
            return self.change(f"layer.{i}", in_dtype(self.layers[i], self.dtype))
        key = i, np.dtype(self.dtype).name
        if key not in self.cache:
            while len(self.cache) >= MAX_LAYERS:
                del self.cache[next(iter(self.cache))]
            self.cache[key] = in_dtype(self.layers[i], self.dtype)
        return self.change(f"layer.{i}", self.cache[key])


def _pass_on(x: Array, trace: Trace, batch: Batch) -> Array:
    return x


@dataclass(frozen=True, eq=False)
class Nothing:
    """Embeddings of zeros, in place of which the trace knows what goes on."""

    word: Array

    def __call__(self, batch: Batch, trace: Trace) -> Array:
        """Return rows of zeros."""
        return np.zeros((np.count_nonzero(batch.mask), self.word.shape[1]), self.word.dtype)


def cast(
    model: PreTrainedModel,
    batch: Batch,
    dtype: Any,
    first: int = -1,
    last: int | None = None,
    change: Change = unchanged,
    cache: dict[tuple[int, str], Any] | None = None,
) -> tuple[Any, Batch]:
    """Return a model and a batch in a dtype.

    first: the layer to begin with, what goes into it being known; -1: the embeddings.
    last: the last layer that is run; None: all, and what comes after them.
    cache: of converted layers, for the next time.
    """
    encoder = copy.copy(model.base_model)
    end = len(encoder.layers) - 1 if last is None else last
    encoder.layers = Layers(encoder.layers, max(first, 0), end, dtype, change, cache)
    embeddings, batch = _few_words(model.base_model.embeddings, batch, dtype)
    if first < 0:
        encoder.embeddings = change("embeddings", in_dtype(embeddings, dtype))
    else:
        encoder.embeddings = Nothing(in_dtype(embeddings.word, dtype))
    for name, part in vars(encoder).items():  # the pooler, the last norm
        if is_dataclass(part) and name not in ("embeddings", "layers", "config", "loading_report"):
            vars(encoder)[name] = change(name, in_dtype(part, dtype))
    if model is model.base_model or last is not None:
        return encoder, batch
    whole = copy.copy(model)
    for name, part in vars(model).items():
        if part is model.base_model:
            vars(whole)[name] = encoder
        elif is_dataclass(part):
            vars(whole)[name] = change(name, in_dtype(part, dtype))
    return whole, batch


def _few_words(embeddings: Any, batch: Batch, dtype: Any) -> tuple[Any, Batch]:
    """Return embeddings with the words of the batch only, and the batch with their numbers."""
    if batch.token_ids is None:
        given = in_dtype(batch.token_embeddings, dtype)
        few = replace(embeddings, word=embeddings.word[:0])
        return few, replace(batch, token_embeddings=given)
    if (batch.token_type_ids < 0).all():  # of no type: the table is not needed
        embeddings = replace(embeddings, token_type=embeddings.token_type[:1])
    words, ids = np.unique(batch.token_ids, return_inverse=True)
    return replace(embeddings, word=embeddings.word[words]), replace(batch, token_ids=ids)
