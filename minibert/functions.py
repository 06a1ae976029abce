"""The mathematics of BERT: one pure function an operation, in reading order.

Shapes, here and everywhere in the package:
    B batch    T tokens    N rows, the real tokens of a batch    C hidden (= H * D)
    H heads    D head size    F feed-forward    V vocabulary

The dtype that goes in comes out: constants are Python floats, because a NumPy
float64 scalar would promote float32 arrays.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from minibert.erf import erf as erf
from minibert.runtime.arrays import Array
from minibert.runtime.blocks import by_blocks
from minibert.runtime.swap import operation
from minibert.runtime.threads import shares_of_work, spread

Record: TypeAlias = Callable[[str, Array], None]  # takes a stage's name and what it is


@operation
def linear(x: Array, weight: Array, bias: Array) -> Array:
    """Return ``x @ weight.T + bias``: (..., in) -> (..., out), the weight being (out, in).

    Each thread computes a share of the outputs.
    """
    rows = x.reshape(-1, x.shape[-1])
    out = np.empty((len(rows), len(weight)), x.dtype)

    def columns(part: slice) -> None:
        _product(rows, weight[part], out[:, part])
        out[:, part] += bias[part]

    spread(columns, shares_of_work(len(weight), x.size * len(weight)))
    return out.reshape(*x.shape[:-1], len(weight))


def _product(x: Array, weight: Array, out: Array) -> None:
    """Write ``x @ weight.T`` into out."""
    rows, size = x.shape
    whole = 0
    if rows <= 48 and rows * size <= 125_000:
        # BLAS would take longer to rearrange the weights than to multiply with so few rows. Of
        # products as small as those with eight outputs, OpenBLAS rearranges nothing.
        count = len(weight) // 8
        whole = 8 * count
        stacks = weight[:whole].reshape(count, 8, size).transpose(0, 2, 1)
        np.matmul(x, stacks, out=out[:, :whole].reshape(rows, count, 8).transpose(1, 0, 2))
    if whole < len(weight):
        np.matmul(x, weight[whole:].T, out=out[:, whole:])


@operation
@by_blocks
def layer_norm(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    """Give each row mean 0 and variance 1 (divided by n, not n - 1), then scale and shift it.

    Ba et al., "Layer Normalization", arXiv:1607.06450.
    """
    # sums in float64: what they round, every number of the row inherits
    centered = x - x.mean(axis=-1, keepdims=True, dtype=np.float64).astype(x.dtype)
    variance = np.square(centered).mean(axis=-1, keepdims=True, dtype=np.float64)
    normed: Array = centered
    normed *= (1 / np.sqrt(variance + eps)).astype(x.dtype)
    normed *= weight
    normed += bias
    return normed


@operation
def softmax(x: Array) -> Array:
    """Return ``exp(x) / sum(exp(x))`` over the last axis; the maximum is taken off first."""
    probabilities: Array = x - x.max(axis=-1, keepdims=True)
    np.exp(probabilities, out=probabilities)
    probabilities /= probabilities.sum(axis=-1, keepdims=True)
    return probabilities


@operation
def split_heads(x: Array, num_heads: int) -> Array:
    """View each row as its heads: (T, C) -> (H, T, D)."""
    length, size = x.shape
    return x.reshape(length, num_heads, size // num_heads).transpose(1, 0, 2)


@operation
def attention_scores(query: Array, key: Array) -> Array:
    """Return ``query @ key.T / sqrt(D)``: (H, T, D) each -> (H, T, T), queries by keys.

    Vaswani et al., "Attention Is All You Need", arXiv:1706.03762, equation 1.
    """
    # in memory keys come before queries: NumPy takes maxima and sums of columns faster than of rows
    scores = (key @ query.transpose(0, 2, 1)).transpose(0, 2, 1)
    scores *= 1 / math.sqrt(query.shape[-1])
    return scores


@operation
def attention_context(probabilities: Array, value: Array) -> Array:
    """Average the values by the probabilities: (H, T, T) and (H, T, D) -> (H, T, D)."""
    context: Array = probabilities @ value
    return context


def _ignore(stage: str, value: Array) -> None:
    """Record nothing."""


@operation
def attention(query: Array, key: Array, value: Array, *, record: Record = _ignore) -> Array:
    """Let each query average the values of all keys: (H, T, D) each -> (H, T, D).

    Vaswani et al., equation 1. The queries may be fewer than the keys.
    """
    scores = attention_scores(query, key)
    record("scores", scores)
    probabilities = softmax(scores)
    record("probabilities", probabilities)
    return attention_context(probabilities, value)


@operation
@by_blocks
def gelu(x: Array) -> Array:
    """Return ``0.5 * x * (1 + erf(x / sqrt(2)))``: the exact GELU, BERT's own.

    That is x times the normal distribution function.

    Hendrycks and Gimpel, "Gaussian Error Linear Units", arXiv:1606.08415.
    """
    value = erf(x * math.sqrt(0.5))
    value += 1
    value *= x
    value *= 0.5
    return value


@operation
@by_blocks
def tanh(x: Array) -> Array:
    """Return the hyperbolic tangent."""
    value: Array = np.tanh(x)
    return value


@operation
@by_blocks
def gelu_new(x: Array) -> Array:
    """Return GELU by tanh, as GPT-2 has it; up to 4.7e-4 away from the exact one."""
    return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


@operation
@by_blocks
def gelu_fast(x: Array) -> Array:
    """Return GELU by tanh with ``sqrt(2 / pi)`` cut to ten digits, as transformers has it."""
    return 0.5 * x * (1 + tanh(x * 0.7978845608 * (1 + 0.044715 * x * x)))


@operation
@by_blocks
def quick_gelu(x: Array) -> Array:
    """Return ``x * sigmoid(1.702 * x)``, the coarsest GELU; up to 0.02 away from the exact one."""
    return x * sigmoid(1.702 * x)


@operation
def sigmoid(x: Array) -> Array:
    """Return ``1 / (1 + exp(-x))``, written so that exp never overflows."""
    small: Array = np.exp(-np.abs(x))
    value: Array = np.where(x < 0, small, 1) / (1 + small)
    return value


@operation
@by_blocks
def silu(x: Array) -> Array:
    """Return ``x * sigmoid(x)``, also called swish."""
    return x * sigmoid(x)


@operation
def relu(x: Array) -> Array:
    """Return x where it is positive and 0 elsewhere."""
    positive: Array = np.maximum(x, 0)
    return positive


@operation
def embeddings(
    input_ids: NDArray[np.int64],
    token_type_ids: NDArray[np.int64],
    position_ids: NDArray[np.int64],
    word: Array,
    token_type: Array,
    position: Array,
    weight: Array,
    bias: Array,
    eps: float,
    *,
    record: Record = _ignore,
) -> Array:
    """Add a token's three vectors and normalise the sum: ids (N,), tables (..., C) -> (N, C)."""
    total = word[input_ids] + token_type[token_type_ids] + position[position_ids]
    record("sum", total)
    return layer_norm(total, weight, bias, eps)


@operation
def feed_forward(
    x: Array,
    intermediate_weight: Array,
    intermediate_bias: Array,
    output_weight: Array,
    output_bias: Array,
    activation: str,
    *,
    record: Record = _ignore,
) -> Array:
    """Widen, activate, narrow, each token alone: (N, C) -> (N, F) -> (N, C)."""
    wide = linear(x, intermediate_weight, intermediate_bias)
    record("intermediate", wide)
    active = ACTIVATIONS[activation](wide)
    record("activation", active)
    return linear(active, output_weight, output_bias)


@operation
def pooler(first: Array, weight: Array, bias: Array) -> Array:
    """Make one vector of each sequence's first token: (B, C) -> (B, C)."""
    return tanh(linear(first, weight, bias))


#: What ``hidden_act`` in a config may say. The names are those of transformers.
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": gelu,
    "gelu_new": gelu_new,
    "gelu_pytorch_tanh": gelu_new,
    "gelu_fast": gelu_fast,
    "quick_gelu": quick_gelu,
    "relu": relu,
    "silu": silu,
    "swish": silu,
    "tanh": tanh,
}
