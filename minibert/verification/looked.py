"""What the cross-attention of a decoder looked at, where that is not the encoder's last state."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from minibert.batch import Batch
from minibert.mistakes import layers as parts
from minibert.mistakes.inputs import PLAIN_MASK
from minibert.runtime.arrays import Array
from minibert.trace import layer_of
from minibert.verification.isolate import Isolation
from minibert.verification.parts import last_state, part_of
from minibert.verification.places import Change
from minibert.verification.trials import Trial


def looked_at(side: Isolation, stage: str) -> Iterator[Trial]:
    """Yield other states, in all layers of a stage and the gap before it, then in one alone."""
    looks = ".cross_attention.key", ".cross_attention.value"
    places = [x for x in (*side.gap(stage), stage) if x.endswith(looks)]
    layers = list(dict.fromkeys(map(part_of, places)))
    if not layers:
        return
    groups = [layers, *([layer] for layer in layers)] if len(layers) > 1 else [layers]
    for phrase, change, inputs in _states(side):
        for group in groups:
            changes = dict.fromkeys(group, change)
            yield Trial(
                tuple(f"{x}.cross_attention.key" for x in group),
                phrase,
                parts=changes,
                inputs=inputs,
            )


def _states(side: Isolation) -> Iterator[tuple[str, Change, Any]]:
    """Yield states: a phrase, the change of a layer, and of the inputs, padding among the rows."""
    last = last_state(side.model, "encoder.")
    source = side.inputs.source
    assert source is not None  # where there is cross-attention
    names = ["encoder.embeddings", *(f"encoder.layer.{i}" for i in range(layer_of(last)))]
    for name in names:
        yield _on(name), parts.joined(states=_in_place(side.stage(name), name)), None
    if side.inputs.mask.shape == source.mask.shape:
        yield from ((phrase, change, PLAIN_MASK) for phrase, change in parts.LOOKED_AT)
        change = parts.joined(states=_in_place(side.stage(OWN), OWN))
        yield _on(OWN), change, PLAIN_MASK


OWN = "decoder.embeddings"


def _on(name: str) -> str:
    return f"cross-attention on {name}"


def _in_place(array: Array, name: str) -> Any:
    def states(x: Array, batch: Batch) -> Batch:
        source: Any = batch.source
        rows = batch if name.startswith("decoder.") else source
        seen = array[rows.mask].astype(x.dtype)
        return replace(batch, source=replace(rows, source=None, states=seen))

    return states
