"""Mistakes with one number that is not known: it is found by the recorded numbers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from minibert import functions
from minibert.mistakes import layers as parts
from minibert.mistakes import matrices
from minibert.runtime.arrays import Array
from minibert.trace import pattern_of
from minibert.verification.parts import kind_of, part_in, part_of
from minibert.verification.places import inside, place_of
from minibert.verification.search import together, within
from minibert.verification.trials import HALVES, Trial

STEPS = 12  # of Newton's method
FIRST = 1e-4  # how far the number is changed to see what that does
NEARER = 1.5  # times smaller at least is the error after a few steps


@dataclass(frozen=True)
class Dial:
    """What may be done with a number of any size, and the number with which it is right."""

    place: str
    right: float
    set: Callable[[float], Trial]


def dials(model: Any, gap: list[str], stage: str) -> Iterator[Dial]:
    """Yield the dials of a stage and the gap before it: of one kind in all layers, then alone.

    Of those alone the nearest come first: what a stage itself explains is not sought elsewhere.
    """
    groups: dict[tuple[str, str], list[Dial]] = {}
    for name in (*gap, stage):
        for kind, dial in _at(model, name):
            groups.setdefault((kind, pattern_of(name)), []).append(dial)
    for members in groups.values():
        if len(members) > 1:
            yield Dial(members[0].place, members[0].right, _all_of(members))
    for members in reversed(groups.values()):
        yield from members


def _all_of(members: list[Dial]) -> Callable[[float], Trial]:
    return lambda x: together([dial.set(x) for dial in members])


def _at(model: Any, stage: str) -> Iterator[tuple[str, Dial]]:
    place = place_of(model, stage)
    part = place.part or part_of(stage)

    def of_part(phrase: str, change: Callable[[Any, float], Any], path: str = "") -> Any:
        def setting(x: float) -> Trial:
            there = inside(path, lambda part: change(part, x))
            return Trial((stage,), phrase.format(x), parts={part: there})

        return setting

    is_matrix = place.changes[: len(matrices.LINEAR)] == matrices.LINEAR  # a head's, too
    if is_matrix or place.changes is matrices.NORM:
        of = "matrix" if is_matrix else "norm"
        scaled = of_part(f"the weight of the {of} multiplied by {{:.5g}}", _scaled, place.path)
        yield "scaled", Dial(stage, 1.0, scaled)
    if stage.endswith(".scores"):
        yield "scores", Dial(stage, 1.0, lambda x: _of_scores(stage, x))
    if kind_of(stage) in HALVES and place.path:  # after a norm
        residual = of_part("the residual multiplied by {:.5g}", _residual(HALVES[kind_of(stage)]))
        yield "residual", Dial(stage, 1.0, residual)
    if kind_of(stage) == "embeddings.sum":
        tables = ("word", "position", "token_type")
        for table in filter(partial(hasattr, part_in(model, part)), tables):
            phrase = f"the table of {table.replace('_', ' ')}s multiplied by {{:.5g}}"
            change = of_part(phrase, _table(table))
            yield table, Dial(stage, 1.0, change)


def _scaled(part: Any, x: float) -> Any:
    return replace(part, weight=part.weight * part.weight.dtype.type(x))


def _residual(which: str) -> Callable[[Any, float], Any]:
    def change(layer: Any, x: float) -> Any:
        return parts.joined(**{which: lambda norm, y, added, _: norm(x * y + added)})(layer)

    return change


def _table(table: str) -> Callable[[Any, float], Any]:
    return lambda part, x: replace(part, **{table: getattr(part, table) * x})


def _of_scores(stage: str, x: float) -> Trial:
    def scores(q: Array, k: Array) -> Array:
        found: Array = functions.attention_scores(q, k) * x
        return found

    return within(Trial((stage,), f"scores multiplied by {x:.5g}", {"attention_scores": scores}))


def solved(dial: Dial, computed: Callable[[Trial], Array | None], theirs: Array) -> Trial | None:
    """Return the trial with the number that brings a stage nearest; None if none brings it near.

    computed: the numbers of the stage that a trial makes. Gauss and Newton's method.
    """
    x, last, before, first = dial.right, dial.right, np.inf, 0.0
    for step in range(STEPS):
        here, beside = computed(dial.set(x)), computed(dial.set(x + FIRST))
        if here is None or beside is None or here.shape != theirs.shape:
            return None
        slope, error = (beside - here) / FIRST, theirs - here
        size = float(np.vdot(error, error)) ** 0.5
        if step and size > before:  # too far
            x = (x + last) / 2
            continue
        length = float(np.vdot(slope, slope))
        if not 0 < length < np.inf or (step == 4 and not size * NEARER < first):
            return None
        if size > before * 0.999:
            break
        first = first or size
        last, before, x = x, size, x + float(np.vdot(slope, error)) / length
    if abs(x) < 1e-6 * abs(dial.right):
        return None  # nothing is left: that is no factor
    nice = float(f"{x:.5g}")
    return dial.set(nice if abs(nice - x) <= 1e-7 * abs(x) else x)
