"""Faults recognised from the recorded numbers themselves: dropout, attended padding, a mask.

What was drawn or attended to is not in the inputs, but the recorded stage shows it. A signature
takes this model's stage, the recorded one, the batch, and what gives other stages; it returns the
stage as it would be with the fault, which is there only if that is what was recorded. Stages are
whole arrays, zeros at padding.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minibert.batch import Batch
from minibert.mistakes.inputs import ACROSS, ADDED, PADDING, lookings
from minibert.runtime.arrays import Array, Mask
from minibert.verification.compare import real_places
from minibert.verification.dropout import dropped, dropped_before_norm, dropped_keys
from minibert.verification.isolate import Isolation
from minibert.verification.masked import HIDDEN
from minibert.verification.parts import kind_of, part_of, stack_of, state_before
from minibert.verification.places import weights_at
from minibert.verification.trials import read_by

Known = Callable[[str], Array]  # takes the last word of another stage's name: "value"
Signature = Callable[[Array, Array, Batch, Known], Array]


def _is_padded(batch: Batch) -> Any:
    keys = batch.mask if batch.seen is None else batch.seen.mask
    return ~np.asarray(keys.all(axis=1))[:, None, None, None]


def _padding_attended(own: Array, theirs: Array, batch: Batch, known: Known) -> Array:
    """Leave to each real key its share of what is attended in all."""
    keys = batch.mask if batch.seen is None else batch.seen.mask
    real = np.where(keys[:, None, None, :], theirs, 0)
    return np.where(_is_padded(batch), own * real.sum(axis=-1, keepdims=True), own)


def _mask_inverted(own: Array, theirs: Array, batch: Batch, known: Known) -> Array:
    """Leave nothing to real keys; where all keys are real, every mask is the same for all."""
    even = np.full_like(own, 1 / own.shape[-1])
    is_even = np.abs(theirs - even).max(axis=(1, 2, 3), keepdims=True) < np.abs(theirs - own).max(
        axis=(1, 2, 3), keepdims=True
    )
    return np.where(_is_padded(batch), 0, np.where(is_even, even, own))


def _rows_dropped(own: Array, theirs: Array, batch: Batch, known: Known) -> Array:
    return dropped(own, theirs)


def _contexts_dropped(own: Array, theirs: Array, batch: Batch, known: Known) -> Array:
    probabilities, values = known("probabilities"), known("value")
    made = np.zeros_like(own)
    for s in batch.sequences:
        ours = probabilities[s.index][:, s.columns][:, :, s.keys]
        at = s.index, s.columns
        made[at] = dropped_keys(ours, values[s.index, s.keys], theirs[at])
    return made


DROPOUT = "dropout left on (a model in training mode)"
_ROWS = ((DROPOUT, _rows_dropped),)
_L, _A, _X = "layer.{i}", "layer.{i}.attention", "layer.{i}.cross_attention"
_F = "layer.{i}.feed_forward"

_SIGNATURES: dict[str, tuple[tuple[str, Signature], ...]] = {
    "embeddings": _ROWS,
    f"{_A}.probabilities": (
        *_ROWS,
        (PADDING, _padding_attended),
        ("the mask inverted", _mask_inverted),
    ),
    f"{_A}.context": ((DROPOUT, _contexts_dropped), *_ROWS),
    f"{_A}.output": _ROWS,
    f"{_F}.activation": _ROWS,
    _F: _ROWS,
    "pooler": _ROWS,
}


def signatures(side: Isolation, stage: str) -> Iterator[tuple[str, Array]]:
    """Yield phrases, and the stage with each fault."""
    prefix = stage.rpartition(".")[0]

    def known(word: str) -> Array:
        return side.stage(f"{prefix}.{word}")

    own = side.computed(stage)
    theirs = np.where(side.places(stage), side.stages[stage], 0).astype(np.float64)
    kind = kind_of(stage).replace(_X, _A)
    if kind == f"{_A}.scores" and read_by(side.inputs, stage).allowed is None:
        yield from _masked(side, stage, own, theirs)
    if kind in (_A, _L) and weights_at(side.model, stage) is not None:
        yield DROPOUT, _residual_dropped(side, stage, theirs)
    for phrase, signature in _SIGNATURES.get(kind, ()):
        yield phrase, signature(own, theirs, _batch(side, stage), known)


def _batch(side: Isolation, stage: str) -> Batch:
    """Return the batch in which a stage's attention happens."""
    batch = side.batch
    if batch.source is None or _X in kind_of(stage):
        return batch if batch.source is None else batch.across
    return batch.source if stack_of(stage) == "encoder." else batch


def _residual_dropped(side: Isolation, stage: str, theirs: Array) -> Array:
    """Return a norm's result with dropout in what was added to the residual."""
    real, part = side.tokens(stage), part_of(stage)
    crossing = f"{part}.cross_attention"
    last = crossing if crossing in side.axes else f"{part}.attention"
    names = {
        _A: (state_before(side.model, stage), f"{stage}.output"),
        _X: (f"{part}.attention", f"{stage}.output"),
        _L: (last, f"{stage}.feed_forward"),
    }
    x, change = (side.stage(name)[real] for name in names[kind_of(stage)])
    made = np.zeros(theirs.shape)
    norm = weights_at(side.model, stage)
    made[real] = dropped_before_norm(x, change, theirs[real], norm)
    return made


def _looks(side: Isolation, stage: str) -> Iterator[tuple[str, Mask]]:
    """Yield phrases, and who looks at whom by other masks."""
    if _X in kind_of(stage):
        yield from ((phrase, change(side.inputs).across) for phrase, change in ACROSS)
        return
    inputs = read_by(side.inputs, stage)
    yield from ((phrase, change(inputs).allowed) for phrase, change in lookings(inputs))


def _masked(side: Isolation, stage: str, own: Array, theirs: Array) -> Iterator[tuple[str, Array]]:
    """Tell which mask has hidden real keys in scores that were recorded after it was added."""
    real = real_places(side.axes[stage], *side.masks)
    added = theirs - own
    if np.allclose(added[np.broadcast_to(real, added.shape)], 1, atol=1e-3):
        yield ADDED, own + 1
    # what is hidden may be shown as it is after the mask, or as 0
    hidden = real & ((added < HIDDEN) | ((theirs == 0) & (own != 0)))
    if hidden.any() and (hidden == hidden.any(axis=1, keepdims=True)).all():
        for phrase, allowed in _looks(side, stage):
            if allowed is not None and np.array_equal(hidden[:, 0], real[:, 0] & ~allowed):
                yield phrase, np.where(hidden, theirs, own)
        count, place = int(hidden[:, 0].sum()), np.argwhere(hidden[:, 0])[0].tolist()
        phrase = f"a mask that hides {count} real keys, the first at {place}, (batch, query, key)"
        yield phrase, np.where(hidden, theirs, own)
