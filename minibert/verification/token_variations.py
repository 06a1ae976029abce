"""Variations of the embeddings and of attention: the operations that see which token is which.

They are listed in variations.py.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minibert import functions
from minibert.runtime.arrays import Array
from minibert.verification.graph import ENCODER, A, Place, Run, embedded, heads, merged
from minibert.verification.packing import Packed

# the embeddings


def _positions(change: Callable[[Any, Any], Any]) -> Run:
    """Let ``change`` make the positions from the columns and the lengths of their sequences."""

    def run(at: Place) -> Array:
        table = at.graph.model.encoder.embeddings.position
        lengths = np.concatenate([np.full(len(s.columns), len(s.columns)) for s in sequences(at)])
        found = change(at.batch.position_ids, lengths)
        return embedded(at, positions=np.clip(found, 0, len(table) - 1))

    return run


def sequences(at: Place) -> Any:
    """Return the sequences of the batch."""
    return at.batch.sequences


def _counted(at: Place) -> Array:
    counts = [np.arange(len(s.columns)) for s in sequences(at)]
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
            for s in sequences(at)
            for k in [key[s.rows]]
        ]

    return run


def _split_context(how: str) -> Run:
    def run(at: Place, probabilities: Packed, value: Array) -> Array:
        count = at.layer.attention.num_heads
        pairs = zip(probabilities, sequences(at), strict=True)
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
    pairs = zip(probabilities, sequences(at), strict=True)
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
