"""What the cross-attention of a decoder looked at, where that is not the encoder's last state."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from minibert.batch import Batch
from minibert.mistakes import layers as parts
from minibert.runtime.arrays import Array
from minibert.trace import layer_of
from minibert.verification.isolate import Isolation
from minibert.verification.parts import is_layer, last_state, part_of
from minibert.verification.places import Change
from minibert.verification.trials import Trial


def looked_at(side: Isolation, stage: str) -> Iterator[Trial]:
    """Yield other states, in all layers of a stage and the gap before it, then in one alone."""
    places = [x for x in (*side.gap(stage), stage) if ".cross_attention." in f"{x}."]
    layers = list(dict.fromkeys(map(part_of, filter(is_layer, places))))
    if not layers or stage.endswith((".query", ".output")):
        return
    groups = [layers, *([layer] for layer in layers)] if len(layers) > 1 else [layers]
    for phrase, change in (*parts.LOOKED_AT, *_states(side)):
        for group in groups:
            changes = dict.fromkeys(group, change)
            yield Trial(tuple(f"{x}.cross_attention.key" for x in group), phrase, parts=changes)


def _states(side: Isolation) -> Iterator[tuple[str, Change]]:
    last = last_state(side.model, "encoder.")
    states = ["encoder.embeddings", *(f"encoder.layer.{i}" for i in range(layer_of(last)))]
    if side.masks[0].shape == side.inputs.source.mask.shape:  # type: ignore[union-attr]
        states.append("decoder.embeddings")
    for name in states:
        array = side.stage(name)
        yield f"cross-attention on {name}", parts.joined(states=_in_place(array, name))


def _in_place(array: Array, name: str) -> Any:
    def states(x: Array, batch: Batch) -> Batch:
        source: Any = batch.source
        rows = batch if name.startswith("decoder.") else source
        seen = array[rows.mask].astype(x.dtype)
        return replace(batch, source=replace(rows, source=None, states=seen))

    return states
