"""The names in a recording: minibert's, those of transformers and of others, and near misses.

A name that begins with ``input.`` is an input, one that begins with ``stage.`` a stage. Of other
names, those of the model's arguments are inputs and the rest stages. Outputs of transformers may
keep their names:

    last_hidden_state               layer.{i} of the last layer
    hidden_states.0                 embeddings
    hidden_states.{i+1}             layer.{i}: hidden_states[i] is what goes into layer i
    hidden_states, one array        the same, along its first axis; without the embeddings, if it
                                    has as many parts as the model has layers
    attentions.{i}, or one array    layer.{i}.attention.probabilities
    pooler_output                   pooler
    prediction_logits               logits
    seq_relationship_logits         seq_relationship

So may the modules that a hook was on (their output is meant), with or without prefixes such as
``bert.``, and what other libraries call their inputs and outputs: FOREIGN and FOREIGN_INPUTS.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minibert.checkpoint.files import first_of
from minibert.models.auto import MODELS
from minibert.models.base import TARGETS
from minibert.runtime.arrays import Array, Mask
from minibert.trace import NUMBER, layer_of, pattern_of
from minibert.verification.compare import real_places
from minibert.verification.parts import GRAD, WEIGHT, stack_of

Arrays: TypeAlias = dict[str, NDArray[Any]]

INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds")
DECODER_INPUTS = ("decoder_input_ids", "decoder_attention_mask", "decoder_inputs_embeds")
LAST = "last_hidden_state"
#: Every stage of every model, with the axes that it may have: those of a head vary.
AXES: dict[str, tuple[str, ...]] = {}
_STAGES = [stage for model in MODELS for stage in model.stages()]
for _stage in _STAGES:
    AXES[_stage.name] = tuple(dict.fromkeys((*AXES.get(_stage.name, ()), _stage.axes)))
OTHERS = {
    "pooler_output": "pooler",
    "prediction_logits": "logits",
    "seq_relationship_logits": "seq_relationship",
}
#: Their axes where all layers are one array; "layer" is hidden_states without the embeddings.
LISTS = {"hidden_states": 4, "attentions": 5, "cross_attentions": 5, "layer": 4}

# ruff: noqa: E501 - a table is read by its columns
# fmt: off
_L, _E = "layer.{i}", "encoder.layer.{i}"
#: What others call a stage or one of the outputs above, "" where there is no such stage. Dots stand
#: for slashes, {i} for a number behind a dot or an underscore; prefixes are left out.
FOREIGN: dict[str, str] = {
    # a module of transformers, by its output
    **{s.module: s.name for s in _STAGES if s.shown == "output" and not stack_of(s.name)},
    "embeddings.word_embeddings": "", "embeddings.position_embeddings": "",
    "embeddings.token_type_embeddings": "", "pooler.dense": "",  # before the tanh
    "embeddings.LayerNorm": "embeddings", "embeddings.dropout": "embeddings",
    f"{_E}.attention.self": f"{_L}.attention.context", f"{_E}.attention.self.dropout": f"{_L}.attention.probabilities",
    f"{_E}.attention": f"{_L}.attention", f"{_E}.attention.output.LayerNorm": f"{_L}.attention",
    f"{_E}.attention.output.dropout": f"{_L}.attention.output",
    f"{_E}.intermediate.intermediate_act_fn": f"{_L}.feed_forward.activation",
    f"{_E}.output.dropout": f"{_L}.feed_forward", f"{_E}.output": _L, f"{_E}.output.LayerNorm": _L,
    "encoder": LAST, "bert": LAST, "dropout": "", "pooler.activation": "pooler", "cls.predictions": "logits", "cls": "logits",
    "cls.predictions.transform.transform_act_fn": "predictions.activation",
    "cls.predictions.transform.LayerNorm": "predictions",
    # torch.nn.TransformerEncoder
    "layers.{i}": _L, "layers.{i}.norm1": f"{_L}.attention", "layers.{i}.norm2": _L,
    "layers.{i}.self_attn": f"{_L}.attention.output", "layers.{i}.self_attn.out_proj": f"{_L}.attention.output",
    "layers.{i}.linear1": f"{_L}.feed_forward.intermediate", "layers.{i}.linear2": f"{_L}.feed_forward",
    # TensorFlow, Keras Hub, sentence-transformers, exported models
    "sequence_output": LAST, "token_embeddings": LAST, "last_hidden_states": LAST,
    "sentence_embedding": "", "pooled_output": "pooler", "pooled_dense": "pooler",
    "embeddings_layer_norm": "embeddings", "embeddings_dropout": "embeddings",
    "transformer_layer.{i}": _L, "token_embedding": "", "position_embedding": "", "segment_embedding": "",
    "encoder_outputs": "layer", "all_encoder_layers": "layer", "encoded_layers": "layer",
    "all_hidden_states": "hidden_states", "all_layer_embeddings": "hidden_states", "all_attentions": "attentions",
    "hidden_state.{i}": "hidden_states.{i}", "attention.{i}": "attentions.{i}",
    **OTHERS,
}
#: The same of a model of two stacks, whose own names are those of the modules of others.
OUTPUTS_OF_TWO: dict[str, str] = {
    "encoder_last_hidden_state": f"encoder.{LAST}",
    "cross_attentions": "decoder.cross_attentions",
    **{f"{side}_{x}": f"{side}.{x}" for side in ("encoder", "decoder") for x in ("hidden_states", "attentions")},
}
OUTPUTS_OF_TWO |= {f"{name}.{{i}}": f"{x}.{{i}}" for name, x in OUTPUTS_OF_TWO.items() if x[-1] == "s"}
OF_TWO: dict[str, str] = {
    **{s.module: s.name for s in _STAGES if s.shown == "output" and stack_of(s.name)},
    **{s.name: s.name for s in _STAGES if stack_of(s.name)},
    LAST: f"decoder.{LAST}",
    **OUTPUTS_OF_TWO,
}
# fmt: on
FOREIGN_INPUTS = {
    **dict.fromkeys(("token_ids", "input_word_ids", "ids"), "input_ids"),
    **dict.fromkeys(("padding_mask", "input_mask", "mask"), "attention_mask"),
    **dict.fromkeys(("segment_ids", "input_type_ids", "type_ids", "token_types"), "token_type_ids"),
    "positions": "position_ids",
    # of PyTorch: True where there is padding
    **dict.fromkeys(("key_padding_mask", "src_key_padding_mask"), "attention_mask"),
}
_PREFIX = re.compile(
    r"((module|_orig_mod|model|base_model|auto_model|(tf_)?bert(_\w+)?|0)\.)+(?=.)"
)


def axes_of(stage: str) -> tuple[str, ...]:
    """Return the axes that a stage may have, one letter each; none if there is no such stage.

    A gradient has those of its stage; that of a weight has outputs and inputs, and no sequences.
    """
    if stage.startswith(WEIGHT):
        return "O", "OI"
    return AXES.get(pattern_of(stage.removeprefix(GRAD)), ())


def axes_in(stage: str, array: Array) -> str:
    """Return the axes of a recorded stage; of an unknown one, by the number of dimensions."""
    known = (axes for axes in axes_of(stage) if len(axes) == array.ndim)
    return next(known, {2: "BC", 4: "BHTT"}.get(array.ndim, "BTC"))


def places(
    stage: str, array: Array, real: NDArray[np.bool_], source: Mask = None
) -> NDArray[np.bool_]:
    """Return the mask, of the array's shape, that is True at the real tokens of a stage."""
    return np.broadcast_to(real_places(axes_in(stage, array), real, source), array.shape)


