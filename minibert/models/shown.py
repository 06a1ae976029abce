"""What a call shows of the stages that it recorded: in the fields of its output, or in a dict."""

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from minibert.batch import Batch
from minibert.models.stack import Stack
from minibert.runtime.arrays import Array
from minibert.trace import Recording


class Shows(Protocol):
    """A model with stages."""

    @property
    def stacks(self) -> dict[str, Stack]:
        """The embeddings with their layers, by what the names of their stages begin with."""

    @property
    def dtype(self) -> "np.dtype[np.floating[Any]]":
        """The dtype of all that is computed."""

    def stage_axes(self) -> dict[str, str]:
        """Return the axes of every stage, in network order."""


def seen_in(
    recording: Recording, shown: dict[str, list[str]]
) -> dict[str, tuple[Array, ...] | None]:
    """Return the fields of an output that show stages: tuples, or None where none is wanted."""
    if not {name for names in shown.values() for name in names} <= {*recording}:
        what = "output_attentions is on, and attention is swapped for a function that shows no"
        raise ValueError(f"{what} probabilities; swap softmax, or leave output_attentions off")
    return {x: tuple(recording[name] for name in names) or None for x, names in shown.items()}


def hand_over(recording: Recording, stages: Iterable[str], trace: dict[str, Array]) -> None:
    """Put what was recorded into the dict of a caller."""
    for name in stages:
        trace.pop(name, None)  # of another run, if this one does not show it
        if name in recording:
            trace[name] = recording.take(name)


def record_no_scores(model: Shows, batch: Batch, recording: Recording) -> None:
    """Record the scores and probabilities of a batch of padding: nothing computed them."""
    size, length = batch.mask.shape
    keys = {
        "T": batch.cache.get_seq_length() if batch.cache else length,  # with these, by now
        "S": (batch.source or batch).mask.shape[1],
    }
    for name, axes in model.stage_axes().items():
        if "H" in axes and name not in recording:
            stack = model.stacks[name[: name.index("layer.")]]
            queries = keys["S"] if axes[2] == "S" else length
            shape = size, stack.layers[0].attention.num_heads, queries, keys[axes[3]]
            recording.pieces[name] = [((), shape, np.zeros((), model.dtype))]
