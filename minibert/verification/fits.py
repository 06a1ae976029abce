"""Weights that a recording shows to be others: a number, a row, a column, a factor, an order.

Where what a matrix or a norm was given is known, what it made of many tokens tells which of its
numbers differ. A fit yields a phrase with the numbers that it found, and the rows (N, C) of a stage
as they make it: it explains a fault only if that is what was recorded.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from minibert.layers import LayerNorm, Linear
from minibert.runtime.arrays import Array
from minibert.verification.isolate import Isolation
from minibert.verification.parts import is_layer, last_state, part_of, state_before
from minibert.verification.places import weights_at
from minibert.verification.trials import read_by

Fit = tuple[str, Array]
TOKENS = 4  # fewer show nothing: any numbers fit
FEW = 8  # one column in so many may be off where "some" are
NONE = 1e-5  # of the largest error is no error
NEAR = 1e-3  # of it is left between rows that are recovered and those that explain them


def fits(side: Isolation, stage: str) -> Iterator[Fit]:
    """Yield what other weights make of a stage, as whole arrays."""
    places = side.places(stage)
    if places.ndim != 3 or places[..., 0].sum() < TOKENS:
        return
    real = places[..., 0]
    if isinstance(weights_at(side.model, stage), Linear) and side.gap(stage):
        return
    for phrase, rows in _fits_of(side, stage, side.stages[stage][real]):
        made = np.zeros(places.shape)
        made[real] = rows
        yield phrase, made


def fits_of_rows(side: Isolation, stage: str, theirs: Array) -> Iterator[str]:
    """Yield the phrases of what makes a stage's rows (N, C) as they are said to be."""
    off = np.abs(theirs - side.computed(stage)[side.tokens(stage)]).max()
    for phrase, rows in _fits_of(side, stage, theirs):
        if np.abs(rows - theirs).max() <= NEAR * off:
            yield phrase


def _fits_of(side: Isolation, stage: str, rows: Array) -> Iterator[Fit]:
    own, theirs = side.computed(stage)[side.tokens(stage)], rows.astype(np.float64)
    part = weights_at(side.model, stage)
    if stage.endswith("embeddings.sum"):
        yield from _of_tables(side, stage, own, theirs)
    elif isinstance(part, LayerNorm):
        yield from _of_norm(own, theirs, part)
    elif isinstance(part, Linear):
        yield from _of_matrix(given_to(side, stage)[side.tokens(stage)], own, theirs, part)


def given_to(side: Isolation, stage: str) -> Array:
    """Return what a matrix was given."""
    part, (around, _, word) = part_of(stage), stage.rpartition(".")
    before = state_before(side.model, stage)
    if not is_layer(stage):
        return side.stage("predictions" if word == "decoder" else side.model.last_state or before)
    halves = dict.fromkeys(("query", "key", "value"), around)
    halves["intermediate"] = f"{part}.feed_forward"
    crossing = f"{part}.cross_attention"
    if around == crossing and word in ("key", "value"):
        return side.stage(last_state(side.model, "encoder."))
    norm = f"{halves.get(word)}.norm"
    names = {
        "output": f"{around}.context",
        "intermediate": crossing if crossing in side.axes else f"{part}.attention",
        **({"query": f"{part}.attention"} if around == crossing else {}),
        "feed_forward": f"{part}.feed_forward.activation",
    }
    return side.stage(norm if norm in side.axes else names.get(word, before))


def _listed(name: str, numbers: Any) -> str:
    """Write "row 5", "rows 5 and 7"."""
    *first, last = map(str, numbers)
    return f"{name}s {', '.join(first)} and {last}" if first else f"{name} {last}"


