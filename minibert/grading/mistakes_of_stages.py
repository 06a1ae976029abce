"""What goes wrong in operations that put others together; see mistakes.py."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minibert import functions as f
from minibert.grading.mistakes import Mistake, norm, powers_over_sum


def _attend(
    q: Any, k: Any, v: Any, scale: float | None = None, axis: int = -1, soft: bool = True
) -> Any:
    scores = q @ k.swapaxes(-1, -2) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    return (powers_over_sum(scores, axis, scores.max(axis, keepdims=True)) if soft else scores) @ v


def _root(size: float) -> float:
    return 1 / math.sqrt(size)


def _causal(q: Any, k: Any, v: Any) -> Any:
    seen = np.tri(q.shape[1], k.shape[1], dtype=bool)
    return f.softmax(np.where(seen, f.attention_scores(q, k), -1e30)) @ v


ATTENTION: list[Mistake] = [
    ("the scores are not divided by anything", lambda q, k, v: _attend(q, k, v, 1)),
    ("the scores are divided by d itself", lambda q, k, v: _attend(q, k, v, 1 / q.shape[2])),
    (
        "the scores are multiplied, and grow",
        lambda q, k, v: _attend(q, k, v, math.sqrt(q.shape[2])),
    ),
    (
        "the d that divides counts all heads together",
        lambda q, k, v: _attend(q, k, v, _root(len(q) * q.shape[2])),
    ),
    (
        "the divisor is made of the number of tokens",
        lambda q, k, v: _attend(q, k, v, _root(q.shape[1])),
    ),
    (
        "the divisor is made of the number of tokens",
        lambda q, k, v: _attend(q, k, v, _root(k.shape[1])),
    ),
    ("the divisor is made of the number of heads", lambda q, k, v: _attend(q, k, v, _root(len(q)))),
    ("softmax runs over the queries", lambda q, k, v: _attend(q, k, v, axis=-2)),
    ("softmax runs over the heads", lambda q, k, v: _attend(q, k, v, axis=0)),
    ("there is no softmax", lambda q, k, v: _attend(q, k, v, soft=False)),
    (
        "exp overflows: the scores go into it as large as they come",
        lambda q, k, v: powers_over_sum(q @ k.swapaxes(-1, -2) * _root(q.shape[-1])) @ v,
    ),
    ("query and key are exchanged", lambda q, k, v: _attend(k, q, v)),
    ("key and value are exchanged", lambda q, k, v: _attend(q, v, k)),
    ("query and value are exchanged", lambda q, k, v: _attend(v, k, q)),
    ("the queries look at queries: key is not used", lambda q, k, v: _attend(q, q, v)),
    ("the keys are averaged: value is not used", lambda q, k, v: _attend(q, k, k)),
    (
        "all tokens weigh the same",
        lambda q, k, v: np.broadcast_to(v.mean(1, keepdims=True), q.shape),
    ),
    ("tokens see no token after them, as in a decoder", _causal),
]


SCORES: list[Mistake] = [
    ("the scores are not divided by anything", lambda q, k: q @ k.swapaxes(1, 2)),
    ("the scores are divided by d itself", lambda q, k: q @ k.swapaxes(1, 2) / q.shape[2]),
    (
        "the scores are multiplied, and grow",
        lambda q, k: q @ k.swapaxes(1, 2) * math.sqrt(q.shape[2]),
    ),
    (
        "the d that divides counts all heads together",
        lambda q, k: q @ k.swapaxes(1, 2) * _root(len(q) * q.shape[2]),
    ),
    (
        "the divisor is made of the number of tokens",
        lambda q, k: q @ k.swapaxes(1, 2) * _root(q.shape[1]),
    ),
    ("the rows are keys, the columns queries", lambda q, k: f.attention_scores(k, q)),
]

CONTEXT: list[Mistake] = [
    ("the weights of queries and keys are exchanged", lambda p, v: p.swapaxes(1, 2) @ v),
    ("all tokens weigh the same", lambda p, v: np.broadcast_to(v.mean(1, keepdims=True), v.shape)),
]

LINEAR: list[Mistake] = [
    ("bias is not added", lambda x, w, b: x @ w.T),
    ("bias is added twice", lambda x, w, b: x @ w.T + 2 * b),
    ("bias is subtracted", lambda x, w, b: x @ w.T - b),
    ("weight is used the wrong way round, (in, out)", lambda x, w, b: x @ w + b),
    ("weight multiplies number by number: it is no matrix product", lambda x, w, b: x * w[0] + b),
]

POOLER: list[Mistake] = [
    ("there is no activation", f.linear),
    ("the activation is a sigmoid", lambda x, w, b: f.sigmoid(f.linear(x, w, b))),
    ("the activation is ReLU", lambda x, w, b: f.relu(f.linear(x, w, b))),
    ("the activation is GELU", lambda x, w, b: f.gelu(f.linear(x, w, b))),
    ("bias is not added", lambda x, w, b: np.tanh(x @ w.T)),
    ("bias is added after the activation", lambda x, w, b: np.tanh(x @ w.T) + b),
    ("weight is used the wrong way round, (in, out)", lambda x, w, b: np.tanh(x @ w + b)),
    ("the matrix is left out", lambda x, w, b: np.tanh(x)),
]

HEADS: list[Mistake] = [
    ("tokens and heads are mixed: the rows are cut across", lambda x, n: x.reshape(n, len(x), -1)),
    ("heads and tokens are not exchanged", lambda x, n: x.reshape(len(x), n, -1)),
    (
        "a head takes columns that do not lie side by side",
        lambda x, n: x.reshape(len(x), -1, n).transpose(2, 0, 1),
    ),
]

EMBEDDINGS: list[Mistake] = [
    ("the token types are not added", lambda i, t, p, w, tt, pp, *n: norm(w[i] + pp[p], *n)),
    ("the positions are not added", lambda i, t, p, w, tt, pp, *n: norm(w[i] + tt[t], *n)),
    ("the words are not added", lambda i, t, p, w, tt, pp, *n: norm(tt[t] + pp[p], *n)),
    ("only the words are looked up", lambda i, t, p, w, tt, pp, *n: norm(w[i], *n)),
    ("the sum is not normalised", lambda i, t, p, w, tt, pp, *_: w[i] + tt[t] + pp[p]),
    (
        "all tokens have the first token type",
        lambda i, t, p, w, tt, pp, *n: norm(w[i] + tt[0] + pp[p], *n),
    ),
    (
        "the token types are exchanged",
        lambda i, t, p, w, tt, pp, *n: norm(w[i] + tt[1 - t] + pp[p], *n),
    ),
    (
        "the positions are counted, whatever is given",
        lambda i, t, p, w, tt, pp, *n: norm(w[i] + tt[t] + pp[: len(i)], *n),
    ),
    (
        "the positions are one too high",
        lambda i, t, p, w, tt, pp, *n: norm(w[i] + tt[t] + pp[p + 1], *n),
    ),
    (
        "the words are scaled",
        lambda i, t, p, w, tt, pp, *n: norm(w[i] * w.shape[1] ** 0.5 + tt[t] + pp[p], *n),
    ),
    (
        "the variance is divided by n - 1",
        lambda i, t, p, w, tt, pp, *n: norm(w[i] + tt[t] + pp[p], *n, ddof=1),
    ),
    (
        "eps is not used",
        lambda i, t, p, w, tt, pp, a, b, e: norm(w[i] + tt[t] + pp[p], a, b, 0),
    ),
    (
        "the three vectors are normalised one by one",
        lambda i, t, p, w, tt, pp, *n: norm(w[i], *n) + norm(tt[t], *n) + norm(pp[p], *n),
    ),
]


def _forward(x: Any, w: Any, b: Any, w2: Any, b2: Any, activation: str) -> Any:
    return f.ACTIVATIONS[activation](x @ w.T + b) @ w2.T + b2


def _always(activation: str) -> Callable[..., Any]:
    return lambda x, w, b, w2, b2, _: _forward(x, w, b, w2, b2, activation)


FEED_FORWARD: list[Mistake] = [
    ("there is no activation", lambda x, w, b, w2, b2, _: (x @ w.T + b) @ w2.T + b2),
    ("the activation comes last", lambda x, w, b, w2, b2, a: f.gelu((x @ w.T + b) @ w2.T + b2)),
    (
        "the activation is GELU by tanh",
        _always("gelu_new"),
    ),
    ("the activation is ReLU", _always("relu")),
    (
        "the activation is always the same, whatever its name",
        _always("gelu"),
    ),
    ("the first bias is not added", lambda x, w, b, *a: _forward(x, w, 0, *a)),
    ("the second bias is not added", lambda x, w, b, w2, b2, a: _forward(x, w, b, w2, 0, a)),
    ("the biases are not added", lambda x, w, b, w2, b2, a: _forward(x, w, 0, w2, 0, a)),
    ("the first matrix is used the wrong way round", lambda x, w, *a: _forward(x, w.T, *a)),
    (
        "the second matrix is used the wrong way round",
        lambda x, w, b, w2, *a: _forward(x, w, b, w2.T, *a),
    ),
    (
        "both matrices are used the wrong way round",
        lambda x, w, b, w2, *a: _forward(x, w.T, b, w2.T, *a),
    ),
    ("the second matrix is left out", lambda x, w, b, *_: f.gelu(x @ w.T + b)),
    ("the two matrices are exchanged", lambda x, w, b, w2, b2, a: _forward(x, w2, b, w, b2, a)),
]

OF_STAGES = {
    "linear": LINEAR,
    "split_heads": HEADS,
    "attention_scores": SCORES,
    "attention_context": CONTEXT,
    "attention": ATTENTION,
    "embeddings": EMBEDDINGS,
    "feed_forward": FEED_FORWARD,
    "pooler": POOLER,
}
