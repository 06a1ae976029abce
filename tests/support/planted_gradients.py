"""Wrong derivatives, written out: each is swapped in while gradients are recorded.

None is a function of the package's table of mistakes; those marked are of programs that passed
their own tests.
"""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Fault:
    """One derivative that is wrong: where that shows first, and what must be said of it."""

    name: str
    operation: str
    stage: str  # a pattern
    words: str  # a pattern
    function: object


FAULTS = []


def fault(name, operation, stage, words):
    def decorate(function):
        FAULTS.append(Fault(name, f"{operation}_backward", stage, words, function))
        return function

    return decorate


# matrices


def linear(of_input=None, of_matrix=None, of_bias=None):
    def backward(grad, x, weight):
        return (
            (of_input or (lambda g, x, w: np.einsum("no,oi->ni", g, w)))(grad, x, weight),
            (of_matrix or (lambda g, x: np.einsum("no,ni->oi", g, x)))(grad, x),
            (of_bias or (lambda g: np.einsum("no->o", g)))(grad),
        )

    return backward


BIAS, MATRIX = r"grad\.weight\..*bias", r"grad\.weight\..*weight"
FIRST = r"grad\.predictions"  # what comes out of the decoder's matrix
for _name, _stage, _words, _parts in (
    (
        "bias averaged over rows",
        BIAS,
        "bias averaged over the rows",
        {"of_bias": lambda g: np.einsum("no->o", g) / len(g)},
    ),
    (
        "bias of the last row",
        BIAS,
        "last row",
        {"of_bias": lambda g: g[-1] + 0, "of_matrix": lambda g, x: g[-1][:, None] * x[-1]},
    ),
    (
        "no gradient of the bias",
        BIAS,
        "no gradient of the bias",
        {"of_bias": lambda g: np.zeros(g.shape[1], g.dtype)},
    ),
    (
        "no gradient of the matrix",
        MATRIX,
        "no gradient of the matrix|decoder left out|tied",
        {"of_matrix": lambda g, x: np.zeros((g.shape[1], x.shape[1]), g.dtype)},
    ),
    (
        "matrix averaged over rows",
        MATRIX,
        "averaged over the rows",
        {"of_matrix": lambda g, x: np.einsum("no,ni->oi", g, x) / len(x)},
    ),
    (
        "sign of the matrix",
        MATRIX,
        "gradient of the matrix, the wrong sign",
        {"of_matrix": lambda g, x: -np.einsum("no,ni->oi", g, x)},
    ),
    (
        "sign of the bias",
        BIAS,
        "gradient of the bias, the wrong sign",
        {"of_bias": lambda g: -np.einsum("no->o", g)},
    ),
    (
        "no gradient of the input",
        FIRST,
        "no gradient of the input|zeros",
        {"of_input": lambda g, x, w: np.zeros_like(x)},
    ),
    (
        "sign of the input",
        FIRST,
        "gradient of the input, the wrong sign|the wrong sign",
        {"of_input": lambda g, x, w: -np.einsum("no,oi->ni", g, w)},
    ),
    (
        "rows added up",
        FIRST,
        "the sum over the rows for each of them",
        {"of_input": lambda g, x, w: np.tile(g.sum(0) @ w, (len(g), 1))},
    ),
):
    fault(_name, "linear", _stage, _words)(linear(**_parts))

# norms


def norm(change):
    """Return the derivative of a norm: change(g, n, s, inner) is that of the input."""

    def backward(grad, x, weight, eps):
        mean = x.mean(-1, keepdims=True)
        s = np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + eps)
        n = (x - mean) / s
        return change(grad, n, s, grad * weight), (grad * n).sum(0), grad.sum(0)

    return backward


def _mean(x):
    return x.mean(-1, keepdims=True)