def split_names(arrays: Mapping[str, NDArray[Any]]) -> tuple[Arrays, Arrays]:
    """Return the inputs and the stages of a recording, without ``input.`` and ``stage.``."""
    inputs, stages = {}, {}
    for name, array in arrays.items():
        kind, _, rest = name.partition(".")
        known = (*INPUTS, *DECODER_INPUTS, *FOREIGN_INPUTS, *TARGETS)
        if kind == "input" or name in known or bare(name) in known:
            inputs[rest if kind == "input" and rest else name] = array
        else:
            stages[rest if kind == "stage" and rest else name] = array
    return inputs, stages


def bare(name: str) -> str:
    """Return a name with dots, without prefixes and what graphs add: layer_3 is layer.3."""
    plain = re.sub(r"(\.__call__(\.0)?|:0)$", "", name.replace("/", ".").replace("_._", "."))
    numbered = re.sub(r"[_.\[](\d+)\]?(?=[._]|$)", r".\1", plain)
    return _PREFIX.sub("", numbered, count=1) if _PREFIX.match(numbered) else numbered


def recognised(names: Iterable[str]) -> dict[str, str]:
    """Return what each name stands for: a stage or an output of transformers; "" for none.

    ValueError with all the names that nobody knows.
    """
    plain = {name: bare(name) for name in names}
    if any(map(_is_of_two, plain.values())):
        return _of_two(plain)
    prefix = "encoder." if _are_of_encoder(list(plain.values())) else ""
    found, unknown = {}, []
    for name, other in plain.items():
        meant = [_meaning(form) for form in (prefix + other, name, other)]
        if meant == [None] * 3:
            unknown.append(name)
        found[name] = next((meaning for meaning in meant if meaning is not None), "")
    if unknown:
        raise ValueError(_unknown(unknown))
    return found