def _off(error: Array) -> Any:
    """Return the columns that are off, if these are a few; none if there are many."""
    sizes = np.abs(error).max(axis=0)
    columns = np.flatnonzero(sizes > NONE * sizes.max())
    return columns if len(columns) <= max(1, error.shape[1] // FEW) else columns[:0]


# a matrix


def _of_matrix(x: Array, own: Array, theirs: Array, linear: Linear) -> Iterator[Fit]:
    weight, bias = linear.weight.astype(np.float64), linear.bias.astype(np.float64)
    error = theirs - own
    yield from _of_bias(own, error, bias)
    yield from _of_column(x, own, error, weight)
    yield from _of_factor(own - bias, theirs - bias, bias, "the weight matrix")
    yield from _of_factor(own, theirs, 0 * bias, "the weight matrix and the bias")
    yield from _of_order(own, theirs, bias)
    yield from _of_rows(own, theirs)
    yield from _of_others(x, theirs)


def _of_bias(own: Array, error: Array, bias: Array, of: str = "") -> Iterator[Fit]:
    """Take each token to be off by the same numbers."""
    other = error.mean(axis=0)
    columns = _off(other[None])
    phrase = f"another bias{of}: all tokens are off by the same numbers"
    if len(columns):
        numbers = ", ".join(f"{bias[j] + other[j]:.4g} for {bias[j]:.4g}" for j in columns)
        phrase = f"another bias{of} at {_listed('number', columns)}: {numbers}"
    yield phrase, own + other


def _of_column(x: Array, own: Array, error: Array, weight: Array) -> Iterator[Fit]:
    """Take all of the error for that of one column of the matrix."""
    shares = x.T @ error / np.maximum(np.square(x).sum(axis=0), 1e-300)[:, None]  # (in, out)
    sizes = np.square(x).sum(axis=0) * np.square(shares).sum(axis=1)
    k = int(sizes.argmax())
    rows = _off(shares[k][None])
    phrase = f"column {k} of the weight matrix another one"
    if len(rows) == 1:
        (j,) = rows
        phrase = f"number [{j}, {k}] of the weight matrix {weight[j, k] + shares[k, j]:.4g}"
        phrase += f" in place of {weight[j, k]:.4g}"
    yield phrase, own + np.outer(x[:, k], shares[k])


def _of_rows(own: Array, theirs: Array) -> Iterator[Fit]:
    """Take what it is of a few columns, if all others are right."""
    columns = _off(theirs - own)
    if len(columns):
        made = own.copy()
        made[:, columns] = theirs[:, columns]
        yield f"{_listed('row', columns)} of the weight matrix another one", made


def _of_factor(own: Array, theirs: Array, rest: Array, what: str) -> Iterator[Fit]:
    factor = float(np.vdot(own, theirs)) / max(float(np.vdot(own, own)), 1e-300)
    yield f"{what} multiplied by {factor:.5g}", factor * own + rest


def _of_order(own: Array, theirs: Array, bias: Array) -> Iterator[Fit]:
    """Put our columns of the result in the order that comes nearest."""
    for moved, phrase in ((own, " and the bias"), (own - bias, "")):
        rest = theirs - (0 if phrase else bias)
        distance = np.square(rest).sum(0)[:, None] + np.square(moved).sum(0) - 2 * rest.T @ moved
        order = distance.argmin(axis=1)
        if len({*order.tolist()}) == len(order) and (order != np.arange(len(order))).any():
            moves = int((order != np.arange(len(order))).sum())
            made = moved[:, order] + (0 if phrase else bias)
            yield f"the rows of the weight matrix{phrase} in another order ({moves} moved)", made


def _of_others(x: Array, theirs: Array) -> Iterator[Fit]:
    """Take the best matrix of all, where there are more tokens than its columns."""
    ones = np.hstack([x, np.ones((len(x), 1))])
    if len(x) >= ones.shape[1] + TOKENS:
        made: Array = ones @ np.linalg.lstsq(ones, theirs, rcond=None)[0]
        yield "another weight matrix or bias: its results are linear, but not these weights'", made


# a norm


def _of_norm(own: Array, theirs: Array, norm: LayerNorm) -> Iterator[Fit]:
    """Scale and shift each column by numbers of its own."""
    weight, bias = norm.weight.astype(np.float64), norm.bias.astype(np.float64)
    x = (own - bias) / np.where(weight == 0, 1, weight)
    yield from _of_bias(own, theirs - own, bias, " of the norm")
    scale = (x * (theirs - bias)).sum(axis=0) / np.maximum(np.square(x).sum(axis=0), 1e-300)
    columns = _off((scale - weight)[None])
    at = f" at {_listed('number', columns)}" if len(columns) else ""
    yield f"another weight of the norm{at}", x * scale + bias
    middle = x.mean(axis=0)
    spread = np.maximum(np.square(x - middle).sum(axis=0), 1e-300)
    scale = ((x - middle) * theirs).sum(axis=0) / spread
    yield "another weight and bias of the norm", scale * (x - middle) + theirs.mean(axis=0)


# tables


def _of_tables(side: Isolation, stage: str, own: Array, theirs: Array) -> Iterator[Fit]:
    """Take all tokens with one row of a table to be off by the same numbers."""
    inputs, error = read_by(side.inputs, stage), theirs - own
    if inputs.words.ndim > 2:
        return
    tables = ("words", inputs.words), ("token types", inputs.types), ("positions", inputs.positions)
    for name, rows in tables:
        real = rows[side.tokens(stage)]
        ids, places, counts = np.unique(real, return_inverse=True, return_counts=True)
        sums = np.zeros((len(ids), error.shape[1]))
        np.add.at(sums, places, error)
        off = np.abs(sums / counts[:, None]).max(axis=1) > NONE * np.abs(error).max()
        if counts[off].max(initial=0) > 1:
            which = f": {_listed('row', ids[off])}" if off.sum() <= 5 else ""
            yield (
                f"other rows in the table of {name}{which}",
                own + (sums / counts[:, None])[places],
            )
