"""Whether the arrays of a recording fit each other; and if not, how to turn them."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from minibert import arguments
from minibert.models.base import TARGETS
from minibert.verification.compare import Masks
from minibert.verification.names import DECODER_INPUTS, INPUTS, Arrays, axes_of
from minibert.verification.parts import WEIGHT, stack_of

Sizes = dict[str, tuple[int, str]]  # of each axis by letter, and who says so
_AXES = {
    "B": "sequences",
    "T": "tokens",
    "S": "tokens of the source",
    "C": "hidden size",
    "H": "heads",
    "L": "labels",
}
_AXES |= {"F": "size of the feed-forward", "V": "words of the vocabulary"}


def words_of(inputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Return what the others of the inputs must fit: input_ids, or else inputs_embeds."""
    return inputs["input_ids" if "input_ids" in inputs else "inputs_embeds"]


def masks_of(inputs: Mapping[str, NDArray[Any]]) -> Masks:
    """Return where tokens are real: a decoder's, and those of what its encoder read."""
    mask, _ = arguments.mask(inputs.get("attention_mask"), words_of(inputs).shape[:2])
    decoder = of_decoder(inputs)
    return (masks_of(decoder)[0], mask) if decoder else (mask, None)


def of_decoder(inputs: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return the inputs of a decoder, by the names that a single stack has for them."""
    return {x.removeprefix("decoder_"): inputs[x] for x in DECODER_INPUTS if x in inputs}


def check_inputs(inputs: Mapping[str, NDArray[Any]]) -> None:
    """Raise ValueError or TypeError if these are no inputs of a model, or of different shapes."""
    known = (*INPUTS, *DECODER_INPUTS, *TARGETS)
    if not set(inputs) <= set(known) or not {"input_ids", "inputs_embeds"} & set(inputs):
        raise ValueError(
            f"the inputs of a recording are {sorted(inputs)}; allowed: {', '.join(known)}, "
            "with input_ids or inputs_embeds among them"
        )
    inputs = {name: x for name, x in inputs.items() if name not in TARGETS}  # a head checks these
    inputs = _without_decoder(inputs)
    words = words_of(inputs)
    for name, array in inputs.items():
        axes = 3 if name == "inputs_embeds" else 2
        alike = array.ndim == axes and array.shape[:2] == words.shape[:2]
        if name == "position_ids":  # may do for all sequences
            alike = array.ndim in (1, 2) and array.shape[-1:] == words.shape[1:2]
        if name == "attention_mask" and array.ndim > 2:  # of queries and keys
            arguments.mask(array, words.shape[:2])
            continue
        if not alike or array.size == 0:
            needed = "(sequences, tokens, hidden size)" if axes == 3 else "(sequences, tokens)"
            others = f", as in the others: {words.shape[:2]}" if array is not words else ""
            one = f"; a single sequence is {name}[None]" if array.ndim == axes - 1 else ""
            raise ValueError(f"{name} has the shape {array.shape}; needed: {needed}{others}{one}")
        if name.endswith("_ids") and array.dtype.kind not in "iu":
            raise TypeError(f"{name} holds {array.dtype}; needed: whole numbers")


def _without_decoder(inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
    """Check the inputs of a decoder, if there are any, and return the others."""
    decoder = of_decoder(inputs)
    if not decoder:
        return inputs
    try:
        check_inputs(decoder)
    except (TypeError, ValueError) as error:
        raise type(error)(f"of the decoder's inputs, {error}") from None
    read, written = len(words_of(inputs)), len(words_of(decoder))
    if read != written:
        counts = f"{read} sequences for the encoder, {written} for the decoder"
        raise ValueError(f"the inputs have {counts}; they must be as many")
    return {name: x for name, x in inputs.items() if name not in DECODER_INPUTS}


def check_stages(stages: Arrays, inputs: Arrays) -> None:
    """Raise ValueError or TypeError if a stage does not fit the inputs, or another stage.

    Sequences and tokens are known from the inputs; all other sizes must be the same in all stages.
    """
    sizes = _sizes_of(inputs, stages)
    for name, array in stages.items():
        if array.dtype.kind != "f" or array.dtype.itemsize > 8:
            kinds = "float64, float32 or float16"
            raise TypeError(f"stage {name} holds {array.dtype}; needed: {kinds}")
        if name.startswith(WEIGHT):  # whose shape the model knows
            continue
        axes = next((axes for axes in axes_of(name) if _fits(name, axes, array, sizes)), None)
        if axes is None:
            raise ValueError(f"{_misfit(name, array, sizes)}{way_out(array.shape, inputs, name)}")
        for axis, size in zip(_own(axes, name), array.shape, strict=True):
            sizes.setdefault(axis, (size, f"stage {name}"))


def _sizes_of(inputs: Arrays, stages: Arrays) -> Sizes:
    """Return the sizes that the inputs tell. ValueError for a decoder's stages without inputs."""
    decoder = of_decoder(inputs)
    if not decoder and (two := [name for name in stages if stack_of(name)]):
        raise ValueError(
            f"stage {two[0]} is of a model with an encoder and a decoder, and there are no "
            "decoder_input_ids among the inputs: record what the decoder read, too"
        )
    shapes = (("BSC", inputs), ("BTC", decoder)) if decoder else (("BTC", inputs),)
    said = {axes: words_of(given).shape for axes, given in shapes}
    pairs = (pair for axes, shape in said.items() for pair in zip(axes, shape, strict=False))
    return {axis: (n, "the inputs") for axis, n in pairs}


def _own(axes: str, name: str) -> list[str]:
    """Return the axes of a stage; heads and the feed-forward are a stack's own."""
    return [f"{stack_of(name)}{a}" if a in "HF" else a for a in axes]


def _fits(name: str, axes: str, array: NDArray[Any], sizes: Sizes) -> bool:
    pairs = zip(_own(axes, name), array.shape, strict=False)
    return len(axes) == array.ndim and all(sizes.get(a, (n,))[0] == n for a, n in pairs)


def _misfit(name: str, array: NDArray[Any], sizes: Sizes) -> str:
    """Say what shape was needed, what its letters mean, and who says how much they are."""
    allowed = axes_of(name)
    axes = next((axes for axes in allowed if len(axes) == array.ndim), allowed[0])
    known = {axis: f" ({size} in {who})" for axis, (size, who) in sizes.items()}
    letters = dict.fromkeys(zip(axes, _own(axes, name), strict=True))
    meaning = ", ".join(f"{a} {_AXES[a]}{known.get(own, '')}" for a, own in letters)
    return f"stage {name} has the shape {array.shape}; needed: ({', '.join(axes)}): {meaning}"


def way_out(shape: tuple[int, ...], inputs: Arrays, name: str) -> str:
    """Say how to turn an array of that shape into the stage, if it seems to hold all of it.

    Tokens first cannot be told from sequences first where there are as many of both.
    """
    axes = next((axes for axes in axes_of(name) if len(axes) == len(shape)), axes_of(name)[0])
    if "S" in axes or of_decoder(inputs):
        return ""
    b, t = words_of(inputs).shape[:2]
    inner = shape[1:]
    fits = len(inner) == len(axes) and inner[0] == b and (axes[1] != "T" or inner[1] == t)
    if shape[:1] == (1,) and fits:
        return "; leave out the first axis: x[0]"
    if axes == "BHTT":
        return _of_scores(shape, b, t)
    if axes[:2] != "BT":
        return "; leave out the axis of length 1: x[:, 0]" if shape[:2] == (b, 1) else ""
    real = arguments.mask(inputs.get("attention_mask"), (b, t))[0]
    return _of_heads(shape, b, t) or _of_tokens(shape, b, t, int(real.sum()))


def _of_scores(shape: tuple[int, ...], b: int, t: int) -> str:
    if shape[-2:] == (t, t) and len(shape) < 4 and shape[0] % b == 0:
        return f"; heads and sequences are one axis: x.reshape({b}, -1, {t}, {t})"
    if shape[1:] == (b, t, t):
        return "; heads come first: swap axes 0 and 1"
    return "; swap axes 1 and 2" if len(shape) == 4 and (*shape[:2], shape[3]) == (b, t, t) else ""


def _of_heads(shape: tuple[int, ...], b: int, t: int) -> str:
    to_rows = f"reshape({b}, {t}, -1)"
    match shape:
        case n, length, _ if length == t and n > b and n % b == 0 and (n, length) != (t, b):
            heads = f"x.reshape({b}, -1, {t}, {shape[2]}).transpose(0, 2, 1, 3).{to_rows}"
            return f"; sequences and heads are one axis: {heads}"
        case n, length, _, _ if (n, length) == (b, t):
            return f"; put the heads side by side again: x.{to_rows}"
        case n, _, length, _ if (n, length) == (b, t):
            return f"; put the heads side by side again: x.transpose(0, 2, 1, 3).{to_rows}"
    return ""


def _of_tokens(shape: tuple[int, ...], b: int, t: int, real: int) -> str:
    rows = shape[1:] if shape[:1] == (1,) and len(shape) == 3 else shape
    if len(shape) == 3 and shape[:2] == (t, b):
        return "; tokens come first: swap axes 0 and 1"
    if len(shape) == 3 and (shape[0], shape[2]) == (b, t):
        return "; tokens come last: swap axes 1 and 2"
    if len(rows) == 2 and rows[0] == b * t:
        return f"; all tokens are one axis: x.reshape({b}, {t}, -1)"
    if len(rows) == 2 and rows[0] == real:
        whole = f"y = np.zeros(({b}, {t}, {rows[1]})); y[attention_mask == 1] = x"
        return f"; padding is left out, put it back: {whole}{'[0]' * (rows is not shape)}"
    return ""
