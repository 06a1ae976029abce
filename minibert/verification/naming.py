"""The names in a recording: minibert's, those of transformers' outputs, and near misses.

A name that begins with ``input.`` is an input, one that begins with ``stage.`` a stage; without a
beginning, the names of the model's arguments are inputs and all others stages. What transformers
returns goes by its own names too:

    last_hidden_state               layer.{i} of the last layer
    hidden_states.0                 embeddings
    hidden_states.{i+1}             layer.{i}: hidden_states[i] is what goes into layer i
    hidden_states, one array        the same, along its first axis
    attentions.{i}, or one array    layer.{i}.attention.probabilities
    pooler_output                   pooler
    prediction_logits               logits
    seq_relationship_logits         seq_relationship
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.models.auto import MODELS
from minibert.runtime.arrays import Array
from minibert.trace import NUMBER, layer_of, pattern_of

INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds")
LAST = "last_hidden_state"


def _all_axes() -> dict[str, tuple[str, ...]]:
    """Return every stage of every model, with the axes that it may have: those of a head vary."""
    found: dict[str, tuple[str, ...]] = {}
    for stage in (stage for model in MODELS for stage in model.stages()):
        axes = found.get(stage.name, ())
        found[stage.name] = axes if stage.axes in axes else (*axes, stage.axes)
    return found


AXES = _all_axes()
_OTHERS = {
    "pooler_output": "pooler",
    "prediction_logits": "logits",
    "seq_relationship_logits": "seq_relationship",
}
_LISTS = {"hidden_states": 4, "attentions": 5}  # with so many axes if they are one array


def axes_of(stage: str) -> tuple[str, ...]:
    """Return the axes that a stage may have, one letter each; none if there is no such stage."""
    return AXES.get(pattern_of(stage), ())


def split_names(
    arrays: Mapping[str, NDArray[Any]],
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Tell the inputs of a recording from its stages, both without ``input.`` and ``stage.``."""
    inputs, stages = {}, {}
    for name, array in arrays.items():
        kind, _, rest = name.partition(".")
        if kind == "input" or name in INPUTS:
            inputs[rest or name] = array
        else:
            stages[rest if kind == "stage" and rest else name] = array
    return inputs, stages


def standard_stages(
    stages: Mapping[str, NDArray[Any]], num_hidden_layers: int | None = None
) -> dict[str, NDArray[Any]]:
    """Return the stages under minibert's names.

    num_hidden_layers: of the model; ``last_hidden_state`` needs it, unless the same numbers are
    there under a layer's name too. ValueError for a name that is not known, and for two names that
    mean the same stage and differ.
    """
    found: dict[str, NDArray[Any]] = {}
    for name, array in _unstacked(stages).items():
        if name != LAST:
            _put(found, _standard(name), name, array)
    if LAST in stages:
        _put(found, _last_layer(found, stages[LAST], num_hidden_layers), LAST, stages[LAST])
    return found


def _unstacked(stages: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Take hidden_states and attentions apart where all layers are in one array."""
    parts: dict[str, NDArray[Any]] = {}
    for name, array in stages.items():
        if name in _LISTS:
            if array.ndim != _LISTS[name]:
                raise ValueError(
                    f"{name} has the shape {array.shape}; needed: {_LISTS[name]} axes, the first "
                    f"for the layers. A single one is named {name}.0, {name}.1, ..."
                )
            parts |= {f"{name}.{i}": part for i, part in enumerate(array)}
        else:
            parts[name] = array
    return parts


def _put(found: dict[str, NDArray[Any]], stage: str, name: str, array: NDArray[Any]) -> None:
    if stage in found and not np.array_equal(found[stage], array, equal_nan=True):
        raise ValueError(f"{name} is the stage {stage}, which is there too, with other numbers")
    found[stage] = array


def _standard(name: str) -> str:
    """Return minibert's name of what a recording calls by a name; ValueError if it has none."""
    kind, _, number = name.partition(".")
    if kind in _LISTS and NUMBER.fullmatch(number):
        i = int(number)
        if kind == "attentions":
            return f"layer.{i}.attention.probabilities"
        return f"layer.{i - 1}" if i else "embeddings"
    stage = _OTHERS.get(name, name)
    if not axes_of(stage):
        raise ValueError(_unknown(name))
    return stage


def _unknown(name: str) -> str:
    """Say that there is no such stage, and which may be meant."""
    from difflib import get_close_matches  # few need it, and all would wait for it

    known = [*AXES, LAST, "hidden_states.{i}", "attentions.{i}", *_OTHERS]
    # layer_0 and the like are nearer with dots
    tries = [re.sub(r"\d+", "{i}", form) for form in (name.replace("_", "."), name)]
    near = get_close_matches(tries[0], known, 1, 0.7) or get_close_matches(tries[1], known, 1)
    number = re.search(r"\d+", name)
    meant = near[0].replace("{i}", number[0] if number else "0") if near else ""
    hint = f"did you mean {meant!r}? All " if meant else ""
    return (
        f"there is no stage {name[:80]!r}; {hint}stages have names such as "
        "embeddings, layer.0.attention.scores, layer.0.feed_forward, layer.0, pooler, ..."
    )


def _last_layer(
    found: Mapping[str, NDArray[Any]], last: NDArray[Any], num_hidden_layers: int | None
) -> str:
    """Return the stage that ``last_hidden_state`` is."""
    if num_hidden_layers is not None:
        if not axes_of(stage := f"layer.{num_hidden_layers - 1}"):
            raise ValueError(f"num_hidden_layers is {num_hidden_layers!r}; allowed: 1 and more")
        return stage
    highest = f"layer.{max((layer_of(name) for name in found), default=0)}"
    if highest in found and np.array_equal(found[highest], last, equal_nan=True):
        return highest
    raise ValueError(
        f"{LAST} is the stage of the last layer, and nothing here says how many layers there are: "
        "say num_hidden_layers=12, for instance, or name the stage layer.11"
    )


def returned_stages(fields: Mapping[str, Any], last: str) -> dict[str, Array]:
    """Return the fields of a model's output as stages; ``last`` is that of the last layer."""
    found = {LAST: last, "logits": "logits", **_OTHERS}
    stages = {found[name]: x for name, x in fields.items() if name in found and x is not None}
    if "start_logits" in fields:
        stages["logits"] = np.stack([fields["start_logits"], fields["end_logits"]], axis=-1)
    return stages
