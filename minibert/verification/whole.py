"""What the faults of a recording say together: things exchanged, other weights, or what remains."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from minibert.layers import LayerNorm, Linear
from minibert.mistakes.inputs import SWAPPED, TYPES_AS_MASK
from minibert.trace import layer_of, pattern_of
from minibert.verification.isolate import Isolation
from minibert.verification.result import StageResult
from minibert.verification.trials import AS_IF, OWN_NORM, THEIR_NORM, weights_at, weights_of

Rows = tuple[StageResult, ...]
WHOLES = ("embeddings", "embeddings.sum", "layer.{i}", "pooler")  # shown without their inside
SEVERAL = 3  # matrices and norms that are off by themselves are no chance
ALIKE = 0.5  # of their size: weights that differ by less have something in common


def seen_together(rows: Rows, side: Isolation) -> Rows:
    """Return the rows with the causes that the faults of a side have together."""
    causes = {**_exchanged(side), **_swapped_inputs(side), **_other_weights(rows, side)}

    def of(row: StageResult) -> StageResult:
        if row.side != side.who or row.status != "FAULT":
            return row
        if row.stage in causes:
            return replace(row, cause=causes[row.stage])
        shown = f"{row.remains}; " if row.remains else ""
        return row if row.cause else replace(row, remains=shown + _remains(side, row.stage))

    return tuple(map(of, rows))


# things exchanged


def _exchanged(side: Isolation) -> dict[str, str]:
    """Say of stages with the weights of others that these are exchanged."""
    causes = {**_layers_exchanged(side), **_norms_exchanged(side)}
    return {x: f"{x}: {side.who} agrees with {words}" for x, words in causes.items()}


def _layers_exchanged(side: Isolation) -> dict[str, str]:
    count = len(side.model.base_model.layers)
    found = {
        layer_of(stage): j
        for stage, trials in side.causes.items()
        for j in range(count)
        if any(t.phrase.partition(AS_IF)[0] == _plain(layer_of(stage), j) for t in trials)
    }
    if not found or {*found} != {*found.values()}:
        return {}
    words = f"its layers in another order, {found}"
    if len(found) == 2:
        words = f"{' and '.join(f'layer.{i}' for i in sorted(found))} exchanged"
    elif all(j == count - 1 - i for i, j in found.items()):
        words = "the layers in reverse"
    return {x: words for x, trials in side.causes.items() if layer_of(x) in found and trials}


def _norms_exchanged(side: Isolation) -> dict[str, str]:
    causes: dict[str, str] = {}
    for i in range(len(side.model.base_model.layers)):
        places = {f"layer.{i}.attention": THEIR_NORM, f"layer.{i}": OWN_NORM}
        if all(any(t.phrase == p for t in side.causes.get(x, ())) for x, p in places.items()):
            causes |= dict.fromkeys(places, "its two norms exchanged")
    return causes


def _plain(i: int, j: int) -> str:
    return weights_of(i, j).partition(AS_IF)[0]


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
    others = [row.stage for row in faults if not _is_named(side, row)]
    if len(others) < SEVERAL or not all(_is_of_weights(side, x) for x in others):
        return {}
    if not _is_function_of_inputs(side):
        return {}
    inside = any(pattern_of(x) not in WHOLES for x in others)
    if not inside and "embeddings" not in others:
        return {}  # a layer has more than weights
    what = f"other weights, {_how_far(side, others)}"
    parts = dict.fromkeys(_part(x) for x in others)
    where = ", ".join(parts)
    return dict.fromkeys(others, f"{where}: {side.who} agrees with {what}")


def _is_function_of_inputs(side: Isolation) -> bool:
    """Tell whether tokens with one word, type and position have one embedding, as it was made."""
    stage = side.known.get("embeddings")
    if stage is None or side.inputs.words.ndim > 2:
        return True
    inputs, rows = side.inputs, stage[side.real]
    kinds = np.stack([x[side.real] for x in (inputs.words, inputs.types, inputs.positions)], axis=1)
    _, first, alike = np.unique(kinds, axis=0, return_index=True, return_inverse=True)
    return np.allclose(rows, rows[first][alike.ravel()], atol=1e-4 * float(np.abs(rows).max()))


def _is_named(side: Isolation, row: StageResult) -> bool:
    trials = side.causes.get(row.stage, [])
    return bool(row.cause) and not any(
        t.phrase.startswith(("another ", "other rows")) for t in trials
    )


def _is_of_weights(side: Isolation, stage: str) -> bool:
    """Tell whether other weights alone may make a stage another one."""
    if stage == "embeddings.sum" or stage == "pooler":
        return True
    part = weights_at(side.model, stage)
    return isinstance(part, Linear | LayerNorm)


def _part(stage: str) -> str:
    i = layer_of(stage)
    return f"layer.{i}" if i >= 0 else stage.partition(".")[0]


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
    between = [x for x in gap if layer_of(x) < 0 or pattern_of(x) == "layer.{i}"] or gap
    tell = f"; recording {between[len(between) // 2]} would tell more" if gap else ""
    return f"what remains: {', '.join(candidates)}, or an operation that is not in the list{tell}"


def _candidates(places: list[str]) -> Iterator[str]:
    layers = sorted({layer_of(x) for x in places if layer_of(x) >= 0})
    if any(x.startswith("embeddings") for x in places):
        yield "other words or other rows of the tables"
    if layers:
        where = f"layer.{layers[0]}" + (f" to layer.{layers[-1]}" if layers[1:] else "")
        yield f"other weights in {where} (another checkpoint's, a row, a number of a bias)"
        yield "dropout there"
    elif not any(x.startswith("embeddings") for x in places):
        yield f"other weights of {places[-1]}"
