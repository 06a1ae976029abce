"""The known ways in which implementations of BERT differ, operation by operation.

For each stage: what this model does, and what others do in its place, as a phrase and as an
operation that takes what the stage's own takes (see graph.py). verification/cause.py tries them.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from minibert import functions
from minibert.checkpoint.source import open_weights
from minibert.runtime.arrays import Array
from minibert.verification.graph import A, F, Place, Run
from minibert.verification.token_variations import CONTEXT, PROBABILITIES, SCORES, SUM, sequences

Variation = tuple[str, Run]
UNTIED = "cls.predictions.decoder.weight"
Get = Callable[[Place], Any]  # finds a matrix or a norm


def normed(x: Array, norm: Any, *, eps: float | None = None, ddof: int = 0, **odd: Any) -> Array:
    """Normalise with another eps or divisor, or oddly: eps ``outside``, the mean left in."""
    eps = norm.eps if eps is None else eps
    centered = x - x.mean(axis=-1, keepdims=True)
    count = x.shape[-1]
    variance = (centered**2).sum(axis=-1, keepdims=True) / max(1, count - ddof)
    if odd.get("mean_square"):
        variance = (x**2).mean(axis=-1, keepdims=True)
    size = np.sqrt(variance) + eps if odd.get("outside") else np.sqrt(variance + eps)
    kept = x if odd.get("mean_left") or odd.get("mean_square") else centered
    result: Array = kept / size * norm.weight + norm.bias
    return result


def norm_variations(get: Get) -> tuple[Variation, ...]:
    """Return what is done in place of a norm; a second input is the residual."""

    def put(**changes: Any) -> Run:
        return lambda at, *x: normed(sum(x[1:], x[0]), get(at), **changes)

    def plain(at: Place, *x: Array) -> Array:
        return get(at)(sum(x[1:], x[0]))  # type: ignore[no-any-return]

    return (
        *((f"eps {eps:g}", put(eps=eps)) for eps in (1e-12, 1e-8, 1e-7, 1e-6, 1e-5, 1e-3)),
        *((f"eps {e:g} outside of the root", put(eps=e, outside=True)) for e in (1e-6, 1e-5, 1e-3)),
        ("the variance divided by n - 1", put(ddof=1)),
        (
            "the variance divided by n - 1 and eps 1e-06 outside of the root",
            put(ddof=1, eps=1e-6, outside=True),
        ),
        ("the mean not taken off", put(mean_left=True)),
        ("the root mean square in place of the variance", put(mean_square=True)),
        ("no norm", lambda at, *x: sum(x[1:], x[0])),
        ("the norm applied twice", lambda at, *x: get(at)(plain(at, *x))),
        ("no weight of the norm", lambda at, *x: _affine(plain(at, *x), get(at), weight=False)),
        ("no bias of the norm", lambda at, *x: plain(at, *x) - get(at).bias),
        ("the bias of the norm added twice", lambda at, *x: plain(at, *x) + get(at).bias),
        (
            "the weight and the bias of the norm swapped",
            lambda at, *x: _exchanged(get(at))(sum(x[1:], x[0])),
        ),
    )


def _exchanged(norm: Any) -> Any:
    return replace(norm, weight=norm.bias, bias=norm.weight)


def _affine(y: Array, norm: Any, weight: bool) -> Array:
    """Undo the scale of a norm's output."""
    safe = np.where(norm.weight == 0, 1, norm.weight)
    return y if weight else (y - norm.bias) / safe + norm.bias


def residual_variations(get: Get) -> tuple[Variation, ...]:
    """Return what is done in place of ``norm(x + residual)``."""
    return (
        ("the residual missing", lambda at, x, y: get(at)(x)),
        ("the residual doubled", lambda at, x, y: get(at)(x + 2 * y)),
        ("the norm before the residual is added", lambda at, x, y: get(at)(x) + y),
        ("nothing but the residual", lambda at, x, y: y),
        *norm_variations(get),
    )


