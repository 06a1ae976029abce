"""What students write: functions that are right, in their own way."""

import math
from functools import wraps

import numpy as np

from minibert.runtime.swap import OPERATIONS


def ours(name):
    """Return a function that does what ours does, and is not ours."""

    def student(*args, allowed=None):
        options = {} if allowed is None else {"allowed": allowed}
        return OPERATIONS[name].__wrapped__(*args, **options)

    return student


def as_given(function):
    """Return the function with the dtype of its results made that of its arguments."""

    @wraps(function)
    def student(*args, **options):
        dtype = next(x.dtype for x in args if isinstance(x, np.ndarray) and x.dtype.kind == "f")
        found = function(*args, **options)
        if isinstance(found, tuple):
            return tuple(np.asarray(x).astype(dtype) for x in found)
        return np.asarray(found).astype(dtype)

    return student


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))).astype(x.dtype)


def gelu_by_a_handbook(x):
    """Abramowitz and Stegun 7.1.26: 1.5e-7 off."""
    z = np.abs(x) * math.sqrt(0.5)
    t = 1 / (1 + 0.3275911 * z)
    powers = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
    tail = sum(c * t ** (i + 1) for i, c in enumerate(powers)) * np.exp(-z * z)
    return 0.5 * x * (1 + np.sign(x) * (1 - tail))


def layer_norm(x, weight, bias, eps):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + eps) * weight + bias


def softmax(x):
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def attention(query, key, value):
    scores = np.einsum("hqd,hkd->hqk", query, key) / math.sqrt(query.shape[-1])
    return np.einsum("hqk,hkd->hqd", softmax(scores), value)


RIGHT = {"gelu": gelu, "layer_norm": layer_norm, "softmax": softmax, "attention": attention}
