"""The mathematics of BERT: one pure function an operation, in reading order.

Shapes, here and everywhere in the package:
    B batch    T tokens    N rows, the real tokens of a batch    C hidden (= H * D)
    H heads    D head size    F feed-forward    V vocabulary

The dtype that goes in comes out: constants are Python floats, because a NumPy
float64 scalar would promote float32 arrays.
"""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.floating[Any]]


def linear(x: Array, weight: Array, bias: Array) -> Array:
    """Return ``x @ weight.T + bias``: (..., in) -> (..., out), the weight being (out, in)."""
    return _product(x, weight) + bias


def _product(x: Array, weight: Array) -> Array:
    """Return ``x @ weight.T``, summed in equal blocks of at most 192 products.

    The longer a float32 sum, the more it rounds, and BLAS libraries cut it at different lengths.
    Whole sums of 768 err 1.35 times as much as PyTorch's; blocks cost a tenth of the time.
    """
    blocks = math.ceil(x.shape[-1] / 192)
    first, *others = zip(
        np.array_split(x, blocks, axis=-1), np.array_split(weight, blocks, axis=-1), strict=True
    )
    total: Array = first[0] @ first[1].T
    for part, part_of_weight in others:
        total += part @ part_of_weight.T
    return total


def layer_norm(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    """Give each row mean 0 and variance 1 (divided by n, not n - 1), then scale and shift it.

    Ba et al., "Layer Normalization", arXiv:1607.06450.
    """
    # sums in float64: what they round, every number of the row inherits
    mean = x.mean(axis=-1, keepdims=True, dtype=np.float64)
    centered = x - mean.astype(x.dtype)
    variance = np.square(centered).mean(axis=-1, keepdims=True, dtype=np.float64)
    scale = 1 / np.sqrt(variance + eps)
    normed: Array = centered * scale.astype(x.dtype) * weight + bias
    return normed


def softmax(x: Array) -> Array:
    """Return ``exp(x) / sum(exp(x))`` over the last axis; the maximum is taken off first."""
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    probabilities: Array = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities


def split_heads(x: Array, num_heads: int) -> Array:
    """Cut each row into its heads: (T, C) -> (H, T, D)."""
    return x.reshape(len(x), num_heads, -1).transpose(1, 0, 2)


def merge_heads(x: Array) -> Array:
    """Put the heads of each row side by side again: (H, T, D) -> (T, C)."""
    num_heads, length, size = x.shape
    return x.transpose(1, 0, 2).reshape(length, num_heads * size)


def attention_scores(query: Array, key: Array) -> Array:
    """Return ``query @ key.T / sqrt(D)``: two (H, T, D) -> (H, T, T), queries by keys.

    Vaswani et al., "Attention Is All You Need", arXiv:1706.03762, equation 1.
    """
    return query @ key.transpose(0, 2, 1) * (1 / math.sqrt(query.shape[-1]))


def attention_context(probabilities: Array, value: Array) -> Array:
    """Average the values by the probabilities: (H, T, T) and (H, T, D) -> (H, T, D)."""
    return probabilities @ value


def erf(x: Array) -> Array:
    """Return the error function, which NumPy lacks: ``2 / sqrt(pi) * integral of exp(-t^2)``.

    Absolute error: at most 1.2e-7 in float32, 4e-16 in float64.
    """
    return _erf_float32(x) if x.dtype == np.float32 else _erf_float64(x)


def _erf_float32(x: Array) -> Array:
    # erf(x) = tanh(x * p(x^2)). tanh is flat where x is large, so it hides the rounding of p.
    # p is a least-squares fit, reweighted towards the smallest maximum, over |x| <= 4.1,
    # beyond which erf rounds to 1.
    x = np.clip(x, -4.1, 4.1)
    return np.tanh(x * _polynomial(_ERF_TANH, x * x))


def _erf_float64(x: Array) -> Array:
    # W. J. Cody, "Rational Chebyshev Approximations for the Error Function", 1969.
    x = np.clip(x, -6.0, 6.0)  # beyond 6, erf rounds to 1
    size = np.abs(x)
    square = size * size
    near = x * _polynomial(_ERF_NEAR[0], square) / _polynomial(_ERF_NEAR[1], square)
    tail = np.exp(-square) * _polynomial(_ERF_FAR[0], size) / _polynomial(_ERF_FAR[1], size)
    return np.where(size < 0.46875, near, np.copysign(1 - tail, x))


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    """Evaluate by Horner's rule, the highest power first."""
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value *= x
        value += coefficient
    return value


# fmt: off
_ERF_TANH = (
    1.5482931603472139e-10, -7.454311834464988e-09, 1.389393418094187e-07, -1.1376964721421245e-06,
    5.813167831547617e-07, 7.140619709389284e-05, -5.985152092762291e-04, -2.0416505867615342e-04,
    1.0277134925127030e-01, 1.128379225730896,
)
_ERF_NEAR = (
    (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2,
     3.20937758913846947e3),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3,
     2.84423683343917062e3),
)
_ERF_FAR = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1,
     2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3,
     1.23033935479799725e3),
    (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2,
     1.62138957456669019e3, 3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3,
     1.23033935480374942e3),
)
# fmt: on


def gelu(x: Array) -> Array:
    """Return ``x * Phi(x)`` with Phi the normal distribution, by erf: the exact GELU, BERT's own.

    Hendrycks and Gimpel, "Gaussian Error Linear Units", arXiv:1606.08415.
    """
    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))


def tanh(x: Array) -> Array:
    """Return the hyperbolic tangent."""
    value: Array = np.tanh(x)
    return value


def gelu_new(x: Array) -> Array:
    """Return GELU by tanh, as GPT-2 has it; up to 4.7e-4 away from the exact one."""
    return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def gelu_fast(x: Array) -> Array:
    """Return GELU by tanh with ``sqrt(2 / pi)`` cut to ten digits, as transformers has it."""
    return 0.5 * x * (1 + tanh(x * 0.7978845608 * (1 + 0.044715 * x * x)))


def quick_gelu(x: Array) -> Array:
    """Return ``x * sigmoid(1.702 * x)``, the coarsest GELU; up to 0.02 away from the exact one."""
    return x * sigmoid(1.702 * x)


def sigmoid(x: Array) -> Array:
    """Return ``1 / (1 + exp(-x))``, written so that exp never overflows."""
    small: Array = np.exp(-np.abs(x))
    value: Array = np.where(x < 0, small, 1) / (1 + small)
    return value


def silu(x: Array) -> Array:
    """Return ``x * sigmoid(x)``, also called swish."""
    return x * sigmoid(x)


def relu(x: Array) -> Array:
    """Return x where it is positive and 0 elsewhere."""
    positive: Array = np.maximum(x, 0)
    return positive


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
