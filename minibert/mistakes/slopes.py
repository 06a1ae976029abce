"""What goes wrong in the derivatives of activations, of norms and of softmax."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minibert import derivatives as d
from minibert import functions as f
from minibert.mistakes.functions import Mistake

# activations


def _slope(slope: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda grad, x: grad * slope(x)


def _share(x: Any) -> Any:
    return 0.5 * (1 + f.erf(x * 0.5**0.5))


def _density(x: Any) -> Any:
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


GELU: tuple[Mistake, ...] = (
    ("the derivative of gelu_new (tanh)", d.gelu_new_backward),
    ("the derivative of quick_gelu (sigmoid)", d.quick_gelu_backward),
    ("the derivative of relu", d.relu_backward),
    ("the derivative of silu", d.silu_backward),
    ("the derivative of tanh", d.tanh_backward),
    ("the second term left out: the integral taken for a constant", _slope(_share)),
    ("the first term left out", _slope(lambda x: x * _density(x))),
    ("a density that is not normalised", _slope(lambda x: _share(x) + x * np.exp(-x * x / 2))),
    ("a density that is not multiplied by x", _slope(lambda x: _share(x) + _density(x))),
    ("a density that falls twice as fast", _slope(lambda x: _share(x) + x * _density(x * 2**0.5))),
    (
        "a density without the inner derivative",
        _slope(lambda x: _share(x) + x * 2**0.5 * _density(x)),
    ),
    ("the derivative at the activation's result", lambda grad, x: d.gelu_backward(grad, f.gelu(x))),
)
GELU_NEW: tuple[Mistake, ...] = (
    ("the derivative of the exact gelu", d.gelu_backward),
    ("the derivative of quick_gelu (sigmoid)", d.quick_gelu_backward),
    ("the derivative of relu", d.relu_backward),
)
TANH: tuple[Mistake, ...] = (
    ("the input taken for the result", _slope(lambda x: 1 - x * x)),
    (
        "the derivative at the activation's result",
        lambda g, x: d.tanh_backward(g, np.tanh(x)),
    ),
    ("no square", _slope(lambda x: 1 - np.tanh(x))),
)
SIGMOID: tuple[Mistake, ...] = (("the input taken for the result", _slope(lambda x: x * (1 - x))),)
RELU: tuple[Mistake, ...] = (
    ("what comes in from above cut off at 0", lambda grad, x: np.maximum(grad, 0)),
    ("the signs turned", _slope(lambda x: x < 0)),
)

# norms


def _norm(
    grad: Any,
    x: Any,
    weight: Any,
    eps: float,
    *,
    by_mean: float = 1,
    by_variance: float = 1,
    ddof: int = 0,
    inner: Callable[[Any, Any], Any] = np.multiply,
    outer: Callable[[Any, Any], Any] = lambda back, weight: back,
    root: Callable[[Any, float], Any] = lambda variance, eps: np.sqrt(variance + eps),
) -> Any:
    """Go back through a norm with one thing or another done in a different way."""
    centered = x - x.mean(-1, keepdims=True)
    deviation = root(x.var(-1, keepdims=True, ddof=ddof), eps)
    normal, g = centered / deviation, inner(grad, weight)
    moved = by_mean * g.mean(-1, keepdims=True)
    moved = moved + by_variance * normal * (g * normal).mean(-1, keepdims=True)
    return outer((g - moved) / deviation, weight), (grad * normal).sum(0), grad.sum(0)


def _sums(
    weight: Callable[..., Any] = lambda g, n, w: (g * n).sum(0),
    bias: Callable[[Any, Any], Any] = lambda g, w: g.sum(0),
) -> Callable[..., Any]:
    """Return a derivative with other gradients of weight and bias; n: what was normalised."""

    def wrong(grad: Any, x: Any, w: Any, eps: float) -> Any:
        normal = f.layer_norm(x, np.ones_like(w), np.zeros_like(w), eps)
        back, *_ = d.layer_norm_backward(grad, x, w, eps)
        return back, weight(grad, normal, w), bias(grad, w)

    return wrong


def _of_input(grad: Any, x: Any, weight: Any, eps: float) -> Any:
    back, _, bias = d.layer_norm_backward(grad, x, weight, eps)
    return back, (grad * x).sum(0), bias


def _both(reduce: Callable[[Any], Any]) -> Callable[..., Any]:
    return _sums(lambda g, n, w: reduce(g * n), lambda g, w: reduce(g))


def _exchanged(*args: Any) -> Any:
    back, weight, bias = d.layer_norm_backward(*args)
    return back, bias, weight


def _plain(grad: Any, weight: Any) -> Any:
    return grad


def _no_norm(grad: Any, x: Any, weight: Any, eps: float) -> Any:
    return grad * weight, *d.layer_norm_backward(grad, x, weight, eps)[1:]


LAYER_NORM: tuple[Mistake, ...] = (
    ("the mean and the variance taken for constants", partial(_norm, by_mean=0, by_variance=0)),
    ("the mean taken for a constant", partial(_norm, by_mean=0)),
    ("the variance taken for a constant", partial(_norm, by_variance=0)),
    ("the wrong sign of what comes by the mean", partial(_norm, by_mean=-1)),
    ("the wrong sign of what comes by the variance", partial(_norm, by_variance=-1)),
    ("what comes by the variance counted twice", partial(_norm, by_variance=2)),
    ("no weight of the norm in the gradient of the input", partial(_norm, inner=_plain)),
    ("the weight of the norm multiplied last", partial(_norm, inner=_plain, outer=np.multiply)),
    ("the weight of the norm multiplied twice", partial(_norm, outer=np.multiply)),
    ("no eps", partial(_norm, root=lambda variance, eps: np.sqrt(variance))),
    ("eps added after the root is taken", partial(_norm, root=lambda v, eps: np.sqrt(v) + eps)),
    ("a division by the variance, not by its root", partial(_norm, root=np.add)),
    ("no division by the spread", partial(_norm, root=lambda variance, eps: 1)),
    ("the variance divided by n - 1", partial(_norm, ddof=1)),
    ("no norm: what comes in times the weight", _no_norm),
    ("the weight from the input as it came", _of_input),
    ("the weight multiplied by itself", _sums(weight=lambda g, n, w: (g * n * w).sum(0))),
    ("the bias multiplied by the weight", _sums(bias=lambda g, w: (g * w).sum(0))),
    ("weight and bias averaged over the rows", _both(lambda x: x.mean(0))),
    ("weight and bias summed over the wrong axis", _both(lambda x: x.sum(1))),
    ("weight and bias not summed over the rows", _both(lambda x: x)),
    ("weight and bias exchanged", _exchanged),
)

# softmax


def _minus(total: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return the derivative of softmax with another number taken off."""
    return lambda grad, p: p * (grad - total(grad, p))


SOFTMAX: tuple[Mistake, ...] = (
    ("the diagonal alone", lambda grad, p: grad * p * (1 - p)),
    ("nothing taken off: the sum taken for a constant", _minus(lambda g, p: 0)),
    ("the sum over the wrong axis", _minus(lambda g, p: (g * p).sum(-2, keepdims=True))),
    ("the sum over all numbers at once", _minus(lambda g, p: (g * p).sum())),
    ("the mean in place of a sum", _minus(lambda g, p: (g * p).mean(-1, keepdims=True))),
    ("a sum without the probabilities", _minus(lambda g, p: g.sum(-1, keepdims=True))),
    ("a mean without the probabilities", _minus(lambda g, p: g.mean(-1, keepdims=True))),
    ("what is taken off added", _minus(lambda g, p: -(g * p).sum(-1, keepdims=True))),
    ("no probabilities before the bracket", lambda g, p: g - (g * p).sum(-1, keepdims=True)),
    ("softmax applied to the probabilities", lambda g, p: d.softmax_backward(g, f.softmax(p))),
    ("the derivative of its logarithm", lambda g, p: g - p * g.sum(-1, keepdims=True)),
    ("a sigmoid, each number alone", lambda g, p: d.sigmoid_backward(g, p)),
)
