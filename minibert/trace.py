"""The named stages of a forward pass: what there is, in network order, and how it is recorded."""

from collections.abc import Callable, Container, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from minibert.runtime.arrays import Array
from minibert.runtime.swap import stand_in

if TYPE_CHECKING:
    from minibert.batch import Batch, Block

#: Every stage with its axes (the letters are those of functions.py). The names are public:
#: verification, notebooks and exercises use them. ``{i}`` counts the layers from 0.
STAGES = {
    "embeddings.sum": "BTC",  # words + token types + positions, before the norm
    "embeddings": "BTC",
    "layer.{i}.attention.query": "BTC",
    "layer.{i}.attention.key": "BTC",
    "layer.{i}.attention.value": "BTC",
    "layer.{i}.attention.scores": "BHTT",  # already divided by sqrt(D)
    "layer.{i}.attention.probabilities": "BHTT",
    "layer.{i}.attention.context": "BTC",  # heads side by side again
    "layer.{i}.attention.output": "BTC",  # before the residual and the norm
    "layer.{i}.attention": "BTC",
    "layer.{i}.feed_forward.intermediate": "BTF",  # before the activation
    "layer.{i}.feed_forward.activation": "BTF",
    "layer.{i}.feed_forward": "BTC",  # before the residual and the norm
    "layer.{i}": "BTC",
    "pooler": "BC",
}


def stage_axes(num_hidden_layers: int) -> dict[str, str]:
    """Return the axes of every stage of a model with so many layers, in network order."""
    return dict(_stages(num_hidden_layers))


def _stages(num_hidden_layers: int) -> Iterator[tuple[str, str]]:
    layer = [(name, axes) for name, axes in STAGES.items() if "{i}" in name]
    yield from ((name, axes) for name, axes in STAGES.items() if name.startswith("embeddings"))
    for i in range(num_hidden_layers):
        yield from ((name.format(i=i), axes) for name, axes in layer)
    yield "pooler", STAGES["pooler"]


class Trace:
    """Collects the wanted stages of one forward pass into a dict, zeros where padding was.

    Threads may record their shares of a batch at the same time.
    """

    def __init__(
        self, batch: "Batch", stages: dict[str, Array], only: Container[str] | None = None
    ) -> None:
        self.batch = batch
        self.stages = stages
        self.only = only

    def of(self, share: "Batch") -> "Trace":
        """Return what records a share of the batch into the same stages."""
        return Trace(share, self.stages, self.only)

    def wants(self, name: str) -> bool:
        """Tell whether a stage is to be recorded; with ``only=None`` all are."""
        return self.only is None or name in self.only

    def rows(self, name: str, value: Array) -> None:
        """Record (N, width) rows as (B, T, width)."""
        self.columns(name, value, slice(None), value.shape[1])

    def columns(self, name: str, value: Array, columns: slice, width: int) -> None:
        """Record some columns of (N, width) rows as those of (B, T, width)."""
        if self.wants(name):
            whole = self._stage(name, (*self.batch.shape, width), value.dtype)
            whole[..., columns][self.batch.mask] = value

    def pooled(self, name: str, value: Array) -> None:
        """Record one vector for each sequence that has a real token, as (B, ...)."""
        if self.wants(name):
            self.stages[name] = self.batch.unpack_sequences(value)

    def pairs(
        self, prefix: str, first_head: int, num_heads: int, dtype: "np.dtype[Any]"
    ) -> "Callable[[Block, str, Array], None]":
        """Return what records (heads, queries, keys) of a block into stages of (B, H, T, T).

        The stages' names begin with the prefix. The block counts its heads from ``first_head`` on.
        """
        size, length = self.batch.shape
        names = {stage: f"{prefix}.{stage}" for stage in ("scores", "probabilities")}
        wholes = {
            stage: self._stage(name, (size, num_heads, length, length), dtype)
            for stage, name in names.items()
            if self.wants(name) and not stand_in("attention")  # another's shows neither
        }

        def record(block: "Block", stage: str, value: Array) -> None:
            if stage in wholes:
                heads = wholes[stage][block.sequence.index, first_head:][block.heads]
                heads[:, block.columns[:, None], block.sequence.columns] = value

        return record

    def _stage(self, name: str, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> Array:
        """Return the stage's array, made by the first who asks."""
        if name not in self.stages:
            self.stages.setdefault(name, np.zeros(shape, dtype))
        return self.stages[name]
