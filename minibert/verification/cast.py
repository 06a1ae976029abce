"""A model in another precision, whole or some layers of it, with parts exchanged at will.

Only what runs is converted, each layer when its turn comes, so that a large model needs no second
copy of its weights.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from minibert.batch import Batch
from minibert.models.base import PreTrainedModel
from minibert.models.stack import Stack
from minibert.runtime.arrays import Array
from minibert.trace import Trace
from minibert.verification.parts import Span

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
Cache = dict[tuple[str, str], Any]  # name of a layer, dtype -> the layer in it


def unchanged(name: str, part: Any) -> Any:
    """Exchange nothing."""
    return part


@dataclass(frozen=True, eq=False)
class Layers:
    """The layers of a span of a stack, converted one by one; those before pass on."""

    stack: str
    layers: tuple[Any, ...]
    span: Span
    dtype: Any
    change: Change
    cache: Cache | None  # of converted layers

    def __len__(self) -> int:
        return self.span.last + 1

    def __iter__(self) -> Iterator[Any]:
        for i in range(len(self)):
            yield _pass_on if i < self.span.first else self[i]

    def __getitem__(self, i: int) -> Any:
        name = f"{self.stack}layer.{i}"
        if self.cache is None:
            return self.change(name, in_dtype(self.layers[i], self.dtype))
        key = name, np.dtype(self.dtype).name
        if key not in self.cache:
            while len(self.cache) >= MAX_LAYERS:
                del self.cache[next(iter(self.cache))]
            self.cache[key] = in_dtype(self.layers[i], self.dtype)
        return self.change(name, self.cache[key])


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
    runs: Mapping[str, Span] = MappingProxyType({}),
    change: Change = unchanged,
    cache: Cache | None = None,
    *,
    all_words: bool = False,
) -> tuple[Any, Batch]:
    """Return a model and a batch in a dtype.

    runs: what is run of each stack, what goes into it being known; by default all of it.
    cache: of converted layers, for the next time. all_words: not those of the batch alone, as the
    gradient of a table needs them.
    """
    base = copy.copy(model.base_model)
    for stack, own in model.stacks.items():
        made = copy.copy(own) if stack else base
        span = runs.get(stack, Span(-1, len(own.layers) - 1))
        embeddings = own.embeddings
        if all_words:
            batch = _in_dtype_too(batch, dtype)
        elif model is model.base_model or not stack:  # a head of two may look at the ids themselves
            embeddings, batch = _few_words(stack, embeddings, batch, dtype)
        embeddings, runs_it = in_dtype(embeddings, dtype), span.first < 0
        name = f"{stack}embeddings"
        made.embeddings = change(name, embeddings) if runs_it else Nothing(embeddings.word)
        vars(made)["layers"] = Layers(stack, own.layers, span, dtype, change, cache)
        _convert(made, stack, dtype, change)
        if stack:
            vars(base)[stack.removesuffix(".")] = made
    if all_words and "" not in model.stacks:  # what both stacks share
        vars(base)["embeddings"] = in_dtype(base.embeddings, dtype)
    _convert(base, "", dtype, change)
    return (base if model is model.base_model else _with_head(model, base, dtype, change)), batch


def _with_head(model: Any, base: Any, dtype: Any, change: Change) -> Any:
    whole = copy.copy(model)
    vars(whole).update({x: base for x, part in vars(model).items() if part is model.base_model})
    _convert(whole, "", dtype, change)
    return whole


def _convert(owner: Any, stack: str, dtype: Any, change: Change) -> None:
    """Convert what there is besides embeddings and layers: the pooler, the last norm, a head."""
    for name, part in vars(owner).items():
        is_part = is_dataclass(part) or isinstance(part, np.ndarray)
        if is_part and not isinstance(part, Stack) and name not in NO_PARTS:
            vars(owner)[name] = change(f"{stack}{name}", in_dtype(part, dtype))


NO_PARTS = ("embeddings", "layers", "config", "loading_report")


def _in_dtype_too(batch: Batch, dtype: Any) -> Batch:
    """Return a batch with what was given in place of words in a dtype."""
    if batch.token_embeddings is not None:
        batch = replace(batch, token_embeddings=in_dtype(batch.token_embeddings, dtype))
    if batch.source is not None:
        batch = replace(batch, source=_in_dtype_too(batch.source, dtype))
    return batch


def _few_words(stack: str, embeddings: Any, batch: Batch, dtype: Any) -> tuple[Any, Batch]:
    """Return embeddings with the words of the batch only, and the batch with their numbers."""
    if stack == "encoder." and batch.source is not None:
        embeddings, source = _few_words("", embeddings, batch.source, dtype)
        return embeddings, replace(batch, source=source)
    if batch.token_ids is None:
        given = in_dtype(batch.token_embeddings, dtype)
        few = replace(embeddings, word=embeddings.word[:0])
        return few, replace(batch, token_embeddings=given)
    if hasattr(embeddings, "token_type") and (batch.token_type_ids < 0).all():  # of no type
        embeddings = replace(embeddings, token_type=embeddings.token_type[:1])
    words, ids = np.unique(batch.token_ids, return_inverse=True)
    return replace(embeddings, word=embeddings.word[words]), replace(batch, token_ids=ids)
