"""The loss of a batch, and the gradient of every weight."""

from collections.abc import Mapping
from inspect import signature
from typing import Any

import numpy as np

from minibert.batch import Batch
from minibert.models.base import TARGETS, PreTrainedModel
from minibert.models.shown import hand_over
from minibert.runtime.arrays import Array
from minibert.runtime.spelling import nearest, spelled
from minibert.runtime.threads import in_turn
from minibert.trace import Recording, Trace, silent
from minibert.training.dropout import Dropout, none
from minibert.training.kept import Gradients, Kept

WORD = "embeddings.word"  # the field

Fields = dict[str, Array]
INPUTS = (
    *("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds"),
    *("decoder_input_ids", "decoder_attention_mask", "decoder_inputs_embeds"),
)
PREFIX = "grad."  # before a stage's name: that of its gradient


@spelled
def gradients(
    model: PreTrainedModel,
    inputs: Mapping[str, Any],
    labels: Mapping[str, Any],
    seed: int | None = None,
    trace: dict[str, Array] | None = None,
) -> tuple[float, dict[str, Array]]:
    """Return the loss of a batch, and its gradient by each weight, under the checkpoint's names.

    inputs, labels: the arguments of a call, by name; labels are what makes it return a loss
    (``labels``, ``next_sentence_label``, ``start_positions``, ...). seed: of dropout, with the
    rates of the config; None: none. trace: a dict that receives the gradient of every stage (see
    ``stage_axes``) in the stage's shape, ``grad.layer.0`` that of ``layer.0``.

    A gradient has the shape and the dtype of its tensor; of a tensor that several parts share there
    is one, the sum. ValueError for a model without a head, and for missing or wrong labels.
    """
    refuse_strangers(model, inputs, labels)
    batch = model.batch(**inputs, **labels)
    dropout = none if seed is None else Dropout(model.dropouts(), (seed,))
    recording = Recording(batch)
    recording.prefix = PREFIX
    loss, found = learn(model, batch, dropout, silent if trace is None else recording)
    if trace is not None:
        hand_over(recording, [f"{PREFIX}{stage}" for stage in model.stage_axes()], trace)
    return loss, model.by_name(found)


def refuse_strangers(
    model: PreTrainedModel, inputs: Mapping[str, Any], labels: Mapping[str, Any]
) -> None:
    """ValueError for names that a model's call does not know, and without labels."""
    if all(values is None for values in labels.values()):
        raise ValueError("labels is empty: there is no loss without any")
    taken = signature(type(model).__call__).parameters
    for what, given, known in (
        ("inputs", inputs, [name for name in INPUTS if name in taken]),
        ("labels", labels, TARGETS),
    ):
        if strange := [name for name in given if name not in known]:
            hint = nearest(strange[0], known) or f"; there are {', '.join(known)}"
            raise ValueError(f"{what} has {strange[0]!r:.80}, which is none{hint}")


def learn(
    model: PreTrainedModel, batch: Batch, dropout: Dropout = none, beside: Trace = silent
) -> tuple[float, dict[str, Array]]:
    """Return the loss of a batch, and the gradients by field: of each array that the model has.

    beside: what the gradients of the stages are shown to.
    """
    kept = Kept(dropout)
    back = Gradients(kept, beside)
    loss = in_turn(model.learn, batch, kept, back)  # type: ignore[attr-defined]  # it has targets
    return loss, shared(model, back.found)


def shared(model: PreTrainedModel, found: dict[str, Array]) -> dict[str, Array]:
    """Return the gradients of the model's own arrays; what others share with the words is added."""
    fields = {field: model.array(field) for field in model.learnt()}
    tied = [x for x in found if x not in fields and found[x].shape == fields[WORD].shape]
    for grad in map(found.pop, tied):
        found[WORD] = np.add(found[WORD], grad, out=grad) if WORD in found else grad
    return {x: found[x] if x in found else np.zeros_like(array) for x, array in fields.items()}
