"""The derivatives of the activations, in the order of activations.py.

Each takes the gradient of what its activation returned, and what the activation was given; it
returns the gradient of that. Where an activation has a corner, the derivative is that of torch.
"""

import math
from collections.abc import Callable

import numpy as np

from minibert.activations import ACTIVATIONS, gelu, relu, sigmoid, tanh
from minibert.erf import erf
from minibert.runtime.arrays import Array
from minibert.runtime.blocks import by_rows
from minibert.runtime.swap import operation


@operation("(...), (...) -> (...)")
@by_rows
def gelu_backward(grad: Array, x: Array) -> Array:
    """Return ``grad * (P(x) + x * p(x))``: the normal distribution function and its density."""
    density = np.exp(-0.5 * np.square(x)) / math.sqrt(2 * math.pi)
    return grad * (0.5 * (1 + erf(x * math.sqrt(0.5))) + x * density)


@operation("(...), (...) -> (...)")
@by_rows
def tanh_backward(grad: Array, x: Array) -> Array:
    """Return ``grad * (1 - tanh(x)^2)``."""
    return grad * (1 - np.square(tanh(x)))


@operation("(...), (...) -> (...)")
@by_rows
def gelu_new_backward(grad: Array, x: Array) -> Array:
    """Return the derivative of ``0.5 * x * (1 + tanh(u))``, u = sqrt(2 / pi) (x + 0.044715 x^3)."""
    scale = math.sqrt(2 / math.pi)
    inner = tanh(scale * (x + 0.044715 * x * x * x))
    slope = scale * (1 + 3 * 0.044715 * x * x)
    return grad * 0.5 * (1 + inner + x * (1 - np.square(inner)) * slope)


@operation("(...), (...) -> (...)")
@by_rows
def gelu_fast_backward(grad: Array, x: Array) -> Array:
    """Return the derivative of ``0.5 * x * (1 + tanh(u))``, with the constant cut to ten digits."""
    inner = tanh(x * 0.7978845608 * (1 + 0.044715 * x * x))
    slope = 0.7978845608 * (1 + 3 * 0.044715 * x * x)
    return grad * 0.5 * (1 + inner + x * (1 - np.square(inner)) * slope)


@operation("(...), (...) -> (...)")
@by_rows
def sigmoid_backward(grad: Array, x: Array) -> Array:
    """Return ``grad * s * (1 - s)``, s = sigmoid(x)."""
    value = sigmoid(x)
    return grad * value * (1 - value)


@operation("(...), (...) -> (...)")
@by_rows
def quick_gelu_backward(grad: Array, x: Array) -> Array:
    """Return ``grad * (s + 1.702 * x * s * (1 - s))``, s = sigmoid(1.702 * x)."""
    value = sigmoid(1.702 * x)
    return grad * (value + 1.702 * x * value * (1 - value))


@operation("(...), (...) -> (...)")
@by_rows
def silu_backward(grad: Array, x: Array) -> Array:
    """Return ``grad * (s + x * s * (1 - s))``, s = sigmoid(x)."""
    value = sigmoid(x)
    return grad * (value + x * value * (1 - value))


@operation("(...), (...) -> (...)")
def relu_backward(grad: Array, x: Array) -> Array:
    """Return the gradient where x is positive, and 0 elsewhere."""
    return grad * (x > 0)


@operation("(...), (...) -> (...)")
@by_rows
def gelu_10_backward(grad: Array, x: Array) -> Array:
    """Return the derivative of GELU, and 0 where that is cut off."""
    return gelu_backward(grad, x) * (np.abs(gelu(x)) <= 10)


@operation("(...), (...) -> (...)")
def identity_backward(grad: Array, x: Array) -> Array:
    """Return the gradient itself."""
    return grad


@operation("(...), (...) -> (...)")
@by_rows
def leaky_relu_backward(grad: Array, x: Array) -> Array:
    """Return the gradient where x is positive, and a hundredth of it elsewhere."""
    return np.where(x > 0, grad, 0.01 * grad)


@operation("(...), (...) -> (...)")
def relu2_backward(grad: Array, x: Array) -> Array:
    """Return ``grad * 2 * relu(x)``."""
    return grad * 2 * relu(x)


@operation("(...), (...) -> (...)")
def relu6_backward(grad: Array, x: Array) -> Array:
    """Return the gradient where x is between 0 and 6, and 0 elsewhere."""
    return grad * ((x > 0) & (x < 6))


@operation("(...), (...) -> (...)")
@by_rows
def hardswish_backward(grad: Array, x: Array) -> Array:
    """Return ``grad * (x / 3 + 1 / 2)`` between -3 and 3, 0 below and the gradient above."""
    return grad * np.where(np.abs(x) <= 3, x / 3 + 0.5, x > 0).astype(x.dtype)


@operation("(...), (...) -> (...)")
@by_rows
def mish_backward(grad: Array, x: Array) -> Array:
    """Return ``grad * (t + x * (1 - t^2) * sigmoid(x))``, t = tanh(log(1 + exp(x)))."""
    inner = tanh(np.logaddexp(x, 0))
    return grad * (inner + x * (1 - np.square(inner)) * sigmoid(x))


@operation("(...), (...) -> (...)")
@by_rows
def sqrtsoftplus_backward(grad: Array, x: Array) -> Array:
    """Return ``grad * sigmoid(x) / (2 * sqrt(log(1 + exp(x))))``."""
    root = np.sqrt(np.logaddexp(x, 0))
    return grad * sigmoid(x) / (2 * np.maximum(root, np.finfo(x.dtype).tiny))


@operation("(...), (...) -> (...)")
@by_rows
def laplace_backward(grad: Array, x: Array) -> Array:
    """Return the gradient times the normal density whose distribution function laplace is."""
    distance = (x - 0.707107) / 0.282095
    return grad * np.exp(-0.5 * np.square(distance)) / (0.282095 * math.sqrt(2 * math.pi))


#: The derivative of each activation, by the names in a config.
ACTIVATION_DERIVATIVES: dict[str, Callable[[Array, Array], Array]] = {
    name: globals()[f"{curve.__name__}_backward"] for name, curve in ACTIVATIONS.items()
}
