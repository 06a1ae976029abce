"""The activations of a feed-forward, by transformers' names: one pure function each.

As in functions.py, the dtype that goes in comes out, and a user's function may take the place of
each. Two of transformers' activations hold weights of their own (prelu, xielu) and are not here.
"""

import math
from collections.abc import Callable
from typing import NoReturn

import numpy as np

from minibert.erf import erf
from minibert.runtime.arrays import Array
from minibert.runtime.blocks import by_rows
from minibert.runtime.spelling import nearest
from minibert.runtime.swap import operation


@operation("(...) -> (...)")
@by_rows
def gelu(x: Array) -> Array:
    """Return the exact GELU, BERT's own: x times the normal distribution function.

    Hendrycks and Gimpel, "Gaussian Error Linear Units", arXiv:1606.08415.
    """
    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))


@operation("(...) -> (...)")
@by_rows
def tanh(x: Array) -> Array:
    """Return the hyperbolic tangent."""
    return np.tanh(x)


@operation("(...) -> (...)")
@by_rows
def gelu_new(x: Array) -> Array:
    """Return GELU by tanh, as GPT-2 has it; up to 4.7e-4 away from the exact one."""
    return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


@operation("(...) -> (...)")
@by_rows
def gelu_fast(x: Array) -> Array:
    """Return GELU by tanh with ``sqrt(2 / pi)`` cut to ten digits, as transformers has it."""
    return 0.5 * x * (1 + tanh(x * 0.7978845608 * (1 + 0.044715 * x * x)))


@operation("(...) -> (...)")
def sigmoid(x: Array) -> Array:
    """Return ``1 / (1 + exp(-x))``, written so that exp cannot overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1) / (1 + small)


@operation("(...) -> (...)")
@by_rows
def quick_gelu(x: Array) -> Array:
    """Return ``x * sigmoid(1.702 * x)``, the coarsest GELU; up to 0.02 away from the exact one."""
    return x * sigmoid(1.702 * x)


@operation("(...) -> (...)")
@by_rows
def silu(x: Array) -> Array:
    """Return ``x * sigmoid(x)``, also called swish.

    Elfwing et al., "Sigmoid-Weighted Linear Units", arXiv:1702.03118.
    """
    return x * sigmoid(x)


@operation("(...) -> (...)")
def relu(x: Array) -> Array:
    """Return x where it is positive and 0 elsewhere."""
    return np.maximum(x, 0)


@operation("(...) -> (...)")
@by_rows
def gelu_10(x: Array) -> Array:
    """Return GELU cut off below -10 and above 10, which makes it easier to quantize."""
    return np.clip(gelu(x), -10, 10)


@operation("(...) -> (...)")
def identity(x: Array) -> Array:
    """Return x itself: "linear" in a config."""
    return x


@operation("(...) -> (...)")
@by_rows
def leaky_relu(x: Array) -> Array:
    """Return x where it is positive and a hundredth of it elsewhere."""
    return np.maximum(x, 0.01 * x)


@operation("(...) -> (...)")
def relu2(x: Array) -> Array:
    """Return the square of ``relu(x)``. So et al., "Primer", arXiv:2109.08668."""
    return np.square(relu(x))


@operation("(...) -> (...)")
def relu6(x: Array) -> Array:
    """Return x between 0 and 6, and the nearer of the two elsewhere."""
    return np.clip(x, 0, 6)


@operation("(...) -> (...)")
@by_rows
def hardswish(x: Array) -> Array:
    """Return ``x * relu6(x + 3) / 6``, silu in straight lines; Howard et al., arXiv:1905.02244."""
    return x * relu6(x + 3) / 6


def _softplus(x: Array) -> Array:
    """Return ``log(1 + exp(x))``, written so that exp cannot overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@operation("(...) -> (...)")
@by_rows
def mish(x: Array) -> Array:
    """Return ``x * tanh(log(1 + exp(x)))``. Misra, "Mish", arXiv:1908.08681."""
    return x * tanh(_softplus(x))


@operation("(...) -> (...)")
@by_rows
def sqrtsoftplus(x: Array) -> Array:
    """Return the square root of ``log(1 + exp(x))``."""
    return np.sqrt(_softplus(x))


@operation("(...) -> (...)")
@by_rows
def laplace(x: Array) -> Array:
    """Return a normal distribution function whose ends are those of relu2's middle.

    Ma et al., "Mega", arXiv:2209.10655, with the constants as transformers rounds them.
    """
    return 0.5 * (1 + erf((x - 0.707107) / (0.282095 * math.sqrt(2))))


class _Named(dict[str, Callable[[Array], Array]]):
    def __missing__(self, name: str) -> NoReturn:
        near = nearest(name, self) or f"; there are {', '.join(self)}"
        raise ValueError(f"there is no activation {name!r:.80}{near}")


#: What ``hidden_act`` in a config may say. The names are those of transformers.
ACTIVATIONS = _Named(
    {
        **dict.fromkeys(("gelu", "gelu_python"), gelu),
        **dict.fromkeys(
            ("gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_accurate"), gelu_new
        ),
        "gelu_fast": gelu_fast,
        "gelu_10": gelu_10,
        "quick_gelu": quick_gelu,
        **dict.fromkeys(("silu", "swish"), silu),
        "hardswish": hardswish,
        "mish": mish,
        "relu": relu,
        "relu2": relu2,
        "relu6": relu6,
        "leaky_relu": leaky_relu,
        "tanh": tanh,
        "sigmoid": sigmoid,
        "laplace": laplace,
        "sqrtsoftplus": sqrtsoftplus,
        "linear": identity,
    }
)
