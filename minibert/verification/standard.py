"""A recording's arrays under minibert's names, whatever they were called."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minibert.checkpoint.files import first_of, visible
from minibert.trace import layer_of, pattern_of
from minibert.verification.names import (
    DECODER_INPUTS,
    FOREIGN_INPUTS,
    INPUTS,
    LAST,
    LISTS,
    OTHERS,
    OUTPUTS_OF_TWO,
    Arrays,
    axes_of,
    bare,
    recognised,
)
from minibert.verification.parts import GRAD, WEIGHT, stack_of


def standard_inputs(inputs: Mapping[str, NDArray[Any]]) -> tuple[Arrays, str]:
    """Return the inputs under the names of a model's arguments, and what was renamed, in words.

    Ids that are whole become integers, whatever their type. A name that nobody knows stays.
    """
    found: Arrays = {}
    names = {name: FOREIGN_INPUTS.get(bare(name), bare(name)) for name in inputs}
    turned = ""
    for given, array in inputs.items():
        name = names[given] = names[given] if names[given] in (*INPUTS, *DECODER_INPUTS) else given
        if "padding_mask" in given and _marks_padding(given, array):
            array, turned = array == 0, " (turned round: it is True at padding)"
        if name.endswith("_ids") and array.dtype.kind == "f" and _is_whole(array):
            array = array.astype(np.int64)
        if name in found and not np.array_equal(found[name], array):
            raise ValueError(f"{given} is the input {name}, which is there too, with other numbers")
        found[name] = array
    return found, in_words(names) + turned


def _is_whole(array: NDArray[Any]) -> bool:
    return bool(((np.rint(array) == array) & (np.abs(array) < 2**53)).all())


def _marks_padding(name: str, mask: NDArray[Any]) -> bool:
    """Tell whether a mask is True at padding, as PyTorch's, or at tokens, as Keras Hub's.

    Where padding is on the right, the first column tells. ValueError where it may be on the left.
    """
    first, last = (
        (mask[..., [0, -1]] != 0).reshape(-1, 2).T if mask.ndim and mask.size else ([], [])
    )
    if "key_padding_mask" in name or not (np.any(first) or np.all(last)):
        return True
    if not np.all(first):
        raise ValueError(
            f"{name} may be 1 at tokens or at padding: pass attention_mask, 1 at tokens"
        )
    return False


class Standard(NamedTuple):
    """The stages of a recording under minibert's names, and how they were read."""

    stages: Arrays
    read_as: str = ""  # names of other libraries, and what they were taken for
    listed: int = 0  # hidden_states that came together, the first taken for the embeddings
    last: str = ""  # the stage for which last_hidden_state was taken


def standard_stages(
    stages: Mapping[str, NDArray[Any]], num_hidden_layers: int | None = None
) -> Standard:
    """Return the stages under minibert's names.

    num_hidden_layers: of the model; ``last_hidden_state`` needs it, unless the same numbers are
    there under a layer's name too. ValueError for unknown names, all of them, and for two names of
    one stage with different numbers.
    """
    back = {x.removeprefix(GRAD): array for x, array in stages.items() if x.startswith(GRAD)}
    if back:
        there = {x: array for x, array in stages.items() if not x.startswith(GRAD)}
        return _with_gradients(standard_stages(there, num_hidden_layers), back, num_hidden_layers)
    names = recognised(stages)
    lists = {names[x]: len(a) for x, a in stages.items() if a.ndim == _list_axes(names[x])}
    parts = [part for x, a in stages.items() if names[x] for part in _unstacked(x, names[x], a)]
    found: Arrays = {}
    last = ""
    for given, name, array in sorted(parts, key=lambda item: item[1].endswith(LAST)):
        stage = _stage_of(name)
        if name.endswith(LAST):
            stage = _last_layer(found, array, num_hidden_layers, stack_of(name))
            last = "" if stack_of(name) else stage
        if stage in found and not np.array_equal(found[stage], array, equal_nan=True):
            raise ValueError(
                f"{given} is the stage {stage}, which is there too, with other numbers"
            )
        found[stage] = array
    listed = lists.get("hidden_states", 0) or _numbered({name: x for _, name, x in parts})
    if {"embeddings", "layer.{i}"} & set(map(pattern_of, names.values())):
        listed = 0  # other names say which state is which
    made, layers = Standard(found, in_words(names), listed, last), num_hidden_layers
    return shifted(made, layers or lists.get("attentions"))


