"""What heads are made of, on top of a stack's states: frozen layers, as those of layers.py."""

from dataclasses import dataclass

import numpy as np

from minibert import derivatives, functions
from minibert.batch import Batch
from minibert.layers import LayerNorm, Linear
from minibert.runtime.arrays import Array
from minibert.trace import Back, Trace


@dataclass(frozen=True, eq=False)
class Pooler:
    """One vector a sequence: the first real token ([CLS], as a rule) through a matrix and tanh.

    Transformers takes column 0 even where the mask says that it is padding.
    """

    dense: Linear

    def __call__(self, x: Array, batch: Batch) -> Array:
        """(N, C) -> (number of sequences with a real token, C)."""
        return functions.pooler(x[batch.first_rows()], self.dense.weight, self.dense.bias)

    def backward(self, grad: Array, x: Array, batch: Batch, back: Back) -> Array:
        """Return the gradient of x, (N, C): zeros but at the first tokens."""
        whole, rows = np.zeros_like(x), batch.first_rows()
        grad, pooled = back.of(batch.vectors)("pooler", grad), back.kept("pooler")
        given = x[rows], self.dense.weight, pooled
        whole[rows], weight, bias = derivatives.pooler_backward(grad, *given)
        back.add("pooler.dense.weight", weight)
        back.add("pooler.dense.bias", bias)
        return whole


@dataclass(frozen=True, eq=False)
class PredictionHead:
    """Each token through a matrix, the activation and a norm: what the decoder scores words by."""

    dense: Linear
    norm: LayerNorm
    activation: str  # a key of functions.ACTIVATIONS

    def __call__(self, x: Array, trace: Trace) -> Array:
        """(N, C) -> (N, C)."""
        dense = trace("intermediate", self.dense(x))
        active = trace("activation", functions.ACTIVATIONS[self.activation](dense))
        return self.norm(active)

    def backward(self, grad: Array, x: Array, back: Back) -> Array:
        """(N, C) -> (N, C)."""
        grad = self.norm.backward(grad, back.kept("activation"), back.within("norm"))
        grad, curve = back("activation", grad), derivatives.ACTIVATION_DERIVATIVES[self.activation]
        grad = back("intermediate", curve(grad, back.kept("intermediate")))
        return self.dense.backward(grad, x, back.within("dense"))


@dataclass(frozen=True, eq=False)
class ClassificationHead:
    """A matrix, tanh, and a matrix more: what a sequence is labelled by."""

    dense: Linear
    output: Linear

    def __call__(self, x: Array, trace: Trace) -> Array:
        """(n, C) -> (n, labels)."""
        active = trace("activation", functions.tanh(trace("intermediate", self.dense(x))))
        return self.output(active)

    def backward(self, grad: Array, x: Array, back: Back) -> Array:
        """(n, C) -> (n, C)."""
        grad = self.output.backward(grad, back.kept("activation"), back.within("output"))
        grad = derivatives.tanh_backward(back("activation", grad), back.kept("intermediate"))
        return self.dense.backward(back("intermediate", grad), x, back.within("dense"))
