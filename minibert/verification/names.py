"""The names in a recording: minibert's, those of transformers' outputs, and near misses.

A name that begins with ``input.`` is an input, one that begins with ``stage.`` a stage. Of other
names, those of the model's arguments are inputs and the rest stages. Outputs of transformers may
keep their names:

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
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minibert.models.auto import MODELS
from minibert.runtime.arrays import Array
from minibert.trace import NUMBER, layer_of, pattern_of
from minibert.verification.compare import real_places

Arrays: TypeAlias = dict[str, NDArray[Any]]

INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds")
LAST = "last_hidden_state"
#: Every stage of every model, with the axes that it may have: those of a head vary.
AXES: dict[str, tuple[str, ...]] = {}
for _stage in (stage for model in MODELS for stage in model.stages()):
    AXES[_stage.name] = tuple(dict.fromkeys((*AXES.get(_stage.name, ()), _stage.axes)))
_OTHERS = {
    "pooler_output": "pooler",
    "prediction_logits": "logits",
    "seq_relationship_logits": "seq_relationship",
}
_LISTS = {"hidden_states": 4, "attentions": 5}  # their axes where all layers are one array


def axes_of(stage: str) -> tuple[str, ...]:
    """Return the axes that a stage may have, one letter each; none if there is no such stage."""
    return AXES.get(pattern_of(stage), ())


def axes_in(stage: str, array: Array) -> str:
    """Return the axes of a recorded stage; of an unknown one, by the number of dimensions."""
    known = (axes for axes in axes_of(stage) if len(axes) == array.ndim)
    return next(known, {2: "BC", 4: "BHTT"}.get(array.ndim, "BTC"))


def places(stage: str, array: Array, real: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask, of the array's shape, that is True at the real tokens of a stage."""
    return np.broadcast_to(real_places(axes_in(stage, array), real), array.shape)


def split_names(arrays: Mapping[str, NDArray[Any]]) -> tuple[Arrays, Arrays]:
    """Return the inputs and the stages of a recording, without ``input.`` and ``stage.``."""
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
) -> Arrays:
    """Return the stages under minibert's names.

    num_hidden_layers: of the model; ``last_hidden_state`` needs it, unless the same numbers are
    there under a layer's name too. ValueError for an unknown name, and for two names of one stage
    with different numbers.
    """
    found: Arrays = {}
    for name, array in sorted(_unstacked(stages), key=lambda item: item[0] == LAST):
        stage = _last_layer(found, array, num_hidden_layers) if name == LAST else _standard(name)
        if stage in found and not np.array_equal(found[stage], array, equal_nan=True):
            raise ValueError(f"{name} is the stage {stage}, which is there too, with other numbers")
        found[stage] = array
    return found


def _unstacked(stages: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield names and arrays, hidden_states and attentions layer by layer."""
    for name, array in stages.items():
        axes = _LISTS.get(name)
        if axes not in (None, array.ndim):
            raise ValueError(
                f"{name} has the shape {array.shape}; needed: {axes} axes, the first for the "
                f"layers. A single one is named {name}.0, {name}.1, ..."
            )
        if axes is None:
            yield name, array
        else:
            yield from ((f"{name}.{i}", part) for i, part in enumerate(array))


def _standard(name: str) -> str:
    """Return minibert's name for a name in a recording; ValueError if there is none."""
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
    dotted, plain = (re.sub(r"\d+", "{i}", form) for form in (name.replace("_", "."), name))
    near = get_close_matches(dotted, known, 1, 0.7) or get_close_matches(plain, known, 1)
    number = re.search(r"\d+", name)
    meant = near[0].replace("{i}", number[0] if number else "0") if near else ""
    return (
        f"there is no stage {name[:80]!r}; {f'did you mean {meant!r}? All ' if meant else ''}"
        "stages have names such as embeddings, layer.0.attention.scores, layer.0, pooler"
    )


def _last_layer(found: Arrays, last: NDArray[Any], num_hidden_layers: int | None) -> str:
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
