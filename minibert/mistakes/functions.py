"""What goes wrong in a single operation: a phrase that says it, and a function that does it.

A phrase says what is wrong and not what would be right. A function takes what the operation takes
(functions.py); one with a parameter ``trace`` shows the stages inside the operation.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert import functions as f
from minibert.runtime.swap import OPERATIONS

Mistake = tuple[str, Callable[..., Any]]

TOO_SMALL = "a result that is too small, by one factor"
TOO_LARGE = "a result that is too large, by one factor"


def general(name: str) -> tuple[Mistake, ...]:
    """Return the mistakes that any operation may make."""
    ours = OPERATIONS[name]
    found: tuple[Mistake, ...] = (
        ("the input returned unchanged", lambda x, *_: x),
        ("zeros in place of a result", lambda *args: np.zeros_like(ours(*args))),
        ("the wrong sign", lambda *args: -ours(*args)),
        ("the input added to the result", lambda x, *args: x + ours(x, *args)),
        ("rows and columns of the result exchanged", lambda *a: ours(*a).swapaxes(-1, -2)),
        (TOO_SMALL, lambda *args: ours(*args) / 2),
        (TOO_LARGE, lambda *args: 2 * ours(*args)),
    )
    # of the identity, the first is right, and the input added is a factor
    return tuple(m for m in found if name != "identity" or "input" not in m[0])


CLOSE = 1e-6  # so far apart are the numbers of one mistake, relative to 1 + |number|
ROUGH = 2e-2  # so far apart are a result and one that is computed in half precision


def error_of(found: NDArray[Any], right: NDArray[Any]) -> str:
    """Return what kind of error turns one result into the other, of one shape; nothing if none."""
    if found.dtype.kind != "f" or not np.isfinite(found).all() or not right.size:
        return ""
    found, right = found.astype(np.float64), right.astype(np.float64)
    for phrase, is_so in _ERRORS:
        if is_so(found, right):
            return phrase
    return ""


def _is_near(found: Any, right: Any, tolerance: float = CLOSE) -> bool:
    return bool((np.abs(found - right) <= tolerance * (1 + np.abs(right))).all())


def _factor(found: Any, right: Any) -> float:
    """Return the factor between two results, by least squares; 1 if there is none."""
    factor = float((found * right).sum() / max((right * right).sum(), 1e-300))
    return factor if factor and _is_near(found, factor * right) else 1.0


def _is_clipped(found: Any, right: Any) -> bool:
    cut = np.clip(right, found.min(), found.max())
    return found.min() < found.max() and _is_near(found, cut)


def _is_right_at_first(found: Any, right: Any, first: int) -> bool:
    """Tell whether the first rows are right, and none of the others."""
    if found.ndim < 2 or found.shape[-2] <= first:
        return False
    wrong = np.abs(found - right) > CLOSE * (1 + np.abs(right))
    return not wrong[..., :first, :].any() and bool(wrong[..., first:, :].any(-1).all())


def _is_rough(found: Any, right: Any) -> bool:
    """Tell whether most numbers are wrong, but none by much."""
    wrong = np.abs(found - right) > CLOSE * (1 + np.abs(right))
    return bool(wrong.mean() > 0.5) and _is_near(found, right, ROUGH)


def _leading(first: int) -> Callable[[Any, Any], bool]:
    return lambda found, right: _is_right_at_first(found, right, first)


def _rounded(decimals: int) -> Callable[[Any, Any], bool]:
    return lambda found, right: _is_near(found, right.round(decimals))


#: What may be wrong with numbers whatever the operation: told by the results alone.
_ERRORS: tuple[tuple[str, Callable[[Any, Any], bool]], ...] = (
    ("the same number everywhere", lambda found, right: np.ptp(found) <= CLOSE < np.ptp(right)),
    (TOO_SMALL, lambda f, r: 0 < _factor(f, r) < 1),
    (TOO_LARGE, lambda f, r: _factor(f, r) > 1),
    ("the wrong sign, and another factor", lambda f, r: _factor(f, r) < 0),
    ("one number added to all of the result", lambda f, r: _is_near(f, r + (f - r).mean())),
    *((f"numbers rounded to {n} decimals", _rounded(n)) for n in range(6)),
    ("numbers cut off at a largest or a smallest one", _is_clipped),
    ("the first row alone is right", _leading(1)),
    *((f"the first {n} rows alone are right", _leading(n)) for n in range(2, 40)),
    ("no more digits than half precision (float16) has", _is_rough),
)


# matrices: all but the last is done by another matrix or another bias


def _turned(weight: Any, bias: Any) -> Any:
    return np.ascontiguousarray(weight.reshape(weight.shape[::-1]).T), bias


MATRICES: tuple[tuple[str, Callable[[Any, Any], Any]], ...] = (
    ("the weight matrix transposed", _turned),
    ("no bias", lambda w, b: (w, 0 * b)),
    ("the bias added twice", lambda w, b: (w, 2 * b)),
    ("the bias subtracted", lambda w, b: (w, -b)),
)


def with_arrays(change: Callable[[Any, Any], Any], call: Callable[..., Any]) -> Any:
    """Return a function of (x, weight, bias, ...) that is called with other arrays."""
    return lambda x, weight, bias, *rest: call(x, *change(weight, bias), *rest)


LINEAR: tuple[Mistake, ...] = (
    *((phrase, with_arrays(change, f.linear)) for phrase, change in MATRICES),
    ("a product number by number, not a matrix product", lambda x, w, b: x * w[0] + b),
)

# norms


def _norm(
    x: Any,
    weight: Any,
    bias: Any,
    eps: float,
    *,
    axis: Any = -1,
    ddof: int = 0,
    mean: bool = True,
    root: Callable[[Any, float], Any] = lambda variance, eps: np.sqrt(variance + eps),
) -> Any:
    """Normalise with one thing or another done in a different way."""
    middle = x.mean(axis=axis, keepdims=True)
    variance = np.square(x - middle).sum(axis=axis, keepdims=True)
    variance = variance / max(1, x.size // variance.size - ddof)
    return (x - middle * mean) / root(variance, eps) * weight + bias


def _rms(x: Any, weight: Any, bias: Any, eps: float) -> Any:
    return x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + eps) * weight + bias


def _eps(value: float, norm: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, weight, bias, _: norm(x, weight, bias, value)


def norm_over(length: int, axis: Any) -> Callable[..., Any]:
    """Return a norm that takes together sequences of one length, (B, T, C), along other axes."""

    def norm(x: Any, *others: Any) -> Any:
        return _norm(x.reshape(-1, length, x.shape[-1]), *others, axis=axis).reshape(x.shape)

    return norm


_outside = partial(_norm, root=lambda variance, eps: np.sqrt(variance) + eps)
_unbiased = partial(_outside, ddof=1)
_NORM_ARRAYS: tuple[tuple[str, Callable[[Any, Any], Any]], ...] = (
    ("neither weight nor bias of the norm", lambda w, b: (0 * w + 1, 0 * b)),
    ("no weight of the norm", lambda w, b: (0 * w + 1, b)),
    ("no bias of the norm", lambda w, b: (w, 0 * b)),
    ("the bias of the norm added twice", lambda w, b: (w, 2 * b)),
    ("the bias of the norm subtracted", lambda w, b: (w, -b)),
    ("the weight and the bias of the norm swapped", lambda w, b: (b, w)),
    ("the bias of the norm added before the weight multiplies", lambda w, b: (w, b * w)),
    ("1 added to the weight of the norm", lambda w, b: (w + 1, b)),
)
LAYER_NORM: tuple[Mistake, ...] = (
    *((f"eps {x:g}", _eps(x, f.layer_norm)) for x in (1e-12, 1e-8, 1e-7, 1e-6, 1e-5, 1e-3)),
    *((f"eps {x:g} outside of the root", _eps(x, _outside)) for x in (1e-6, 1e-5, 1e-3)),
    ("the variance divided by n - 1", partial(_norm, ddof=1)),
    ("the variance divided by n - 1 and eps 1e-06 outside of the root", _eps(1e-6, _unbiased)),
    ("no eps", _eps(0, _norm)),
    ("eps added after the root is taken", _outside),
    ("a division by the variance, not by its root", partial(_norm, root=np.add)),
    ("eps squared", lambda x, w, b, e: _norm(x, w, b, e**2)),
    ("no division by the spread", partial(_norm, root=lambda variance, eps: 1)),
    ("the mean not taken off", partial(_norm, mean=False)),
    ("the root mean square in place of the variance, as in RMSNorm", _rms),
    ("a norm over columns: the mean taken over the wrong axis", partial(_norm, axis=0)),
    ("one mean and one variance for all rows", partial(_norm, axis=None)),
    ("no norm", lambda x, w, b, e: x),
    ("the input of the norm added to its result", lambda x, *a: x + f.layer_norm(x, *a)),
    ("the norm applied twice", lambda x, *a: f.layer_norm(f.layer_norm(x, *a), *a)),
    *((phrase, with_arrays(change, f.layer_norm)) for phrase, change in _NORM_ARRAYS),
)

# attention


def _powers(x: Any, axis: Any = -1, top: Any = 0.0) -> Any:
    """Return softmax over any axis, with anything taken off first."""
    powers = np.exp(x - top)
    return powers / powers.sum(axis=axis, keepdims=True)


def _powers_over_more(x: Any) -> Any:
    top = np.maximum(x.max(-1, keepdims=True), 0)
    powers = np.exp(x - top)
    return powers / (powers.sum(-1, keepdims=True) + np.exp(-top))


def _causal(x: Any) -> Any:
    later = np.triu(np.ones(x.shape[-2:], bool), 1)
    return f.softmax(np.where(later, np.asarray(-1e30, x.dtype), x))


OVER_HEADS = "softmax over the heads, the first axis"
OVER_QUERIES = "softmax over the queries"
SOFTMAX: tuple[Mistake, ...] = (
    ("a sum over all numbers at once", lambda x: _powers(x, None, x.max())),
    (OVER_QUERIES, lambda x: f.softmax(x.swapaxes(-1, -2)).swapaxes(-1, -2)),
    (OVER_HEADS, lambda x: f.softmax(x.swapaxes(0, -1)).swapaxes(0, -1)),
    ("a causal mask: no token looks at later ones", _causal),
    ("exp that overflows: numbers go into it as large as they come", _powers),
    ("one maximum taken off all rows, so that some vanish", lambda x: _powers(x, -1, x.max())),
    ("no division by the sum", lambda x: np.exp(x - x.max(-1, keepdims=True))),
    ("no division by the sum", np.exp),
    ("one added to the sum (softmax1)", _powers_over_more),
    ("logarithms of probabilities", lambda x: np.log(f.softmax(x))),
    ("powers of 2", lambda x: f.softmax(x * math.log(2))),
    ("no exp: the numbers divided by their sum", lambda x: x / x.sum(-1)[..., None]),
    ("no softmax", lambda x: x),
    ("a sigmoid, each number alone", f.sigmoid),
    ("the signs of the numbers turned", lambda x: f.softmax(-x)),
    ("all for the largest number", lambda x: (x == x.max(-1, keepdims=True)) * 1.0),
)


def _over(divisor: Callable[[int, int, int], float]) -> Callable[[Any, Any], Any]:
    """Return attention_scores with another divisor, made of H, Q and D."""
    return lambda q, k: q @ k.swapaxes(-1, -2) / divisor(*q.shape)


SCORES: tuple[Mistake, ...] = (
    ("scores that are not divided", _over(lambda h, t, d: 1)),
    ("scores divided by D, not by its root", _over(lambda h, t, d: d)),
    ("scores divided by the root of the hidden size", _over(lambda h, t, d: math.sqrt(h * d))),
    ("scores divided by the root of the number of heads", _over(lambda h, t, d: math.sqrt(h))),
    ("scores divided by the root of the number of tokens", _over(lambda h, t, d: math.sqrt(t))),
    ("scores multiplied by sqrt(D)", _over(lambda h, t, d: 1 / math.sqrt(d))),
    ("queries and keys swapped", lambda q, k: f.attention_scores(k, q)),
)
CONTEXT: tuple[Mistake, ...] = (
    ("the probabilities transposed", lambda p, v: p.swapaxes(-1, -2) @ v),
    ("the same weight for all tokens", lambda p, v: np.broadcast_to(v.mean(-2)[:, None], v.shape)),
)
SPLIT: tuple[Mistake, ...] = (
    ("the heads split in reverse order", lambda x, n: f.split_heads(x, n)[::-1]),
    ("heads split as (B, H, T, D) without transposing", lambda x, n: x.reshape(n, len(x), -1)),
    ("heads and tokens not exchanged", lambda x, n: x.reshape(len(x), n, -1)),
    ("heads split as (B, T, D, H)", lambda x, n: x.reshape(len(x), -1, n).transpose(2, 0, 1)),
)
MERGE: tuple[Mistake, ...] = (
    ("the heads put together in reverse order", lambda x: f.merge_heads(x[::-1])),
    ("heads put together as (B, H, T, D) without transposing", lambda x: x.reshape(x.shape[1], -1)),
    ("heads put together as (B, T, D, H)", lambda x: x.transpose(1, 2, 0).reshape(x.shape[1], -1)),
)
