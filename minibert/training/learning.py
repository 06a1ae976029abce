"""The loss of a batch, and the gradient of every weight."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from minibert.batch import Batch
from minibert.models.base import PreTrainedModel
from minibert.runtime.arrays import Array
from minibert.runtime.spelling import spelled
from minibert.runtime.threads import in_turn
from minibert.training.dropout import Dropout, none
from minibert.training.kept import Gradients, Kept

WORD = "embeddings.word"  # the field

Fields = dict[str, Array]


@spelled
def gradients(
    model: PreTrainedModel,
    inputs: Mapping[str, Any],
    labels: Mapping[str, Any],
    seed: int | None = None,
) -> tuple[float, dict[str, Array]]:
    """Return the loss of a batch, and its gradient by each weight, under the checkpoint's names.

    inputs, labels: the arguments of a call, by name; labels are what makes it return a loss
    (``labels``, ``next_sentence_label``, ``start_positions``, ...). seed: of dropout, with the
    rates of the config; None: none. A gradient has the shape and the dtype of its tensor; of a
    tensor that several parts share there is one, the sum. ValueError for a model without a head,
    and for labels that are missing or wrong.
    """
    if not labels:
        raise ValueError("labels is empty: there is no loss without any")
    batch = model.batch(**inputs, **labels)
    dropout = none if seed is None else Dropout(model.dropouts(), (seed,))
    loss, found = learn(model, batch, dropout)
    return loss, model.by_name(found)


def learn(
    model: PreTrainedModel, batch: Batch, dropout: Dropout = none
) -> tuple[float, dict[str, Array]]:
    """Return the loss of a batch, and the gradients by field: of each array that the model has."""
    kept = Kept(dropout)
    back = Gradients(kept)
    loss = in_turn(model.learn, batch, kept, back)  # type: ignore[attr-defined]  # it has targets
    return loss, shared(model, back.found)


def shared(model: PreTrainedModel, found: dict[str, Array]) -> dict[str, Array]:
    """Return the gradients of the model's own arrays; what others share with the words is added."""
    fields = {field: model.array(field) for field in model.learnt()}
    tied = [x for x in found if x not in fields and found[x].shape == fields[WORD].shape]
    for grad in map(found.pop, tied):
        found[WORD] = np.add(found[WORD], grad, out=grad) if WORD in found else grad
    return {x: found[x] if x in found else np.zeros_like(array) for x, array in fields.items()}