def _with_gradients(made: Standard, back: Arrays, layers: int | None) -> Standard:
    """Return stages with the gradients, of stages by whatever name, and of weights by theirs."""
    weights = {x: array for x, array in back.items() if f"{GRAD}{x}".startswith(WEIGHT)}
    others = standard_stages({x: back[x] for x in back if x not in weights}, layers)
    found = {f"{GRAD}{x}": array for x, array in {**others.stages, **weights}.items()}
    said = dict.fromkeys(filter(None, (made.read_as, others.read_as)))
    return Standard({**made.stages, **found}, "; ".join(said), made.listed)


def _numbered(parts: Mapping[str, NDArray[Any]]) -> int:
    """Return how many hidden_states.{i} there are, if the last of them is said to be the last."""
    count = sum(name.startswith("hidden_states.") for name in parts)
    same = np.array_equal(parts.get(f"hidden_states.{count - 1}", ()), parts.get(LAST, 0))
    return count if same else 0


def shifted(made: Standard, layers: int | None) -> Standard:
    """Return the stages of a model with so many layers: as many hidden_states lack the embeddings.

    ValueError if there are fewer, or more than the layers and the embeddings.
    """
    count = made.listed
    if not (layers and count) or count == layers + 1:
        return made
    if count != layers:
        raise ValueError(
            f"hidden_states has {count} arrays; a model of {layers} layers has {layers + 1}, the "
            f"embeddings first, or {layers} without them"
        )
    names = {f"layer.{i - 1}" if i else "embeddings": f"layer.{i}" for i in range(count)}
    said = f"hidden_states ({count}, as many as layers) as layer.0 to layer.{count - 1}"
    stages: Arrays = {}
    for name, x in made.stages.items():
        if not np.array_equal(stages.setdefault(names.get(name, name), x), x, equal_nan=True):
            raise ValueError(
                f"{LAST} is not the last of {count} hidden_states, but {layers} layers"
            )
    return Standard(stages, "; ".join(filter(None, (made.read_as, said))), last=made.last)


def in_words(names: Mapping[str, str]) -> str:
    """Say which names were read as others; once for all layers."""
    pairs = {}
    for given, name in names.items():
        same = bare(given) == name  # but for a prefix
        pattern = re.sub(r"\d+", "{i}", given) if same else pattern_of(bare(given))
        pairs[given if given == name else pattern] = pattern_of(name)
    own = (*INPUTS, *OTHERS, *LISTS, LAST, "hidden_states.{i}", "attentions.{i}", *OUTPUTS_OF_TWO)
    others = {x: y for x, y in pairs.items() if y not in ("", pattern_of(x))}
    read = [f"{visible(x, 60)} as {y}" for x, y in others.items() if pattern_of(x) not in own]
    left = [visible(x, 60) for x, y in pairs.items() if not y]
    none = f"{', '.join(first_of(left, 4))} left out: no such stage"
    return "; ".join([", ".join(first_of(read, 4))] * bool(read) + [none] * bool(left))


def _unstacked(
    given: str, name: str, array: NDArray[Any]
) -> Iterator[tuple[str, str, NDArray[Any]]]:
    """Yield the given name, the recognised one and the array, lists layer by layer."""
    axes = _list_axes(name)
    if axes is None:
        yield given, name, array
    elif array.ndim == axes:
        yield from ((given, f"{name}.{i}", part) for i, part in enumerate(array))
    else:
        raise ValueError(
            f"{given} has the shape {array.shape}; needed: {axes} axes, the first for the "
            f"layers. A single one is named {name}.0, {name}.1, ..."
        )


def _list_axes(name: str) -> int | None:
    return LISTS.get(name.removeprefix(stack_of(name)))


def _stage_of(name: str) -> str:
    """Return the stage of an output of transformers; a stage's name as it is."""
    stack = stack_of(name)
    kind, _, number = name.removeprefix(stack).partition(".")
    if kind in ("attentions", "cross_attentions"):
        return f"{stack}layer.{number}.{kind.removesuffix('s')}.probabilities"
    if kind == "hidden_states":
        return f"{stack}layer.{int(number) - 1}" if int(number) else f"{stack}embeddings"
    return name


def _last_layer(
    found: Arrays, last: NDArray[Any], num_hidden_layers: int | None, stack: str = ""
) -> str:
    if num_hidden_layers is not None:
        if not axes_of(stage := f"{stack}layer.{num_hidden_layers - 1}"):
            raise ValueError(f"num_hidden_layers is {num_hidden_layers!r}; allowed: 1 and more")
        return stage
    there = (layer_of(name) for name in found if stack_of(name) == stack)
    highest = f"{stack}layer.{max(there, default=0)}"
    if highest in found and np.array_equal(found[highest], last, equal_nan=True):
        return highest
    raise ValueError(
        f"{LAST} is the stage of the last layer, and nothing here says how many layers there are: "
        "say num_hidden_layers=12, for instance, or name the stage layer.11"
    )
