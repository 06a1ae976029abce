"""Embeddings and layers, one after the other, there and back."""

from functools import reduce
from operator import add
from typing import Any

import numpy as np

from minibert.batch import Batch
from minibert.layers import Layer, LayerNorm
from minibert.runtime.arrays import Array
from minibert.runtime.parallel import back_over_sequences, over_sequences
from minibert.trace import Back, Trace


class Stack:
    """Embeddings, then layers: BERT and GPT-2 are one, BART is two."""

    embeddings: Any
    layers: tuple[Layer, ...]
    norm: LayerNorm | None = None  # after the last layer

    def states(self, batch: Batch, trace: Trace) -> Array:
        """Return the last hidden state: the tokens of a batch -> (N, C)."""
        return over_sequences(self.encode, batch, trace)

    def encode(self, batch: Batch, trace: Trace) -> Array:
        """Run the embeddings and the layers: the tokens of a batch -> (N, C)."""
        x = trace("embeddings", self.embeddings(batch, trace.within("embeddings")))
        for i, layer in enumerate(self.layers):
            x = trace(f"layer.{i}", layer(x, trace.within(f"layer.{i}"), batch.of_layer(i)))
        return x if self.norm is None else trace("norm", self.norm(x))

    def states_backward(self, grad: Array, batch: Batch, back: Back) -> Any:
        """Go back from the gradient of the last hidden state; return that of the source's rows."""
        found = back_over_sequences(self.encode_backward, batch, grad, back)
        if batch.source is None:
            return None
        shares: Any = [share.source for share, _ in found]
        return batch.source.gather(shares, [np.asarray(x) for _, x in found])

    def encode_backward(self, grad: Array, batch: Batch, back: Back) -> Array | None:
        """Go back through a share of a batch; return the gradient of what the encoder read."""
        states, sources = ["embeddings", *(f"layer.{i}" for i in range(len(self.layers)))], []
        if self.norm is not None:
            grad, x = back("norm", grad), back.kept(states[-1])
            grad = self.norm.backward(grad, x, back.within("norm"))
        for layer, before, after in reversed([*zip(self.layers, states, states[1:], strict=False)]):
            grad, x = back(after, grad), back.kept(before)
            grad, source = layer.backward(grad, x, back.within(after), batch)
            sources += [] if source is None else [source]
        self.embeddings.backward(back("embeddings", grad), batch, back.within("embeddings"))
        return reduce(add, sources) if sources else None
