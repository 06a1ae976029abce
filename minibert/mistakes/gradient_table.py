"""What goes wrong in derivatives that put others together, and the table of all derivatives."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minibert import derivatives as d
from minibert import functions as f
from minibert.mistakes import gradients as single
from minibert.mistakes import slopes
from minibert.mistakes.functions import Mistake

# attention


def _keep(x: Any, allowed: Any) -> Any:
    return x


def _without(x: Any, allowed: Any, value: float = -1e30) -> Any:
    return x if allowed is None else np.where(allowed, x, np.asarray(value, x.dtype))


def _zeroed(x: Any, allowed: Any) -> Any:
    return _without(x, allowed, 0)


def _attention(
    softmax: Any = d.softmax_backward,
    scores: Any = d.attention_scores_backward,
    context: Any = d.attention_context_backward,
    *,
    before: Callable[[Any, Any], Any] = _without,
    after: Callable[[Any, Any], Any] = _keep,
) -> Callable[..., Any]:
    """Return the derivative of attention with another step; the mask before or after softmax."""

    def wrong(grad: Any, q: Any, k: Any, v: Any, *, allowed: Any = None) -> Any:
        p = after(f.softmax(before(f.attention_scores(q, k), allowed)), allowed)
        grad, to_value = context(grad, p, v)
        return *scores(softmax(grad, p), q, k), to_value

    return wrong


def _turned(order: tuple[int, int, int]) -> Callable[..., Any]:
    """Return the derivative of attention with its gradients in another order."""

    def wrong(*args: Any, allowed: Any = None) -> Any:
        found = d.attention_backward(*args, allowed=allowed)
        return tuple(found[i] for i in order)

    return wrong


def _constant(grad: Any, p: Any) -> Any:
    return 0 * grad


def _passed(grad: Any, p: Any) -> Any:
    return grad


def _other_values(grad: Any, q: Any, k: Any, v: Any, *, allowed: Any = None) -> Any:
    return d.attention_backward(grad, q, k, k, allowed=allowed)


ATTENTION: tuple[Mistake, ...] = (
    ("no mask on the way back", _attention(before=_keep)),
    ("the mask after the softmax, not before it", _attention(before=_keep, after=_zeroed)),
    ("scores that do not count taken for 0", _attention(before=_zeroed)),
    ("the mask turned around", _attention(before=lambda x, a: x if a is None else _without(x, ~a))),
    *((phrase, _attention(wrong)) for phrase, wrong in slopes.SOFTMAX),
    ("the probabilities taken for constants", _attention(_constant)),
    ("no derivative of the softmax", _attention(_passed)),
    *((phrase, _attention(scores=wrong)) for phrase, wrong in single.SCORES),
    *((phrase, _attention(context=wrong)) for phrase, wrong in single.CONTEXT),
    ("keys and values exchanged", _turned((0, 2, 1))),
    ("queries and values exchanged", _turned((2, 1, 0))),
    ("keys, values and queries in place of queries, keys and values", _turned((1, 2, 0))),
    ("values, queries and keys in place of queries, keys and values", _turned((2, 0, 1))),
    ("the keys in place of the values", _other_values),
)

# embeddings


def _embeddings(norm: Any = d.layer_norm_backward, lookup: Any = d.lookup_backward) -> Any:
    """Return the derivative of embeddings with another norm or another way into the tables."""

    def wrong(grad: Any, *args: Any) -> Any:
        *ids, total, weight, eps, words, types, positions = args
        grad, scale, shift = norm(grad, total, weight, eps)
        counts = words, types, positions
        tables = (lookup(grad, x, count) for x, count in zip(ids, counts, strict=True))
        return *tables, scale, shift

    return wrong


def _words_alone(*args: Any) -> Any:
    found = d.embeddings_backward(*args)
    return found[0], *map(np.zeros_like, found[1:3]), *found[3:]


def _counted_positions(grad: Any, ids: Any, types: Any, positions: Any, *rest: Any) -> Any:
    return d.embeddings_backward(grad, ids, types, np.arange(len(positions)), *rest)


EMBEDDINGS: tuple[Mistake, ...] = (
    *((phrase, _embeddings(lookup=wrong)) for phrase, wrong in single.LOOKUP),
    ("words alone", _words_alone),
    ("positions that are counted, whatever is given", _counted_positions),
    *((phrase, _embeddings(wrong)) for phrase, wrong in slopes.LAYER_NORM),
)

# feed-forward and pooler


def _forward(
    first: Any = d.linear_backward,
    second: Any = d.linear_backward,
    slope: Callable[[Any, Any, Any, str], Any] = (
        lambda grad, wide, active, name: d.ACTIVATION_DERIVATIVES[name](grad, wide)
    ),
) -> Callable[..., Any]:
    """Return the derivative of the feed-forward with another step."""

    def wrong(grad: Any, x: Any, wide: Any, active: Any, w: Any, w2: Any, activation: str) -> Any:
        grad, *narrow = second(grad, active, w2)
        return *first(slope(grad, wide, active, activation), x, w), *narrow

    return wrong


def _always(name: str) -> Callable[..., Any]:
    return _forward(slope=lambda g, wide, *_: d.ACTIVATION_DERIVATIVES[name](g, wide))


def _inactive(g: Any, x: Any, wide: Any, active: Any, *rest: Any) -> Any:
    found = d.feed_forward_backward(g, x, wide, active, *rest)
    return *found[:3], g.T @ wide, found[4]


def _late(g: Any, x: Any, wide: Any, active: Any, w: Any, w2: Any, name: str) -> Any:
    """Take the first bias before the derivative of the activation."""
    found = d.feed_forward_backward(g, x, wide, active, w, w2, name)
    return *found[:2], (g @ w2).sum(0), *found[3:]


def _matrices_exchanged(g: Any, x: Any, wide: Any, active: Any, w: Any, w2: Any, name: str) -> Any:
    return d.feed_forward_backward(g, x, wide, active, w2, w, name)


def _results_exchanged(*args: Any) -> Any:
    x, w, b, w2, b2 = d.feed_forward_backward(*args)
    return x, w2, b2, w, b


FEED_FORWARD: tuple[Mistake, ...] = (
    ("no derivative of the activation", _forward(slope=lambda g, *_: g)),
    (
        "the derivative at the activation's result",
        _forward(slope=lambda g, wide, active, name: d.ACTIVATION_DERIVATIVES[name](g, active)),
    ),
    (
        "the activation itself in place of its derivative",
        _forward(slope=lambda g, wide, active, name: g * active),
    ),
    ("the derivative of gelu_new (tanh)", _always("gelu_new")),
    ("the derivative of relu", _always("relu")),
    ("one activation, whatever its name", _always("gelu")),
    ("the second matrix from what there was before the activation", _inactive),
    ("the first bias before the derivative of the activation", _late),
    ("the two matrices exchanged", _matrices_exchanged),
    ("the gradients of the two matrices exchanged", _results_exchanged),
    *((f"{phrase}, in the first", _forward(first=wrong)) for phrase, wrong in single.LINEAR),
    *((f"{phrase}, in the second", _forward(second=wrong)) for phrase, wrong in single.LINEAR),
    *((f"{phrase}, in both", _forward(wrong, wrong)) for phrase, wrong in single.LINEAR),
)


def _pooling(slope: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda g, first, w, pooled: d.linear_backward(g * slope(pooled), first, w)


def _pooler(linear: Any) -> Callable[..., Any]:
    return lambda g, first, w, pooled: linear(g * (1 - pooled * pooled), first, w)


def _after(g: Any, first: Any, w: Any, pooled: Any) -> Any:
    x, weight, bias = d.linear_backward(g, first, w)
    return x * (1 - pooled * pooled), weight, bias


POOLER: tuple[Mistake, ...] = (
    ("no derivative of tanh", lambda g, first, w, pooled: d.linear_backward(g, first, w)),
    ("tanh applied to its own result", _pooling(lambda y: 1 - np.tanh(y) ** 2)),
    (
        "the derivative of tanh at the first token",
        lambda g, first, w, pooled: d.linear_backward(d.tanh_backward(g, first), first, w),
    ),
    ("no square", _pooling(lambda y: 1 - y)),
    ("the derivative of a sigmoid", _pooling(lambda y: y * (1 - y))),
    ("the derivative of tanh after the matrix, not before it", _after),
    *((phrase, _pooler(wrong)) for phrase, wrong in single.LINEAR),
)


#: Derivative -> what goes wrong with it: a phrase and a function.
GRADIENTS: dict[str, tuple[Mistake, ...]] = {
    "linear_backward": single.LINEAR,
    "layer_norm_backward": slopes.LAYER_NORM,
    "softmax_backward": slopes.SOFTMAX,
    "split_heads_backward": single.SPLIT,
    "merge_heads_backward": single.MERGE,
    "attention_scores_backward": single.SCORES,
    "attention_context_backward": single.CONTEXT,
    "attention_backward": ATTENTION,
    "gelu_backward": slopes.GELU,
    "gelu_new_backward": slopes.GELU_NEW,
    "tanh_backward": slopes.TANH,
    "sigmoid_backward": slopes.SIGMOID,
    "relu_backward": slopes.RELU,
    "lookup_backward": single.LOOKUP,
    "embeddings_backward": EMBEDDINGS,
    "feed_forward_backward": FEED_FORWARD,
    "pooler_backward": POOLER,
    "cross_entropy_backward": single.CROSS_ENTROPY,
}