def matrix_variations(get: Get) -> tuple[Variation, ...]:
    """Return what is done in place of ``x @ weight.T + bias``."""

    def turned(at: Place, x: Array) -> Array:
        weight = get(at).weight
        other = np.ascontiguousarray(weight.reshape(weight.shape[::-1]).T)
        return functions.linear(x, other, get(at).bias)

    return (
        ("the weight matrix transposed", turned),
        ("no bias", lambda at, x: get(at)(x) - get(at).bias),
        ("the bias added twice", lambda at, x: get(at)(x) + get(at).bias),
    )


# the activation

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu (erf)": lambda x: functions.gelu(x),
    "gelu_new (tanh)": lambda x: functions.gelu_new(x),
    "gelu_fast (tanh, constants cut short)": lambda x: functions.gelu_fast(x),
    "quick_gelu (sigmoid)": lambda x: functions.quick_gelu(x),
    "relu": lambda x: functions.relu(x),
    "silu": lambda x: functions.silu(x),
    "tanh": lambda x: functions.tanh(x),
    "no activation": lambda x: x,
    "gelu without the 1/sqrt(2) within erf": lambda x: 0.5 * x * (1 + functions.erf(x)),
}
ACTIVATION: tuple[Variation, ...] = tuple(
    (phrase, lambda at, x, f=f: f(x)) for phrase, f in ACTIVATIONS.items()
)

# the pooler and the head


def _pool(choose: Callable[[Place, Array], Array]) -> Run:
    def run(at: Place, x: Array) -> Array:
        dense = at.part("pooler").dense
        return functions.pooler(choose(at, x), dense.weight, dense.bias)

    return run


def _pool_linear(change: Callable[[Any, Array], Array]) -> Run:
    def run(at: Place, x: Array) -> Array:
        dense = at.part("pooler").dense
        return functions.tanh(change(dense, x[at.batch.first_rows()]))

    return run


def _earlier_layer(at: Place, x: Array) -> Array:
    count = len(at.graph.model.encoder.layers)
    name = f"layer.{count - 2}" if count > 1 else "embeddings"
    earlier: Array = at.input(name)[at.batch.first_rows()]
    return earlier


POOLER = (
    (
        "the last token pooled",
        _pool(lambda at, x: x[[s.rows.stop - 1 for s in sequences(at)]]),
    ),
    (
        "the mean of the tokens pooled",
        _pool(lambda at, x: np.stack([x[s.rows].mean(axis=0) for s in sequences(at)])),
    ),
    (
        "the largest of the tokens' numbers pooled",
        _pool(lambda at, x: np.stack([x[s.rows].max(axis=0) for s in sequences(at)])),
    ),
    ("the layer before the last pooled", _pool(_earlier_layer)),
    (
        "no tanh in the pooler",
        lambda at, x: at.part("pooler").dense(x[at.batch.first_rows()]),
    ),
    ("no dense layer in the pooler", lambda at, x: x[at.batch.first_rows()]),
    (
        "the weight matrix transposed",
        _pool_linear(lambda dense, x: functions.linear(x, dense.weight.T.copy(), dense.bias)),
    ),
    ("no bias", _pool_linear(lambda dense, x: dense(x) - dense.bias)),
    ("the bias added twice", _pool_linear(lambda dense, x: dense(x) + dense.bias)),
)


def _tied(at: Place, x: Array) -> Array:
    bias = at.part("predictions.decoder").bias
    return functions.linear(x, at.part("embeddings.word"), bias)


def _untied(at: Place, x: Array) -> Array:
    """Use the matrix that the checkpoint holds, where the model uses the word embeddings."""
    decoder, report = at.part("predictions.decoder"), at.graph.model.loading_report
    unused = [name for name in report.unused if name.endswith(UNTIED)] if report else []
    if report is None or not unused:
        return decoder(x)  # type: ignore[no-any-return]
    matrix = open_weights(report.files[0].parent).tensors[unused[0]].read(np.dtype(at.dtype).name)
    return functions.linear(x, matrix, decoder.bias)


