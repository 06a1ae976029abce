"""Trying a function in the engine, in place of ours, stage by stage."""

from functools import cache
from typing import Any

import numpy as np

from minibert.data import EMBEDDED_CHECKPOINT, REFERENCE_NAME
from minibert.grading.result import Found, in_words, is_ours
from minibert.models.base import PreTrainedModel
from minibert.models.bert import BertModel
from minibert.runtime.arrays import Array
from minibert.runtime.swap import Function, stage_of, swap
from minibert.verification import Reference
from minibert.verification.compare import Tolerance, real_places

MODEL = "the whole model"


def try_whole(
    name: str, student: Function, model: PreTrainedModel | None, reference: Reference | None
) -> Found | None:
    """Run the model with the function; None if the model has no use for it."""
    model, reference = known(model, reference)
    calls = 0

    def counted(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        return student(*args)

    inputs: dict[str, Any] = {**reference.inputs}
    stages: dict[str, Array] = {}
    try:
        with swap(**{name: counted}):
            model(**inputs, trace=stages)
    except BaseException as error:
        if is_ours(error) or not calls:
            raise  # the reference does not fit the model
        stage = stage_of(error) if isinstance(error, Exception) else None
        return Found(MODEL, f"in {MODEL}, {in_words(error)}", stage)
    if not calls:
        return None
    wrong = _first_wrong(stages, model.stage_axes(), reference)
    cause = f"its numbers are wrong in {MODEL}, though not alone" if wrong else ""
    return Found(MODEL, cause, wrong)


def known(
    model: PreTrainedModel | None, reference: Reference | None
) -> tuple[PreTrainedModel, Reference]:
    """Return a model and a reference for it: the embedded ones, unless others are given."""
    if reference is None:
        reference = _own_reference(model) if model else _its_reference()
    return model or _embedded(), reference


def _first_wrong(
    stages: dict[str, Array], axes: dict[str, str], reference: Reference
) -> str | None:
    """Compare the stages that both have, where tokens are real, by the bar of ``verify``."""
    for stage in axes:
        if stage in stages and stage in reference.stages:
            ours, theirs = stages[stage], reference.stages[stage]
            real = real_places(axes[stage], reference.real_tokens())
            if ours.shape != theirs.shape or not (Tolerance().allows(ours, theirs) | ~real).all():
                return stage
    return None


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