ACTIVE = r"grad\.predictions\.activation"
fault("both mean terms missing", "layer_norm", ACTIVE, "constant|mean")(
    norm(lambda g, n, s, i: i / s)
)
fault("first mean term missing", "layer_norm", ACTIVE, "mean")(
    norm(lambda g, n, s, i: (i - n * _mean(i * n)) / s)
)
fault("second mean term missing", "layer_norm", ACTIVE, "variance|mean")(
    norm(lambda g, n, s, i: (i - _mean(i)) / s)
)
fault("gamma taken for 1 (numpy-transformer)", "layer_norm", ACTIVE, "weight")(
    norm(lambda g, n, s, i: (g - _mean(g) - n * _mean(g * n)) / s)
)
fault("gamma after the means", "layer_norm", ACTIVE, "weight|scale|mean")(
    norm(lambda g, n, s, i: (i / np.where(g == 0, 1, g)) * (g - _mean(g) - n * _mean(g * n)) / s)
)
fault("not divided by the deviation", "layer_norm", ACTIVE, "divided|deviation")(
    norm(lambda g, n, s, i: i - _mean(i) - n * _mean(i * n))
)
fault("divided by the variance", "layer_norm", ACTIVE, "variance|divided")(
    norm(lambda g, n, s, i: (i - _mean(i) - n * _mean(i * n)) / s**2)
)
fault("the wrong sign of a norm", "layer_norm", ACTIVE, "wrong sign")(
    norm(lambda g, n, s, i: -(i - _mean(i) - n * _mean(i * n)) / s)
)


def _ln(grad, x, weight, eps):
    d = x - _mean(x)
    s = np.sqrt(_mean(d * d) + eps)
    n, i = d / s, grad * weight
    return (i - _mean(i) - n * _mean(i * n)) / s, n


SCALE, SHIFT = r"grad\.weight\..*LayerNorm\.weight", r"grad\.weight\..*LayerNorm\.bias"
for _name, _stage, _words, _scale, _shift in (
    (
        "gamma never trained (BERT-NumPy)",
        SCALE,
        "no gradient of the weight",
        lambda g, n, x: 0 * g[0],
        lambda g: g.sum(0),
    ),
    (
        "gamma from what was not normalised",
        SCALE,
        "normal|input",
        lambda g, n, x: (g * x).sum(0),
        lambda g: g.sum(0),
    ),
    ("beta averaged", SHIFT, "averaged|mean", lambda g, n, x: (g * n).sum(0), lambda g: g.mean(0)),
    (
        "gamma with the sign turned",
        SCALE,
        "wrong sign",
        lambda g, n, x: -(g * n).sum(0),
        lambda g: g.sum(0),
    ),
    (
        "beta never trained",
        SHIFT,
        "no gradient of the bias",
        lambda g, n, x: (g * n).sum(0),
        lambda g: 0 * g[0],
    ),
):

    def _norm(grad, x, weight, eps, scale=_scale, shift=_shift):
        back, n = _ln(grad, x, weight, eps)
        return back, scale(grad, n, x), shift(grad)

    fault(_name, "layer_norm", _stage, _words)(_norm)


@fault("eps left out (substation)", "layer_norm", ACTIVE, "eps")
def no_eps(grad, x, weight, eps):
    normal = _ln(grad, x, weight, eps)[1]
    return _ln(grad, x, weight, 0.0)[0], (grad * normal).sum(0), grad.sum(0)


# attention

TOP = r"grad\.layer\.1\.attention\."
SCORES = TOP + "scores"


@fault("the softmax's diagonal alone", "softmax", SCORES, "diagonal|itself")
def diagonal(grad, p):
    return grad * p * (1 - p)


@fault("the softmax's sum left out", "softmax", SCORES, "sum|mean|exponential")
def no_sum(grad, p):
    return grad * p


@fault("softmax taken for the identity", "softmax", SCORES, "unchanged|no derivative")
def identity(grad, p):
    return grad + 0


@fault("softmax's sum over the queries", "softmax", SCORES, "quer|wrong axis|over")
def over_queries(grad, p):
    return p * (grad - (grad * p).sum(-2, keepdims=True))


@fault("softmax's mean in place of its sum", "softmax", SCORES, "mean|average")
def averaged(grad, p):
    return p * (grad - (grad * p).mean(-1, keepdims=True))


@fault("softmax without the probabilities outside", "softmax", SCORES, "probabilit|factor|outside")
def inner_alone(grad, p):
    return grad - (grad * p).sum(-1, keepdims=True)


def _scores(over_query, over_key):
    def backward(grad, query, key):
        d = query.shape[-1]
        turned = np.swapaxes(grad, 1, 2)
        return np.einsum("hqk,hkd->hqd", grad, key) / over_query(d), np.einsum(
            "hkq,hqd->hkd", turned, query
        ) / over_key(d)

    return backward


def _one(d):
    return 1.0


