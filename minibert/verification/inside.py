"""A stage that is not recorded, recovered from what comes after it.

If one column of what a matrix makes is off, or one column of the matrix is another one, few numbers
are not known: those with which the layer leads to what is recorded are found by Gauss and Newton's
method. The derivative by each number is taken of a copy of a sequence in which it is changed.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from minibert.runtime.arrays import Array
from minibert.trace import Replacing
from minibert.verification.cast import cast
from minibert.verification.fits import fits_of_rows, given_to
from minibert.verification.isolate import Isolation
from minibert.verification.parts import kind_of, part_in, part_of, spans, state_before

MOST_WORK = 4e9  # multiplications for one stage: a second or two
CHUNK = 512  # copies at a time
STEPS, STEP = 20, 1e-4
DAMPING = (0, 1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 0.1, 1)
SMALL = 1e-3  # of the error, or less, is left where it is explained
LIKELIEST = 3  # columns of a matrix that are tried
MATRICES = ("query", "key", "value", "output", "intermediate", "feed_forward")


class Inside:
    """One sequence of a recording, run from a stage inside a gap on."""

    def __init__(self, side: Isolation, index: int, source: str, target: str) -> None:
        self.side, self.index, self.source, self.target = side, index, source, target
        self.tokens = side.real[index]
        self.own = side.computed(source, only=[index])[index].astype(np.float64)
        self.theirs = side.stages[target][index][self.tokens].astype(np.float64)

    def run(self, stages: Array) -> Array:
        """Return the target (copies, N, C) for each of some sources (copies, T, C)."""
        pieces = np.split(stages, range(CHUNK, len(stages), CHUNK))
        return np.concatenate([self._run(piece) for piece in pieces])

    def _run(self, stages: Array) -> Array:
        side, count = self.side, len(stages)
        before = state_before(side.model, self.target)
        known = {
            before: np.repeat(side.known[before][[self.index]], count, axis=0),
            self.source: stages,
        }
        one = side.batch.only([self.index])
        names = "token_type_ids", "position_ids", "token_ids", "token_embeddings"
        rows = {x: getattr(one, x) for x in names if getattr(one, x) is not None}
        copies: Any = {x: np.concatenate([array] * count) for x, array in rows.items()}
        mask = np.repeat(one.mask[[self.index]], count, axis=0)
        batch = replace(one, mask=mask, allowed=None, **copies)
        runs = spans(side.model, self.target, known)
        model, batch = cast(side.model.base_model, batch, np.float64, runs, cache=side.layers)
        trace = Replacing(batch, known, only={self.target})
        model.forward(batch, trace)
        return trace[self.target][:, self.tokens]

    def slopes(self, at: Array, basis: Array) -> Array:
        """Return how the target changes along each of some changes of the source: (n, N * C)."""
        changed = self.run(at + STEP * basis) - self.run(at[None])
        slopes: Array = changed.reshape(len(basis), -1) / STEP
        return slopes

    def solved(self, basis: Array) -> Array | None:
        """Return the source with the multiples of some changes that lead to the recorded target."""
        at = self.own
        error = self._error(at[None])[0]
        first = before = float(np.linalg.norm(error))
        for step in range(STEPS):
            steps = _damped(self.slopes(at, basis), error)
            tried = at + np.tensordot(steps, basis, 1)
            errors = self._error(tried)
            sizes = np.nan_to_num(np.linalg.norm(errors, axis=1), nan=np.inf)
            best = int(sizes.argmin())
            if step == 4 and sizes[best] > first / 2:
                return None
            if not sizes[best] < before / 2:
                break
            at, error, before = tried[best], errors[best], float(sizes[best])
        return at if before < SMALL * first else None

    def _error(self, stages: Array) -> Array:
        errors: Array = (self.theirs - self.run(stages)).reshape(len(stages), -1)
        return errors


def _damped(slopes: Array, error: Array) -> Array:
    """Return the steps that Levenberg and Marquardt would try, the boldest first."""
    u, s, vt = np.linalg.svd(slopes.T, full_matrices=False)
    s = np.maximum(s, 1e-300)
    factors = [np.where(s > 1e-12 * s[0], s / (s**2 + d * s[0] ** 2), 0) for d in DAMPING]
    steps: Array = (np.array(factors) * (u.T @ error)) @ vt
    return steps


def recovered(side: Isolation, stage: str) -> Iterator[tuple[str, str, Array]]:
    """Yield places inside a layer, phrases, and what other weights there make of its stage."""
    gap, real = side.gap(stage), side.real
    inner = [x for x in side.axes if part_of(x) == part_of(stage) and x != stage]
    if kind_of(stage) != "layer.{i}" or gap != inner:
        return
    if side.inputs.allowed is not None or side.inputs.source is not None:
        return
    order = sorted((int(side.real[s.index].sum()), s.index) for s in side.batch.sequences)
    fitting = [index for length, index in order if length >= 4]
    for source in gap:
        if not fitting or source.rpartition(".")[2] not in (*MATRICES, "attention"):
            continue
        first = Inside(side, fitting[0], source, stage)
        for make in _likely(side, first):
            if (theirs := _everywhere(side, first, make)) is None:
                continue
            made = side.computed(stage, besides={source: theirs})
            words = f"column {make.args[-1]} of the weight matrix another one"
            if make.func is _column:
                words = (
                    f"row {make.args[-1]} of the weight matrix or number of the bias another one"
                )
            yield source, next(fits_of_rows(side, source, theirs[real]), words), made


def _everywhere(side: Isolation, first: Inside, make: Any) -> Array | None:
    """Return the source as it is recovered in each sequence; None if it is not in one."""
    whole = np.zeros((*side.real.shape, first.own.shape[-1]))
    for s in side.batch.sequences:
        one = first if s.index == first.index else Inside(side, s.index, first.source, first.target)
        found = one.solved(make(one))
        if found is None:
            return None
        whole[s.index] = found
    return whole


def _likely(side: Isolation, one: Inside) -> Iterator[Any]:
    """Yield what makes the changes of the column, and of the column of the matrix, likeliest off.

    Each is the best by its linear share of the error.
    """
    tokens, width = np.flatnonzero(one.tokens), one.own.shape[-1]
    work = len(tokens) ** 2 * width * sum(x.size for x in _arrays(side, one.target))
    if work > MOST_WORK:
        return
    basis = np.zeros((len(tokens), width, *one.own.shape))
    for n, t in enumerate(tokens):
        basis[n, range(width), t, range(width)] = 1
    slopes = one.slopes(one.own, basis.reshape(-1, *one.own.shape))
    slopes = slopes.reshape(len(tokens), width, -1)
    error = (one.theirs - one.run(one.own[None])[0]).ravel()
    rest = [_left(slopes[:, j], error) for j in range(width)]
    yield partial(_column, int(np.argmin(rest)))
    if one.source.rpartition(".")[2] in MATRICES and width < error.size // 2:
        for k in _columns_of_matrix(side, one, slopes, error):
            yield partial(_matrix_column, side, k)


def _columns_of_matrix(side: Isolation, one: Inside, slopes: Array, error: Array) -> list[int]:
    """Return the columns of a matrix that bring the target nearest, by one step of Newton's."""
    given = given_to(side, one.source)[one.index]
    found = [
        np.linalg.lstsq(np.tensordot(x, slopes, 1).T, error, rcond=1e-12)[0]
        for x in given[one.tokens].T
    ]
    stepped = one.run(one.own + np.einsum("tk,kc->ktc", given, np.array(found)))
    left = np.square(stepped - one.theirs).sum(axis=(1, 2))
    return [int(k) for k in np.argsort(left)[:LIKELIEST]]


def _arrays(side: Isolation, target: str) -> list[Array]:
    layer = part_in(side.model, part_of(target))
    own, fed = layer.attention, layer.feed_forward
    parts = own.query, own.key, own.value, own.output, fed.intermediate, fed.output
    return [part.weight for part in parts]


def _left(slopes: Array, error: Array) -> float:
    found = np.linalg.lstsq(slopes.T, error, rcond=1e-12)[0]
    return float(np.square(error - found @ slopes).sum())


def _column(j: int, one: Inside) -> Array:
    """Return a change of each token in one column: (N, T, C)."""
    tokens = np.flatnonzero(one.tokens)
    basis = np.zeros((len(tokens), *one.own.shape))
    basis[range(len(tokens)), tokens, j] = 1
    return basis


def _matrix_column(side: Isolation, k: int, one: Inside) -> Array:
    """Return the changes that one column of the matrix makes: (C, T, C)."""
    width = one.own.shape[-1]
    given = given_to(side, one.source)[one.index][:, k] * one.tokens
    basis: Array = np.eye(width)[:, None, :] * given[None, :, None]
    return basis
