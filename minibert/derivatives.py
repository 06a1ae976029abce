"""The derivatives of the operations, in the order of functions.py.

Each takes the gradient of what its function returned, then what the function was given (softmax:
what it returned); it returns the gradients of that, in order. A gradient has the shape and the
dtype of what it is of. Nothing is kept from the way there: a derivative computes again what it
needs, and which numbers are kept is the caller's choice.
"""

import math
from functools import reduce
from operator import add

import numpy as np

from minibert.activation_derivatives import *  # noqa: F403 - they are operations, too
from minibert.activation_derivatives import ACTIVATION_DERIVATIVES
from minibert.functions import (
    attention_scores,
    mean,
    merge_heads,
    softmax,
    split_heads,
)
from minibert.runtime.arrays import Array, Integers, Mask
from minibert.runtime.blocks import by_heads_backward, by_rows
from minibert.runtime.parallel import by_outputs_backward
from minibert.runtime.swap import operation
from minibert.trace import Back, onward

FEW, ROWS = 4096, 64  # numbers of a small matrix; rows of a block


@operation("(N, out), (N, in), (out, in) -> (N, in), (out, in), (out,)")
@by_outputs_backward
def linear_backward(grad: Array, x: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Return the gradients of x, the matrix and the bias.

    y = x W^T + b:  dx = dy W,  dW = dy^T x,  db = the sum of dy over the rows.
    """
    return grad @ weight, _matrix(grad, x), total(grad)


def _matrix(grad: Array, x: Array) -> Array:
    """Return the gradient of a matrix, ``grad^T x``."""
    if grad.shape[1] * x.shape[1] > FEW:
        return grad.T @ x
    # for a small matrix BLAS adds all rows in one chain, which rounds more than a chain of blocks
    blocks = (grad[i : i + ROWS].T @ x[i : i + ROWS] for i in range(0, max(1, len(x)), ROWS))
    found: Array = reduce(add, blocks)
    return found


def total(x: Array) -> Array:
    """Return the sum over the rows: (N, C) -> (C,). Added up in float64: there may be many."""
    return x.sum(axis=0, dtype=np.float64).astype(x.dtype, copy=False)


@operation("(N, C), (N, C), (C,), eps -> (N, C), (C,), (C,)")
@by_rows
def layer_norm_backward(
    grad: Array, x: Array, weight: Array, eps: float
) -> tuple[Array, Array, Array]:
    """Return the gradients of x, the scale and the shift.

    n = (x - mean) / s:  dx = (g - mean(g) - n mean(g n)) / s,  g = dy * scale. The two means are
    there because the row's own mean and variance move with it. Ba et al., arXiv:1607.06450.
    """
    centered = x - mean(x)
    deviation = np.sqrt(mean(np.square(centered)) + eps)
    normal = centered / deviation
    inner = grad * weight
    back = (inner - mean(inner) - normal * mean(inner * normal)) / deviation
    return back, total(grad * normal), total(grad)


@operation("(..., K), (..., K) -> (..., K)")
def softmax_backward(grad: Array, probabilities: Array) -> Array:
    """Return the gradient of the scores, from what softmax made of them.

    dx = p (dy - sum(dy p) / sum(p)): a probability grows at the cost of all others. The sum of p is
    1 but for rounding, which would add up to a gradient of what all keys share.
    """
    total = (grad * probabilities).sum(axis=-1, keepdims=True, dtype=np.float64)
    mean = total / probabilities.sum(axis=-1, keepdims=True, dtype=np.float64)
    return probabilities * (grad - mean.astype(grad.dtype, copy=False))


@operation("(H, T, D) -> (T, H*D)")
def split_heads_backward(grad: Array) -> Array:
    """Put the gradients of each row's heads side by side again."""
    return merge_heads(grad)


@operation("(T, C), H -> (H, T, C/H)")
def merge_heads_backward(grad: Array, num_heads: int) -> Array:
    """Cut the gradient of each row into its heads. A view."""
    return split_heads(grad, num_heads)


@operation("(H, Q, K), (H, Q, D), (H, K, D) -> (H, Q, D), (H, K, D)")
def attention_scores_backward(grad: Array, query: Array, key: Array) -> tuple[Array, Array]:
    """Return the gradients of query and key: of a product, divided by sqrt(D) as it is."""
    grad = grad / math.sqrt(query.shape[-1])
    return grad @ key, grad.transpose(0, 2, 1) @ query


@operation("(H, Q, D), (H, Q, K), (H, K, D) -> (H, Q, K), (H, K, D)")
def attention_context_backward(
    grad: Array, probabilities: Array, value: Array
) -> tuple[Array, Array]:
    """Return the gradients of the probabilities and of the values: those of a product."""
    return grad @ value.transpose(0, 2, 1), probabilities.transpose(0, 2, 1) @ grad


@operation("(H, Q, D), (H, Q, D), (H, K, D), (H, K, D) -> (H, Q, D), (H, K, D), (H, K, D)")
@by_heads_backward
def attention_backward(
    grad: Array,
    query: Array,
    key: Array,
    value: Array,
    *,
    allowed: Mask = None,
    back: Back = onward,
) -> tuple[Array, Array, Array]:
    """Return the gradients of query, key and value.

    The probabilities are computed again: they are as many as the scores, and layers need not keep
    them. A key that a query may not look at has the probability 0, and so the gradient 0.
    """
    scores = back.again("scores", attention_scores(query, key))
    if allowed is not None:
        scores = np.where(allowed, scores, np.finfo(scores.dtype).min)
    probabilities = back.again("probabilities", softmax(scores))
    used = back.left("probabilities", probabilities)  # with dropout, not all of them were
    grad, to_value = attention_context_backward(grad, used, value)
    grad = softmax_backward(back("probabilities", grad), probabilities)
    if allowed is not None:
        grad = np.where(allowed, grad, 0)  # of a query that may look at nothing
    return *attention_scores_backward(back("scores", grad), query, key), to_value


@operation("(N, C), (N,), V -> (V, C)")
def lookup_backward(grad: Array, rows: Integers, count: int) -> Array:
    """Return the gradient of a table of so many rows, of which the N rows were looked up.

    A row that is looked up several times is given the sum.
    """
    order = np.argsort(rows, kind="stable")
    found, starts = np.unique(rows[order], return_index=True)
    whole = np.zeros((count, grad.shape[1]), grad.dtype)
    if len(found):
        whole[found] = np.add.reduceat(grad[order], starts, axis=0)
    return whole


@operation(
    "(N, C), (N,), (N,), (N,), (N, C), (C,), eps, V, types, positions"
    " -> (V, C), (types, C), (positions, C), (C,), (C,)"
)
def embeddings_backward(
    grad: Array,
    input_ids: Integers,
    token_type_ids: Integers,
    position_ids: Integers,
    total: Array,
    norm_weight: Array,
    eps: float,
    words: int,
    types: int,
    positions: int,
    *,
    back: Back = onward,
) -> tuple[Array, Array, Array, Array, Array]:
    """Return the gradients of the three tables, and of the norm's scale and shift.

    total: the sum of a token's three vectors, before the norm. words, types, positions: how many
    rows each table has.
    """
    grad, scale, shift = layer_norm_backward(grad, total, norm_weight, eps)
    grad = back("sum", grad)
    rows = (input_ids, words), (token_type_ids, types), (position_ids, positions)
    word, token_type, position = (lookup_backward(grad, *one) for one in rows)
    return word, token_type, position, scale, shift


@operation(
    "(N, C), (N, C), (N, F), (N, F), (F, C), (C, F), activation"
    " -> (N, C), (F, C), (F,), (C, F), (C,)"
)
def feed_forward_backward(
    grad: Array,
    x: Array,
    wide: Array,
    active: Array,
    intermediate_weight: Array,
    output_weight: Array,
    activation: str,
    *,
    back: Back = onward,
) -> tuple[Array, Array, Array, Array, Array]:
    """Return the gradients of x and of both matrices and biases.

    wide, active: what there was before and after the activation.
    """
    grad, narrow, narrow_bias = linear_backward(grad, active, output_weight)
    grad = back("activation", grad)
    grad = back("intermediate", ACTIVATION_DERIVATIVES[activation](grad, wide))
    return *linear_backward(grad, x, intermediate_weight), narrow, narrow_bias


@operation("(B, C), (B, C), (C, C), (B, C) -> (B, C), (C, C), (C,)")
def pooler_backward(
    grad: Array, first: Array, weight: Array, pooled: Array
) -> tuple[Array, Array, Array]:
    """Return the gradients of the first tokens, the matrix and the bias, from what was pooled."""
    return linear_backward(grad * (1 - np.square(pooled)), first, weight)


@operation("(N, L), (N,) -> (N, L)")
def cross_entropy_backward(probabilities: Array, labels: Integers) -> Array:
    """Return the gradient of the logits of N rows that count: ``(p - 1 at the label) / N``."""
    grad = probabilities.copy()
    grad[np.arange(len(labels)), labels] -= 1
    return grad / max(len(labels), 1)