def _siblings(name: str) -> tuple[Variation, ...]:
    """Return the matrices of a layer's query, key and value, one in place of another."""
    others = [other for other in ("query", "key", "value") if other != name]
    return tuple(
        (
            f"the weights of the {other}",
            lambda at, x, other=other: getattr(at.layer.attention, other)(x),
        )
        for other in others
    )


def _norm_first(get: Get, get_norm: Get) -> tuple[Variation, ...]:
    return (
        (
            "the norm before the operation instead of after the residual (pre-norm)",
            lambda at, x: get(at)(get_norm(at)(x)),
        ),
    )


def _attention_matrix(name: str) -> tuple[Variation, ...]:
    def get(at: Place) -> Any:
        return getattr(at.layer.attention, name)

    first = _norm_first(get, lambda at: at.layer.attention.norm)
    return (*matrix_variations(get), *_siblings(name), *first)


def _intermediate(at: Place) -> Any:
    return at.layer.feed_forward.intermediate


#: What this model does at a stage, and what others do. ``{i}`` counts the layers.
VARIATIONS: dict[str, tuple[str, tuple[Variation, ...]]] = {
    "embeddings.sum": ("words + token types + positions from 0", SUM),
    "embeddings": ("{norm}", norm_variations(lambda at: at.part("embeddings.norm"))),
    f"{A}.query": ("x @ weight.T + bias", _attention_matrix("query")),
    f"{A}.key": ("x @ weight.T + bias", _attention_matrix("key")),
    f"{A}.value": ("x @ weight.T + bias", _attention_matrix("value")),
    f"{A}.scores": ("query @ key.T / sqrt(D), heads split as (B, T, H, D)", SCORES),
    f"{A}.probabilities": ("softmax over the real keys", PROBABILITIES),
    f"{A}.context": ("probabilities @ value, heads as (B, T, H, D)", CONTEXT),
    f"{A}.output": (
        "x @ weight.T + bias",
        matrix_variations(lambda at: at.layer.attention.output),
    ),
    A: (
        "the residual added, then {norm}",
        residual_variations(lambda at: at.layer.attention.norm),
    ),
    f"{F}.intermediate": (
        "x @ weight.T + bias",
        (
            *matrix_variations(_intermediate),
            *_norm_first(_intermediate, lambda at: at.layer.norm),
            *_norm_first(_intermediate, lambda at: at.layer.attention.norm),
        ),
    ),
    f"{F}.activation": ("{activation}", ACTIVATION),
    F: ("x @ weight.T + bias", matrix_variations(lambda at: at.layer.feed_forward.output)),
    "layer.{i}": (
        "the residual added, then {norm}",
        (
            *residual_variations(lambda at: at.layer.norm),
            (
                "the residual taken from the layer's input",
                lambda at, x, y: at.layer.norm(x + at.input(before(at.index))),
            ),
            (
                "the norm of the attention in place of the layer's own",
                lambda at, x, y: at.layer.attention.norm(x + y),
            ),
        ),
    ),
    "pooler": ("tanh(x @ weight.T + bias) of the first real token", POOLER),
    "predictions.intermediate": (
        "x @ weight.T + bias",
        matrix_variations(lambda at: at.part("predictions.dense")),
    ),
    "predictions.activation": ("{activation}", ACTIVATION),
    "predictions": ("{norm}", norm_variations(lambda at: at.part("predictions.norm"))),
}
DECODER = (
    *matrix_variations(lambda at: at.part("predictions.decoder")),
    ("the decoder tied to the word embeddings", _tied),
    ("the checkpoint's own decoder matrix, not tied to the word embeddings", _untied),
)


def before(index: int) -> str:
    """Return the stage that goes into a layer."""
    return f"layer.{index - 1}" if index else "embeddings"
