"""The known ways in which implementations of BERT differ, operation by operation.

For each stage: what this model does, and what others do in its place, as a phrase and as an
operation that takes what the stage's own takes (see graph.py). verification/cause.py tries them.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minibert import functions
from minibert.checkpoint.source import open_weights
from minibert.functions import Array
from minibert.verification.graph import ENCODER, A, F, Place, Run, embedded, heads, merged
from minibert.verification.packing import Packed

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
            lambda at, *x: functions.layer_norm(
                sum(x[1:], x[0]), get(at).bias, get(at).weight, get(at).eps
            ),
        ),
    )


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


# the embeddings


def _positions(change: Callable[[Any, Any], Any]) -> Run:
    """Let ``change`` make the positions from the columns and the lengths of their sequences."""

    def run(at: Place) -> Array:
        table = at.graph.model.encoder.embeddings.position
        lengths = np.concatenate([np.full(len(s.columns), len(s.columns)) for s in _seqs(at)])
        found = change(at.batch.position_ids, lengths)
        return embedded(at, positions=np.clip(found, 0, len(table) - 1))

    return run


def _seqs(at: Place) -> Any:
    return at.batch.sequences


def _counted(at: Place) -> Array:
    counts = [np.arange(len(s.columns)) for s in _seqs(at)]
    return embedded(at, positions=np.concatenate(counts))


def _other_table(at: Place, change: Callable[[Array], Array], name: str, ids: Any) -> Array:
    table = getattr(at.graph.model.encoder.embeddings, name).astype(at.dtype)
    total: Array = embedded(at) - table[ids] + change(table)[ids]
    return total


def _types_swapped(at: Place) -> Array:
    types = at.batch.token_type_ids
    count = len(at.graph.model.encoder.embeddings.token_type)
    return embedded(at, types=np.where(types < 2, (1 - types) % max(1, count), types))


SUM = (
    (
        "no token types added",
        lambda at: _other_table(at, np.zeros_like, "token_type", at.batch.token_type_ids),
    ),
    ("token types that are all 0", lambda at: embedded(at, types=0 * at.batch.token_type_ids)),
    ("token types 0 and 1 swapped", _types_swapped),
    ("positions from 1", _positions(lambda p, n: p + 1)),
    ("positions from 1", lambda at: _rolled(at, -1)),
    ("positions from 2", _positions(lambda p, n: p + 2)),
    ("positions from 2", lambda at: _rolled(at, -2)),
    ("positions reversed", lambda at: embedded(at, positions=_last(at) - at.batch.position_ids)),
    ("positions reversed", _positions(lambda p, n: n - 1 - p)),
    (
        "the table of positions reversed",
        lambda at: _other_table(at, lambda t: t[::-1], "position", at.batch.position_ids),
    ),
    ("positions that are all 0", _positions(lambda p, n: 0 * p)),
    (
        "no positions added",
        lambda at: _other_table(at, np.zeros_like, "position", at.batch.position_ids),
    ),
    ("positions counted over the real tokens only", _counted),
    (
        "word embeddings multiplied by sqrt(C)",
        lambda at: embedded(at, scale=math.sqrt(at.graph.model.config.hidden_size)),
    ),
)


def _rolled(at: Place, by: int) -> Array:
    def roll(table: Array) -> Array:
        return np.roll(table, by, axis=0)

    return _other_table(at, roll, "position", at.batch.position_ids)


def _last(at: Place) -> int:
    return at.batch.shape[1] - 1


# attention


def _rescaled(factor: Callable[[Place, int], float]) -> Run:
    def run(at: Place, query: Array, key: Array) -> Packed:
        size = query.shape[-1] // at.layer.attention.num_heads
        found = ENCODER[f"{A}.scores"][1](at, query, key)
        return [x * (math.sqrt(size) * factor(at, size)) for x in found]

    return run


def _split(x: Array, count: int, how: str) -> Array:
    length, size = x.shape
    if how == "BTDH":
        return x.reshape(length, size // count, count).transpose(2, 0, 1)
    return x.reshape(count, length, size // count)


def _split_scores(how: str) -> Run:
    def run(at: Place, query: Array, key: Array) -> Packed:
        count = at.layer.attention.num_heads
        return [
            functions.attention_scores(_split(query[s.rows], count, how), _split(k, count, how))
            for s in _seqs(at)
            for k in [key[s.rows]]
        ]

    return run


def _split_context(how: str) -> Run:
    def run(at: Place, probabilities: Packed, value: Array) -> Array:
        count = at.layer.attention.num_heads
        pairs = zip(probabilities, _seqs(at), strict=True)
        return merged([p @ _split(value[s.rows], count, how) for p, s in pairs])

    return run


def _merged_oddly(how: str) -> Run:
    """Put the heads side by side the wrong way: as (H, T, D) or as (T, D, H)."""

    def run(at: Place, probabilities: Packed, value: Array) -> Array:
        rows = []
        for p, v in zip(probabilities, heads(at, value), strict=True):
            found = p @ v
            found = found.transpose(1, 2, 0) if how == "BTDH" else found
            rows.append(found.reshape(found.shape[0] if how == "BTDH" else v.shape[1], -1))
        return np.concatenate(rows)

    return run


def _both_oddly(at: Place, probabilities: Packed, value: Array) -> Array:
    """Split and put together as (B, T, D, H): each is the inverse of the other."""
    count = at.layer.attention.num_heads
    pairs = zip(probabilities, _seqs(at), strict=True)
    found = [p @ _split(value[s.rows], count, "BTDH") for p, s in pairs]
    return np.concatenate([x.transpose(1, 2, 0).reshape(x.shape[1], -1) for x in found])


def _softmax_of(change: Callable[[Array], Array]) -> Run:
    return lambda at, found: [functions.softmax(change(x)) for x in found]


def _causal(x: Array) -> Array:
    later = np.triu(np.ones(x.shape[-2:], bool), 1)
    return np.where(later, np.asarray(np.finfo(np.float32).min, x.dtype), x)


def _over_queries(at: Place, found: Packed) -> Packed:
    return [functions.softmax(x.swapaxes(1, 2)).swapaxes(1, 2) for x in found]


SCORES = (
    ("scores that are not divided", _rescaled(lambda at, d: 1)),
    ("scores divided by D", _rescaled(lambda at, d: 1 / d)),
    (
        "scores divided by the root of the hidden size",
        _rescaled(lambda at, d: 1 / math.sqrt(d * at.layer.attention.num_heads)),
    ),
    (
        "scores divided by the root of the number of heads",
        _rescaled(lambda at, d: 1 / math.sqrt(at.layer.attention.num_heads)),
    ),
    ("scores multiplied by sqrt(D)", _rescaled(lambda at, d: math.sqrt(d))),
    ("heads split as (B, T, D, H)", _split_scores("BTDH")),
    ("heads split as (B, H, T, D) without transposing", _split_scores("BHTD")),
    ("queries and keys swapped", lambda at, q, k: ENCODER[f"{A}.scores"][1](at, k, q)),
    (
        "the values in place of the keys",
        lambda at, q, k: ENCODER[f"{A}.scores"][1](at, q, at.sibling("attention.value")),
    ),
)
PROBABILITIES = (
    ("softmax over the queries", _over_queries),
    ("a causal mask: no token looks at later ones", _softmax_of(_causal)),
    ("no softmax", lambda at, found: found),
)
CONTEXT = (
    ("values split as (B, T, D, H)", _split_context("BTDH")),
    ("values split as (B, H, T, D) without transposing", _split_context("BHTD")),
    ("heads put together as (B, H, T, D) without transposing", _merged_oddly("BHTD")),
    ("heads put together as (B, T, D, H)", _merged_oddly("BTDH")),
    ("heads split and put together as (B, T, D, H)", _both_oddly),
    (
        "the keys in place of the values",
        lambda at, p, v: ENCODER[f"{A}.context"][1](at, p, at.sibling("attention.key")),
    ),
    (
        "the probabilities transposed",
        lambda at, p, v: ENCODER[f"{A}.context"][1](at, [x.swapaxes(1, 2) for x in p], v),
    ),
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
        _pool(lambda at, x: x[[s.rows.stop - 1 for s in _seqs(at)]]),
    ),
    (
        "the mean of the tokens pooled",
        _pool(lambda at, x: np.stack([x[s.rows].mean(axis=0) for s in _seqs(at)])),
    ),
    (
        "the largest of the tokens' numbers pooled",
        _pool(lambda at, x: np.stack([x[s.rows].max(axis=0) for s in _seqs(at)])),
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
