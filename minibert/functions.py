"""The mathematics of BERT: one pure function an operation, in reading order.

Shapes, here and everywhere in the package:
    B batch    T tokens    N rows, the real tokens of a batch    C hidden (= H * D)
    H heads    D head size    F feed-forward    V vocabulary    Q queries    K keys

A body is its formula. Decorators say how it is applied (runtime/parallel.py), and that a user's
function may take its place (runtime/swap.py); they change nothing about what it computes.

The dtype that goes in comes out: constants are Python floats, because a NumPy float64 scalar would
promote float32 arrays.
"""

import math

import numpy as np

from minibert.activations import *  # noqa: F403 - they are operations, too
from minibert.activations import ACTIVATIONS, tanh
from minibert.erf import erf as erf
from minibert.runtime.arrays import Array, Integers, Mask
from minibert.runtime.blocks import by_heads, by_rows
from minibert.runtime.parallel import by_outputs, keys_first
from minibert.runtime.spelling import spelled
from minibert.runtime.swap import operation
from minibert.trace import Trace, silent


@operation("(..., in), (out, in), (out,) -> (..., out)")
@by_outputs
def linear(x: Array, weight: Array, bias: Array) -> Array:
    """Multiply by a matrix and add a bias."""
    return x @ weight.T + bias


@spelled
def mean(x: Array) -> Array:
    """Return the mean of each row: (..., C) -> (..., 1)."""
    # summed in float64: every number of the row inherits what the sum rounds
    return x.mean(axis=-1, keepdims=True, dtype=np.float64).astype(x.dtype)


@operation("(..., C), (C,), (C,), eps -> (..., C)")
@by_rows
def layer_norm(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    """Give each row mean 0 and variance 1 (divided by n, not n - 1), then scale and shift it.

    Ba et al., "Layer Normalization", arXiv:1607.06450.
    """
    centered = x - mean(x)
    variance = mean(np.square(centered))
    normal = centered / np.sqrt(variance + eps) * weight + bias
    if np.isinf(variance).any():  # where squares overflow, the same row made smaller is as good
        rows, scale = np.isinf(variance[..., 0]), 2.0 ** -(np.finfo(x.dtype).maxexp // 2 + 2)
        normal[rows] = layer_norm(x[rows] * scale, weight, bias, 0.0)
    return normal


@operation("(..., K) -> (..., K)")
def softmax(x: Array) -> Array:
    """Return ``exp(x) / sum(exp(x))`` over the last axis.

    Taking the maximum off first changes nothing but this: exp cannot overflow.
    """
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@operation("(T, C), H -> (H, T, C/H)")
def split_heads(x: Array, num_heads: int) -> Array:
    """Cut each row into its heads. A view."""
    length, size = x.shape
    return x.reshape(length, num_heads, size // num_heads).transpose(1, 0, 2)


@operation("(H, T, D) -> (T, H*D)")
def merge_heads(x: Array) -> Array:
    """Put the heads of each row side by side again."""
    num_heads, length, size = x.shape
    return x.transpose(1, 0, 2).reshape(length, num_heads * size)


@operation("(H, Q, D), (H, K, D) -> (H, Q, K)")
@keys_first
def attention_scores(query: Array, key: Array) -> Array:
    """Return ``query @ key.T / sqrt(D)``: how much each query asks for each key.

    Vaswani et al., "Attention Is All You Need", arXiv:1706.03762, equation 1.
    """
    return query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])


@operation("(H, Q, K), (H, K, D) -> (H, Q, D)")
def attention_context(probabilities: Array, value: Array) -> Array:
    """Average the values by the probabilities."""
    return probabilities @ value


@operation("(H, Q, D), (H, K, D), (H, K, D) -> (H, Q, D)")
@by_heads
def attention(
    query: Array, key: Array, value: Array, *, allowed: Mask = None, trace: Trace = silent
) -> Array:
    """Let each query average the values of all keys, or of those that ``allowed`` (Q, K) says.

    Vaswani et al., equation 1. The queries may be fewer than the keys. A query that is allowed
    nothing averages all values, as in transformers. A score that does not count is shown as 0.
    """
    scores = attention_scores(query, key)
    if allowed is None:
        scores = trace("scores", scores)
    else:
        shown = trace("scores", np.where(allowed, scores, 0))
        scores = np.where(allowed, shown, np.finfo(scores.dtype).min)
    probabilities = trace("probabilities", softmax(scores))
    return attention_context(probabilities, value)


@operation("(...), (...), (...), (V, C), (types, C), (positions, C), (C,), (C,), eps -> (..., C)")
def embeddings(
    input_ids: Integers,
    token_type_ids: Integers,
    position_ids: Integers,
    word: Array,
    token_type: Array,
    position: Array,
    norm_weight: Array,
    norm_bias: Array,
    eps: float,
    *,
    trace: Trace = silent,
) -> Array:
    """Add a token's three vectors, each a row of its table, and normalise the sum.

    Devlin et al., "BERT", arXiv:1810.04805, figure 2.
    """
    total = word[input_ids] + token_type[token_type_ids] + position[position_ids]
    return layer_norm(trace("sum", total), norm_weight, norm_bias, eps)


@operation("(..., C), (F, C), (F,), (C, F), (C,), activation -> (..., C)")
def feed_forward(
    x: Array,
    intermediate_weight: Array,
    intermediate_bias: Array,
    output_weight: Array,
    output_bias: Array,
    activation: str,
    *,
    trace: Trace = silent,
) -> Array:
    """Widen, activate, narrow, each token alone. ``activation`` is a key of ACTIVATIONS.

    Vaswani et al., equation 2.
    """
    wide = trace("intermediate", linear(x, intermediate_weight, intermediate_bias))
    active = trace("activation", ACTIVATIONS[activation](wide))
    return linear(active, output_weight, output_bias)


@operation("(B, C), (C, C), (C,) -> (B, C)")
def pooler(first: Array, weight: Array, bias: Array) -> Array:
    """Make one vector of each sequence's first token: a matrix, then tanh.

    Devlin et al., section 3.2; the matrix is that of transformers' BertPooler.
    """
    return tanh(linear(first, weight, bias))
