"""From labels to a loss, as each head of transformers defines it: checked, packed, averaged.

A loss is a number, and the gradient of the head's rows of logits beside it. What is IGNORED (-100)
does not count. A token that is padding here has no logits, so a label there is refused, where
transformers would count it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert import arguments
from minibert.batch import Batch
from minibert.losses import IGNORED, Loss, binary_cross_entropy, cross_entropy, mean_squared_error
from minibert.runtime.arrays import Array, Integers, number_array

LossOf = Callable[..., Loss]
ChosenBy = Callable[..., NDArray[np.bool_]]  # of a batch, its labels, and how many there are
PROBLEMS = "regression", "single_label_classification", "multi_label_classification"


def of_tokens(logits: Array, batch: Batch, labels: Any) -> Loss:
    """Return the loss of a label for each token: logits (N, classes), labels (B, T)."""
    return cross_entropy(logits, _told(batch, labels, logits.shape[1])[batch.mask])


def of_next_tokens(logits: Array, batch: Batch, labels: Any) -> Loss:
    """Return the loss of the token that comes next: labels are ids, (B, T), not shifted."""
    return cross_entropy(logits, _told(batch, labels, logits.shape[1], ahead=1)[batch.mask])


def labelled(batch: Batch, labels: Any, count: int) -> NDArray[np.bool_]:
    """Return which tokens have a label that counts, one of so many: (B, T)."""
    counts: NDArray[np.bool_] = _told(batch, labels, count) != IGNORED
    return counts


def before_labelled(batch: Batch, labels: Any, count: int) -> NDArray[np.bool_]:
    """Return which tokens come before one whose label counts, one of so many: (B, T)."""
    counts: NDArray[np.bool_] = _told(batch, labels, count, ahead=1) != IGNORED
    return counts


def of_sequences(logits: Array, batch: Batch, labels: Any, problem: str | None = None) -> Loss:
    """Return the loss of a label, or of numbers, for each sequence: logits (n, num_labels).

    problem: the config's problem_type; None: regression for one label, classes for whole numbers,
    several labels at a time for others, as transformers chooses.
    """
    values, count = number_array("labels", labels), logits.shape[1]
    if problem is None:
        whole = values.dtype.kind in "iu"
        problem = PROBLEMS[0 if count == 1 else 1 if whole else 2]
    rows, size = batch.vectors.indices, len(batch.mask)
    if problem == PROBLEMS[1]:
        return cross_entropy(logits, _classes("labels", values, count, (size,))[rows])
    wanted = (size, count) if count > 1 or values.ndim == 2 else (size,)
    if values.shape != wanted:
        raise ValueError(f"labels have the shape {values.shape}; needed: {wanted}, for {problem}")
    numbers = values.reshape(size, count)[rows]
    return (mean_squared_error if problem == PROBLEMS[0] else binary_cross_entropy)(logits, numbers)


def of_pairs(logits: Array, batch: Batch, labels: Any) -> Loss:
    """Return the loss of whether a second sentence follows, for each pair: logits (n, 2)."""
    return of_sequences(logits, batch, labels, PROBLEMS[1])


def of_choices(logits: Array, batch: Batch, labels: Any) -> Loss:
    """Return the loss of the number of the right choice of each question: labels (batch,)."""
    whole = batch.vectors.unpack(logits).reshape(-1, batch.choices)
    loss, grad = cross_entropy(whole, _classes("labels", labels, batch.choices, whole.shape[:1]))
    return loss, grad.reshape(-1, 1)[batch.vectors.indices]


def of_answers(logits: Array, batch: Batch, start_positions: Any, end_positions: Any) -> Loss:
    """Return the mean loss of where answers begin and end: logits (N, 2), positions (B,).

    A position beyond the tokens does not count. Padding is no place where an answer might be.
    """
    found, length = np.zeros_like(logits), batch.mask.shape[1]
    size, losses = len(batch.mask), []
    for column, name in enumerate(("start_positions", "end_positions")):
        given = start_positions if column == 0 else end_positions
        places = np.clip(_whole(name, given, (size,)), 0, length)
        loss, grad = _of_places(logits[:, column], batch, name, places)
        found[:, column] = grad / 2
        losses.append(loss)
    return sum(losses) / 2, found


def _of_places(scores: Array, batch: Batch, name: str, places: Integers) -> Loss:
    whole = np.full(batch.mask.shape, np.finfo(scores.dtype).min, scores.dtype)
    whole[batch.mask] = scores
    places = np.where(places == batch.mask.shape[1], IGNORED, places)
    hidden = (places != IGNORED) & ~batch.mask[np.arange(len(places)), np.maximum(places, 0)]
    if hidden.any():
        i = int(hidden.argmax())
        raise ValueError(f"{name}[{i}] is {places[i]}, where attention_mask says padding")
    loss, grad = cross_entropy(whole, places)
    return loss, grad[batch.mask]


def _told(batch: Batch, labels: Any, count: int, ahead: int = 0) -> Integers:
    """Return what each token is to say: its label, or that of the token so far ahead."""
    numbers = _classes("labels", labels, count, batch.mask.shape)
    told = np.full_like(numbers, IGNORED)
    told[:, : numbers.shape[1] - ahead] = numbers[:, ahead:]
    _refuse_padding(told, batch.mask, ahead)
    return told


def _whole(name: str, values: Any, shape: tuple[int, ...]) -> Integers:
    array = number_array(name, values)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} holds {array.dtype}; needed: whole numbers")
    if array.ndim == len(shape) + 1 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.shape != shape:
        raise ValueError(f"{name} has the shape {array.shape}; needed: {shape}")
    return array.astype(np.int64, copy=False)


def _classes(name: str, values: Any, count: int, shape: tuple[int, ...]) -> Integers:
    numbers = _whole(name, values, shape)
    wrong = (numbers != IGNORED) & ((numbers < 0) | (numbers >= count))
    allowed = f"0 to {count - 1}, or {IGNORED} where there is nothing to learn"
    arguments.refuse(name, numbers, wrong, allowed)
    return numbers


def _refuse_padding(labels: Integers, mask: Any, ahead: int = 0) -> None:
    """Raise ValueError for a label of a token that has no logits: it is padding."""
    wrong = (labels != IGNORED) & ~mask
    if wrong.any():
        row, column = np.argwhere(wrong)[0].tolist()
        what = f"labels[{row}, {column + ahead}] is {labels[row, column]}"
        where = "the token before it is padding" if ahead else "the token is padding"
        raise ValueError(f"{what}, and {where}, which has no logits: set it to {IGNORED}")
