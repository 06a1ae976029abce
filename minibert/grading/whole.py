"""Trying a function in the engine, in place of ours, stage by stage; a derivative on the way back.

Of a derivative the stages are gradients, in the order of the way back, compared with our own run;
those of the weights come after them.
"""

from functools import cache, wraps
from typing import Any

import numpy as np

from minibert.batch import Batch
from minibert.data import EMBEDDED_CHECKPOINT, REFERENCE_NAME
from minibert.grading.result import Found, in_words, is_ours
from minibert.mistakes.gradients import is_derivative
from minibert.models.base import PreTrainedModel
from minibert.models.bert import BertModel
from minibert.models.bert_heads import BertForPreTraining
from minibert.runtime.arrays import Array
from minibert.runtime.swap import Function, stage_of, swap
from minibert.runtime.threads import in_turn
from minibert.trace import Recording
from minibert.training.kept import Gradients, Kept
from minibert.verification import Reference
from minibert.verification.compare import Tolerance, real_places
from minibert.verification.told import labels_of

MODEL = "the whole model"


def try_whole(
    name: str, student: Function, model: PreTrainedModel | None, reference: Reference | None
) -> Found | None:
    """Run the model with the function; None if the model has no use for it."""
    wrong_stage = _of_gradients if is_derivative(name) else _of_stages
    calls = 0

    @wraps(student)
    def counted(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        return student(*args, **options)

    try:
        wrong = wrong_stage(model, reference, swap(**{name: counted}))
    except BaseException as error:
        if is_ours(error) or not calls:
            raise  # the reference does not fit the model
        stage = stage_of(error) if isinstance(error, Exception) else None
        return Found(MODEL, f"in {MODEL}, {in_words(error)}", stage)
    if not calls:
        return None
    cause = f"its numbers are wrong in {MODEL}, though not alone" if wrong else ""
    return Found(MODEL, cause, wrong)


def known(
    model: PreTrainedModel | None, reference: Reference | None
) -> tuple[PreTrainedModel, Reference]:
    """Return a model and a reference for it: the embedded ones, unless others are given."""
    if reference is None:
        reference = _own_reference(model) if model else _its_reference()
    return model or _embedded(), reference


def _of_stages(
    model: PreTrainedModel | None, reference: Reference | None, swapped: swap
) -> str | None:
    """Compare the stages that both have, where tokens are real, by the bar of ``verify``."""
    model, reference = known(model, reference)
    inputs: dict[str, Any] = {**reference.inputs}
    stages: dict[str, Array] = {}
    with swapped:
        model(**inputs, trace=stages)
    axes = model.stage_axes()
    for stage in axes:
        if stage in stages and stage in reference.stages:
            ours, theirs = stages[stage], reference.stages[stage]
            real = real_places(axes[stage], reference.real_tokens())
            if ours.shape != theirs.shape or not (Tolerance().allows(ours, theirs) | ~real).all():
                return stage
    return None


def _of_gradients(
    model: PreTrainedModel | None, reference: Reference | None, swapped: swap
) -> str | None:
    """Compare the gradients that both have; there are no others where tokens are padding."""
    _, reference = known(model, reference)
    learner, labels = model, dict[str, Any]()
    if learner is None:
        learner = _embedded_head()
        labels = labels_of(BertForPreTraining, learner.config, reference.inputs)
    batch = learner.batch(**reference.inputs, **labels)
    ours = _gradients(learner, batch)
    with swapped:
        found = _gradients(learner, batch)
    bar = Tolerance(1e-7, 1e-5) if learner.dtype == np.float64 else Tolerance()
    both = (name for name in found if name in ours)
    return next((x for x in both if not bar.allows(found[x], ours[x]).all()), None)


def _gradients(model: PreTrainedModel, batch: Batch) -> dict[str, Array]:
    """Return the gradients of the stages, then of the arrays, in the order of the way back.

    Without labels they come from random numbers in place of the last state's.
    """
    recording, kept = Recording(batch), Kept()
    back = Gradients(kept, recording)
    if batch.targets:
        in_turn(model.learn, batch, kept, back)  # type: ignore[attr-defined]  # a head's
    else:
        in_turn(_go_back, model.base_model, batch, kept, back)
    named = model.stage_axes()
    stages = {name: recording[name] for name in recording if name in named}
    return stages | dict(sorted(back.found.items(), reverse=True))


def _go_back(base: Any, batch: Batch, kept: Kept, back: Gradients) -> None:
    batch = base.encoded(batch, kept)
    x = base.states(batch, kept)
    grad = np.random.default_rng(0).standard_normal(x.shape).astype(x.dtype)
    base.states_backward(grad, batch, back)


@cache
def _embedded_head() -> BertForPreTraining:
    return BertForPreTraining.from_pretrained(EMBEDDED_CHECKPOINT, dtype="float64")


@cache
def _embedded() -> BertModel:
    return BertModel.from_pretrained(EMBEDDED_CHECKPOINT, dtype="float64")


@cache
def _its_reference() -> Reference:
    return Reference.load(EMBEDDED_CHECKPOINT / REFERENCE_NAME)


def _own_reference(model: PreTrainedModel) -> Reference:
    """Return what the model computes itself, on ids drawn at random, of two lengths."""
    shape = (2, min(9, model.config.max_position_embeddings))
    ids = np.random.default_rng(0).integers(0, model.config.vocab_size, shape)
    mask = np.ones(shape, np.int64)
    mask[1, shape[1] // 2 + 1 :] = 0
    stages: dict[str, Any] = {}
    model(ids, mask, trace=stages)
    return Reference({"input_ids": ids, "attention_mask": mask}, stages)
