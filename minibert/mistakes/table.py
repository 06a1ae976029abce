"""What goes wrong in operations that put others together, and the table of all operations."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minibert import functions as f
from minibert.mistakes import functions as single
from minibert.mistakes import gradients
from minibert.mistakes.activations import GELU
from minibert.mistakes.functions import LAYER_NORM, MATRICES, Mistake, with_arrays
from minibert.mistakes.gradient_table import GRADIENTS
from minibert.trace import silent

# attention


def _attending(change: Callable[[Any, Any, Any], Any]) -> Callable[..., Any]:
    def attention(q: Any, k: Any, v: Any, *, allowed: Any = None, trace: Any = silent) -> Any:
        return f.attention(*change(q, k, v), allowed=allowed, trace=trace)

    return attention


def _attention(scores: Any = f.attention_scores, softmax: Any = f.softmax) -> Callable[..., Any]:
    return lambda q, k, v: softmax(scores(q, k)) @ v


def _turned_once(q: Any, k: Any, v: Any) -> Any:
    return k, v, q


def _turned_twice(q: Any, k: Any, v: Any) -> Any:
    return v, q, k


ROLES: tuple[Mistake, ...] = (  # what is asked, by what, and what is averaged
    ("queries and keys swapped", _attending(lambda q, k, v: (k, q, v))),
    ("keys and values swapped", _attending(lambda q, k, v: (q, v, k))),
    ("queries and values swapped", _attending(lambda q, k, v: (v, k, q))),
    ("the queries in place of the keys", _attending(lambda q, k, v: (q, q, v))),
    ("the values in place of the keys", _attending(lambda q, k, v: (q, v, v))),
    ("the keys in place of the values", _attending(lambda q, k, v: (q, k, k))),
    ("keys, values and queries in place of queries, keys and values", _attending(_turned_once)),
    ("values, queries and keys in place of queries, keys and values", _attending(_turned_twice)),
)
ATTENTION: tuple[Mistake, ...] = (
    *((phrase, _attention(scores=wrong)) for phrase, wrong in single.SCORES[:-1]),
    *ROLES,
    *((phrase, _attention(softmax=wrong)) for phrase, wrong in single.SOFTMAX),
    ("the same weight for all tokens", lambda q, k, v: 0 * q + v.mean(1, keepdims=True)),
)

# embeddings


def _same(table: Any) -> Any:
    return table


def _tables(word: Any = _same, token_type: Any = _same, position: Any = _same) -> Any:
    """Return embeddings that look into changed tables."""

    def embeddings(i: Any, t: Any, p: Any, *args: Any, trace: Any = silent) -> Any:
        w, tt, pp, *norm = args
        return f.embeddings(i, t, p, word(w), token_type(tt), position(pp), *norm, trace=trace)

    return embeddings


def _counted(i: Any, t: Any, p: Any, *args: Any, trace: Any = silent) -> Any:
    return f.embeddings(i, t, 0 * p + np.arange(p.shape[-1]), *args, trace=trace)


def _first(table: Any) -> Any:
    return np.broadcast_to(table[0], table.shape)


EMBEDDINGS: tuple[Mistake, ...] = (
    ("no token types added", _tables(token_type=np.zeros_like)),
    ("token types that are all 0", _tables(token_type=_first)),
    ("token types 0 and 1 swapped", _tables(token_type=lambda tt: np.r_[tt[:2][::-1], tt[2:]])),
    ("positions from 1", _tables(position=lambda table: np.roll(table, -1, 0))),
    ("positions from 2", _tables(position=lambda table: np.roll(table, -2, 0))),
    ("the table of positions reversed", _tables(position=lambda table: table[::-1])),
    ("positions that are all 0", _tables(position=_first)),
    ("positions that are counted, whatever is given", _counted),
    ("no positions added", _tables(position=np.zeros_like)),
    ("no words added", _tables(word=np.zeros_like)),
    ("words alone", _tables(token_type=np.zeros_like, position=np.zeros_like)),
    ("word embeddings multiplied by sqrt(C)", _tables(lambda w: w * math.sqrt(w.shape[1]))),
)


def _embedding_norm(wrong: Callable[..., Any]) -> Callable[..., Any]:
    return lambda i, t, p, w, tt, pp, *norm: wrong(w[i] + tt[t] + pp[p], *norm)


def _one_by_one(i: Any, t: Any, p: Any, w: Any, tt: Any, pp: Any, *n: Any) -> Any:
    return f.layer_norm(w[i], *n) + f.layer_norm(tt[t], *n) + f.layer_norm(pp[p], *n)


NORMED: tuple[Mistake, ...] = (
    *((phrase, _embedding_norm(wrong)) for phrase, wrong in LAYER_NORM),
    ("the three vectors normalised one by one", _one_by_one),
)

# feed-forward and pooler


def _forward(x: Any, w: Any, b: Any, w2: Any, b2: Any, activation: str) -> Any:
    return f.ACTIVATIONS[activation](x @ w.T + b) @ w2.T + b2


def _always(activation: str) -> Callable[..., Any]:
    return lambda x, w, b, w2, b2, _: _forward(x, w, b, w2, b2, activation)


FEED_FORWARD: tuple[Mistake, ...] = (
    ("no activation", lambda x, w, b, w2, b2, _: (x @ w.T + b) @ w2.T + b2),
    ("the activation last", lambda x, w, b, w2, b2, a: f.gelu((x @ w.T + b) @ w2.T + b2)),
    ("gelu_new (tanh)", _always("gelu_new")),
    ("relu", _always("relu")),
    ("one activation, whatever its name", _always("gelu")),
    ("no first bias", lambda x, w, b, *a: _forward(x, w, 0, *a)),
    ("no second bias", lambda x, w, b, w2, b2, a: _forward(x, w, b, w2, 0, a)),
    ("no bias", lambda x, w, b, w2, b2, a: _forward(x, w, 0, w2, 0, a)),
    ("the first weight matrix transposed", lambda x, w, *a: _forward(x, w.T, *a)),
    ("the second weight matrix transposed", lambda x, w, b, w2, *a: _forward(x, w, b, w2.T, *a)),
    ("both weight matrices transposed", lambda x, w, b, w2, *a: _forward(x, w.T, b, w2.T, *a)),
    ("no second matrix", lambda x, w, b, *_: f.gelu(x @ w.T + b)),
    ("the two matrices exchanged", lambda x, w, b, w2, b2, a: _forward(x, w2, b, w, b2, a)),
)


def _pooling(activation: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda x, w, b: activation(f.linear(x, w, b))


POOLER: tuple[Mistake, ...] = (
    ("no tanh in the pooler", f.linear),
    ("a sigmoid in the pooler", _pooling(f.sigmoid)),
    ("relu in the pooler", _pooling(f.relu)),
    ("gelu in the pooler", _pooling(f.gelu)),
    ("no dense layer in the pooler", lambda x, w, b: x),
    ("tanh of the first token, no matrix", lambda x, w, b: np.tanh(x)),
    ("the bias added after the activation", lambda x, w, b: np.tanh(x @ w.T) + b),
    *((phrase, with_arrays(change, f.pooler)) for phrase, change in MATRICES),
)


#: Operation -> what goes wrong with it: a phrase and a function.
MISTAKES: dict[str, tuple[Mistake, ...]] = {
    "linear": single.LINEAR,
    "layer_norm": LAYER_NORM,
    "softmax": single.SOFTMAX,
    "split_heads": single.SPLIT,
    "merge_heads": single.MERGE,
    "attention_scores": single.SCORES,
    "attention_context": single.CONTEXT,
    "attention": ATTENTION,
    "gelu": GELU,
    "embeddings": (*EMBEDDINGS, *NORMED),
    "feed_forward": FEED_FORWARD,
    "pooler": POOLER,
    **GRADIENTS,
}


def mistakes_of(operation: str) -> tuple[Mistake, ...]:
    """Return the known mistakes of an operation, its own before those of all."""
    general = gradients.general if gradients.is_derivative(operation) else single.general
    return *MISTAKES.get(operation, ()), *general(operation)