def _is_of_two(name: str) -> bool:
    """Tell whether a name is of a model of two stacks, and of no other."""
    pattern = pattern_of(name)
    return (
        pattern != LAST
        and pattern in OF_TWO
        and (
            stack_of(name) == "decoder."
            or (pattern not in FOREIGN and not pattern.startswith("encoder.layers."))
        )
    )


def _of_two(plain: Mapping[str, str]) -> dict[str, str]:
    """Return what each name of a model of two stacks stands for."""
    found, unknown = {}, []
    for name, other in plain.items():
        meant = OF_TWO.get(pattern_of(other), OTHERS.get(other, other if axes_of(other) else None))
        if meant is None:
            unknown.append(name)
            continue
        found[name] = meant.replace("{i}", str(layer_of(other)))
    if unknown:
        raise ValueError(_unknown(unknown))
    return found


def _are_of_encoder(names: list[str]) -> bool:
    """Tell whether names are of an encoder's own modules: layer.0.attention.output may be both."""
    inside = [name for name in names if name.startswith("layer.")]
    modules = [name for name in inside if pattern_of(f"encoder.{name}") in FOREIGN]
    return modules == inside and not all(map(axes_of, modules))


def _meaning(name: str) -> str | None:
    """Return what a name stands for: a stage or an output of transformers; None if unknown."""
    kind, _, number = name.partition(".")
    if (axes_of(name) and not stack_of(name)) or name in (LAST, *LISTS):
        return name
    if kind in ("hidden_states", "attentions") and NUMBER.fullmatch(number):
        return name
    pattern = pattern_of(name)
    found = FOREIGN.get(pattern, FOREIGN.get(pattern.removeprefix("encoder.")))
    return found and found.replace("{i}", str(layer_of(name)))


def _unknown(names: list[str]) -> str:
    """Say that there are no such stages, and which may be meant."""
    near = {name: _nearest(name) for name in names}
    such = "stages have names such as embeddings, layer.0.attention.scores, layer.0, pooler"
    if len(names) == 1:
        ((name, meant),) = near.items()
        hint = f"did you mean {meant!r}? All " if meant else ""
        return f"there is no stage {name[:80]!r}; {hint}{such}"
    found = [f"{x[:60]!r}{f' (did you mean {y!r}?)' if y else ''}" for x, y in near.items()]
    return f"there are no stages {', '.join(first_of(found, 5))}; {such}"


def _nearest(name: str) -> str:
    from difflib import get_close_matches  # few need it, and all would wait for it

    stack = "" if name.startswith("encoder.layer.") else stack_of(name)  # BERT's modules, rather
    stages = [x for x in AXES if stack_of(x) == stack]
    known = [*stages, LAST, "hidden_states.{i}", "attentions.{i}", *OTHERS]
    plain = re.sub(r"\d+", "{i}", bare(name))
    near = get_close_matches(plain, known, 1, 0.7)
    number = re.search(r"\d+", name)
    return near[0].replace("{i}", str(int(number[0])) if number else "0") if near else ""


def returned_stages(fields: Mapping[str, Any], last: str) -> dict[str, Array]:
    """Return the fields of a model's output as stages; ``last`` is that of the last layer."""
    found = {LAST: last, "logits": "logits", **OTHERS}
    stages = {found[name]: x for name, x in fields.items() if name in found and x is not None}
    if "start_logits" in fields:
        stages["logits"] = np.stack([fields["start_logits"], fields["end_logits"]], axis=-1)
    return stages
