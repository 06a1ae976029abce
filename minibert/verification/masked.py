"""Scores that a model masks: they are 0 in its stages, and anything in a recording's."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from minibert.mistakes.inputs import Inputs
from minibert.runtime.arrays import Array, Mask
from minibert.verification.parts import part_in, part_of
from minibert.verification.trials import read_by

HIDDEN = -1e3  # what a mask adds is below: -1e4, the lowest number of a dtype, or -inf


def masked_alike(model: Any, inputs: Inputs, stages: Mapping[str, Array]) -> dict[str, Array]:
    """Return the stages with 0 for each score that the model masks, where it is masked there, too.

    It is if a mask was added to it, or if its probability is recorded and 0: a program may as well
    show its scores before it masks them.
    """
    found = dict(stages)
    for name in (x for x in stages if x.endswith(".attention.scores") and x in model.stage_axes()):
        scores, hidden = stages[name], _hidden(model, name, read_by(inputs, name))
        if hidden is None or scores.ndim != 4 or scores.shape[2:] != hidden.shape[2:]:
            continue
        weights = stages.get(name.replace("scores", "probabilities"))
        is_masked = scores < HIDDEN
        if weights is not None and weights.shape == scores.shape:
            is_masked |= weights == 0
        found[name] = np.where(hidden & is_masked, 0, scores)
    return found


def lowest_left_out(stages: Mapping[str, Array]) -> dict[str, Array]:
    """Return the stages with 0 for each score that no model has but by a mask.

    Without a model nobody knows which are masked; what half precision cannot hold is.
    """
    lowest = np.finfo(np.float16).min
    return {
        name: np.where(x <= lowest, 0, x) if name.endswith(".scores") else x
        for name, x in stages.items()
    }


def _hidden(model: Any, name: str, inputs: Inputs) -> Mask:
    """Return which keys the model hides from a query besides padding, (1 or B, 1, T, T)."""
    length = inputs.mask.shape[1]
    is_causal = part_in(model, part_of(name)).attention.causal
    seen = np.tri(length, dtype=bool)[None] if is_causal else np.ones((1, length, length), bool)
    seen = seen if inputs.allowed is None else seen & inputs.allowed
    return None if seen.all() else ~seen[:, None]
