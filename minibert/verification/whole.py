"""What the faults of a recording say together: things exchanged, other weights, or what remains."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from minibert.layers import LayerNorm, Linear
from minibert.mistakes.inputs import SWAPPED, TYPES_AS_MASK
from minibert.trace import layer_of
from minibert.verification.isolate import Isolation
from minibert.verification.parts import (
    is_embeddings,
    is_gradient,
    is_layer,
    kind_of,
    part_of,
)
from minibert.verification.places import weights_at
from minibert.verification.result import StageResult
from minibert.verification.trials import AS_IF, OWN_NORM, THEIR_NORM, read_by, weights_of

Rows = tuple[StageResult, ...]
WHOLES = ("embeddings", "embeddings.sum", "layer.{i}", "pooler")  # shown without their inside
SEVERAL = 3  # matrices and norms that are off by themselves are no chance
ALIKE = 0.5  # of their size: weights that differ by less have something in common


def seen_together(rows: Rows, side: Isolation) -> Rows:
    """Return the rows with the causes that the faults of a side have together."""
    causes = {**_exchanged(side), **_swapped_inputs(side), **_other_weights(rows, side)}

    def of(row: StageResult) -> StageResult:
        if row.side != side.who or row.status != "FAULT" or is_gradient(row.stage):
            return row
        if row.stage in causes:
            return replace(row, cause=causes[row.stage])
        shown = f"{row.remains}; " if row.remains else ""
        return row if row.cause else replace(row, remains=shown + _remains(side, row.stage))

    return tuple(map(of, rows))


# things exchanged


def _exchanged(side: Isolation) -> dict[str, str]:
    """Say of stages with the weights of others that these are exchanged."""
    causes: dict[str, str] = {}
    for stack, own in side.model.stacks.items():
        names = [f"{stack}layer.{i}" for i in range(len(own.layers))]
        causes |= {**_layers_exchanged(side, names), **_norms_exchanged(side, names)}
    return {x: f"{x}: {side.who} agrees with {words}" for x, words in causes.items()}


def _layers_exchanged(side: Isolation, names: list[str]) -> dict[str, str]:
    found = {
        part_of(stage): other
        for stage, trials in side.causes.items()
        for other in names
        if any(t.phrase.partition(AS_IF)[0] == _plain(stage, other) for t in trials)
    }
    if not found or {*found} != {*found.values()}:
        return {}
    words = (
        f"its layers in another order, { ({layer_of(x): layer_of(y) for x, y in found.items()}) }"
    )
    if len(found) == 2:
        words = f"{' and '.join(x for x in names if x in found)} exchanged"
    elif all(found.get(x, y) == y for x, y in zip(names, reversed(names), strict=True)):
        words = "the layers in reverse"
    return {x: words for x, trials in side.causes.items() if part_of(x) in found and trials}


def _norms_exchanged(side: Isolation, names: list[str]) -> dict[str, str]:
    causes: dict[str, str] = {}
    for name in names:
        places = {f"{name}.attention": THEIR_NORM, name: OWN_NORM}
        if all(any(t.phrase == p for t in side.causes.get(x, ())) for x, p in places.items()):
            causes |= dict.fromkeys(places, "its two norms exchanged")
    return causes


def _plain(stage: str, other: str) -> str:
    return weights_of(part_of(stage), other).partition(AS_IF)[0]


def _swapped_inputs(side: Isolation) -> dict[str, str]:
    """Say of token types that are the mask that the mask is the token types, too."""
    phrases = {t.phrase for trials in side.causes.values() for t in trials}
    if SWAPPED not in phrases:
        return {}
    as_mask = (x for x, ts in side.causes.items() if any(t.phrase == TYPES_AS_MASK for t in ts))
    return {x: f"{x}: {side.who} agrees with {SWAPPED}" for x in as_mask}


# other weights


def _other_weights(rows: Rows, side: Isolation) -> dict[str, str]:
    """Say that weights are others, if nothing is wrong but what has weights, and enough of that."""
    faults = [row for row in rows if row.status == "FAULT" and row.side == side.who]
    others = [x.stage for x in faults if not (is_gradient(x.stage) or _is_named(side, x))]
    if len(others) < SEVERAL or not all(_is_of_weights(side, x) for x in others):
        return {}
    if not _is_function_of_inputs(side):
        return {}
    inside = any(kind_of(x) not in WHOLES for x in others)
    if not inside and not any(map(is_embeddings, others)):
        return {}  # a layer has more than weights
    what = f"other weights, {_how_far(side, others)}"
    parts = dict.fromkeys(map(part_of, others))
    where = ", ".join(parts)
    return dict.fromkeys(others, f"{where}: {side.who} agrees with {what}")


def _is_function_of_inputs(side: Isolation) -> bool:
    """Tell whether tokens with one word, type and position have one embedding, as it was made."""
    name = next(filter(is_embeddings, side.axes))
    name = part_of(name)
    stage, inputs = side.known.get(name), read_by(side.inputs, name)
    if stage is None or inputs.words.ndim > 2:
        return True
    real = side.tokens(name)
    rows = stage[real]
    kinds = np.stack([x[real] for x in (inputs.words, inputs.types, inputs.positions)], axis=1)
    _, first, alike = np.unique(kinds, axis=0, return_index=True, return_inverse=True)
    return np.allclose(rows, rows[first][alike.ravel()], atol=1e-4 * float(np.abs(rows).max()))


def _is_named(side: Isolation, row: StageResult) -> bool:
    trials = side.causes.get(row.stage, [])
    return bool(row.cause) and not any(
        t.phrase.startswith(("another ", "other rows")) for t in trials
    )


def _is_of_weights(side: Isolation, stage: str) -> bool:
    """Tell whether other weights alone may make a stage another one."""
    if kind_of(stage) in ("embeddings.sum", "pooler"):
        return True
    part = weights_at(side.model, stage)
    return isinstance(part, Linear | LayerNorm)


def _how_far(side: Isolation, stages: list[str]) -> str:
    """Say what weights may be that lead so far away."""
    measures = (side.measures[x] for x in stages)
    far = float(np.median([m.added.rms / m.size.rms for m in measures]))
    if far < ALIKE:
        return f"alike: a fine-tuned checkpoint, perhaps, for what they make differs by {far:.0%}"
    return "which have nothing in common with these: another checkpoint of this shape"


# what remains


def _remains(side: Isolation, stage: str) -> str:
    """Say what a fault without a known cause may still be, and what would tell."""
    gap = side.gap(stage)
    candidates = [*_candidates([*gap, stage])]
    between = [x for x in gap if not is_layer(x) or kind_of(x) == "layer.{i}"] or gap
    tell = f"; recording {between[len(between) // 2]} would tell more" if gap else ""
    return f"what remains: {', '.join(candidates)}, or an operation that is not in the list{tell}"


def _candidates(places: list[str]) -> Iterator[str]:
    layers = list(dict.fromkeys(map(part_of, filter(is_layer, places))))
    if any(map(is_embeddings, places)):
        yield "other words or other rows of the tables"
    if layers:
        where = layers[0] + (f" to {layers[-1]}" if layers[1:] else "")
        yield f"other weights in {where} (another checkpoint's, a row, a number of a bias)"
        yield "dropout there"
    elif not any(map(is_embeddings, places)):
        yield f"other weights of {places[-1]}"