QUERY = TOP + "(query|key|value)"
fault("the scale left out", "attention_scores", QUERY, "not divided")(_scores(_one, _one))
fault("divided by D", "attention_scores", QUERY, "divided by D")(_scores(float, float))
fault("the scale of keys left out", "attention_scores", QUERY, "only the gradient of the queries")(
    _scores(math.sqrt, _one)
)
fault("the scale of queries left out", "attention_scores", QUERY, "only the gradient of the keys")(
    _scores(_one, math.sqrt)
)
fault("queries' and keys' gradients exchanged", "attention_scores", QUERY, "exchanged")(
    lambda g, q, k: _scores(math.sqrt, math.sqrt)(g, q, k)[::-1]
)


@fault("probabilities not transposed", "attention_context", QUERY, "not transposed")
def not_turned(grad, p, value):
    return np.einsum("hqd,hkd->hqk", grad, value), np.einsum("hqk,hkd->hqd", p, grad)


@fault("no gradient of the values", "attention_context", QUERY, "no gradient of the values")
def no_values(grad, p, value):
    return np.einsum("hqd,hkd->hqk", grad, value), np.zeros_like(value)


@fault(
    "no gradient of the probabilities",
    "attention_context",
    TOP + "probabilities",
    "no gradient of the prob|zeros",
)
def no_probabilities(grad, p, value):
    return np.zeros_like(p), np.einsum("hqk,hqd->hkd", p, grad)


# activations

WIDE = r"grad\.predictions\.intermediate"


def _density(x):
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _cdf(x):
    return np.vectorize(lambda v: 0.5 * math.erfc(-v / math.sqrt(2)), otypes=[x.dtype])(x)


@fault("derivative of gelu_new", "gelu", WIDE, "gelu_new|tanh")
def of_tanh(grad, x):
    u = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    inner = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
    return grad * (0.5 * (1 + u) + 0.5 * x * (1 - u * u) * inner)


@fault("the density left out", "gelu", WIDE, "density|second|distribution")
def no_density(grad, x):
    return grad * _cdf(x)


@fault("derivative of relu", "gelu", WIDE, "relu")
def of_relu(grad, x):
    return np.where(x > 0, grad, np.zeros_like(grad))


@fault("no derivative of the activation", "gelu", WIDE, "unchanged|no derivative|identity")
def no_slope(grad, x):
    return grad.copy()


@fault("the activation for its derivative", "gelu", WIDE, "activation itself")
def itself(grad, x):
    return grad * x * _cdf(x)


@fault("what comes in left out", "gelu", WIDE, "above left out|comes in")
def alone(grad, x):
    return _cdf(x) + x * _density(x)


@fault("the density without x", "gelu", WIDE, "x|density")
def without_x(grad, x):
    return grad * (_cdf(x) + _density(x))


# tables and losses

WORDS = r"grad\.weight\..*(word|token_type|position)_embeddings\.weight"


@fault("rows overwritten, not added", "lookup", WORDS, "overwritten")
def overwritten(grad, rows, count):
    whole = np.zeros((count, grad.shape[1]), grad.dtype)
    for i, row in enumerate(rows):
        whole[row] = grad[i]
    return whole


@fault("rows averaged", "lookup", WORDS, "averaged")
def rows_averaged(grad, rows, count):
    whole = np.zeros((count, grad.shape[1]), grad.dtype)
    for row in set(rows.tolist()):
        whole[row] = grad[rows == row].mean(0)
    return whole


@fault("tables never trained", "lookup", WORDS, "zeros|decoder alone|tied")
def untrained(grad, rows, count):
    return np.zeros((count, grad.shape[1]), grad.dtype)


def loss(change):
    def backward(p, labels):
        target = np.zeros_like(p)
        target[np.arange(len(p)), labels] = 1
        return change(p, target, len(p))

    return backward


LOGITS = r"grad\.logits"
fault("a sum of losses, not their mean", "cross_entropy", LOGITS, "sum over the rows")(
    loss(lambda p, y, n: p - y)
)
fault("averaged over all numbers", "cross_entropy", LOGITS, "over all numbers")(
    loss(lambda p, y, n: (p - y) / p.size)
)
fault("labels left out", "cross_entropy", LOGITS, "labels left out")(loss(lambda p, y, n: p / n))
fault("the label alone", "cross_entropy", LOGITS, "label's own")(
    loss(lambda p, y, n: np.where(y == 1, p - 1, 0 * p) / n)
)
fault("the loss's sign", "cross_entropy", LOGITS, "wrong sign")(loss(lambda p, y, n: (y - p) / n))
