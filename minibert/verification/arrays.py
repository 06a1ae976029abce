"""From what any program has in hand to the arrays of a recording, checked against each other."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.runtime.arrays import number_array
from minibert.verification.naming import INPUTS, axes_of

_LEGEND = {
    "B": "sequences",
    "T": "tokens",
    "C": "hidden size",
    "H": "heads",
    "F": "size of the feed-forward",
    "V": "words of the vocabulary",
    "L": "labels",
}


def own_array(name: str, value: Any) -> NDArray[Any]:
    """Return a copy of a list, a NumPy array, a torch tensor or what else has ``__array__``.

    The dtype is kept. TypeError or ValueError in a sentence if it is none of these.
    """
    if isinstance(value, list | tuple) and any(hasattr(item, "detach") for item in value):
        value = [own_array(name, item) for item in value]  # of all layers, say
    for step in ("detach", "cpu"):  # what a torch tensor needs before NumPy may read it
        if callable(part := getattr(value, step, None)):
            value = part()
    if "bfloat16" in str(getattr(value, "dtype", "")):
        raise TypeError(f"{name} is bfloat16, which NumPy lacks; pass it as float32: x.float()")
    return np.array(number_array(name, value))


def check_inputs(inputs: Mapping[str, NDArray[Any]]) -> None:
    """Raise ValueError or TypeError if these are no inputs of a model, or of different shapes."""
    unknown = set(inputs) - set(INPUTS)
    words = inputs.get("input_ids", inputs.get("inputs_embeds"))
    if unknown or words is None:
        raise ValueError(
            f"the inputs of a recording are {sorted(inputs)}; allowed: {', '.join(INPUTS)}, "
            "with input_ids or inputs_embeds among them"
        )
    for name, array in inputs.items():
        axes = 3 if name == "inputs_embeds" else 2
        alike = array.ndim == axes and array.shape[:2] == words.shape[:2]
        if name == "position_ids":  # may do for all sequences
            alike = array.ndim in (1, 2) and array.shape[-1:] == words.shape[1:2]
        if not alike or array.size == 0:
            needed = "(sequences, tokens, hidden size)" if axes == 3 else "(sequences, tokens)"
            others = f", as in the others: {words.shape[:2]}" if array is not words else ""
            raise ValueError(f"{name} has the shape {array.shape}; needed: {needed}{others}")
        if name.endswith("_ids") and array.dtype.kind not in "iu":
            raise TypeError(f"{name} holds {array.dtype}; needed: whole numbers")


def check_stages(stages: Mapping[str, NDArray[Any]], inputs: Mapping[str, NDArray[Any]]) -> None:
    """Raise ValueError or TypeError if a stage does not fit the inputs, or another stage.

    Sequences and tokens are known from the inputs; all other sizes must be the same in all stages.
    """
    words = inputs["input_ids" if "input_ids" in inputs else "inputs_embeds"]
    sizes = dict(zip("BTC", words.shape, strict=False))
    said_by = dict.fromkeys(sizes, "the inputs")
    for name, array in stages.items():
        if array.dtype.kind != "f" or array.dtype.itemsize > 8:
            raise TypeError(
                f"stage {name} holds {array.dtype}; needed: float64, float32 or float16"
            )
        axes = next((axes for axes in axes_of(name) if _fits(axes, array, sizes)), None)
        if axes is None:
            raise ValueError(_misfit(name, array, sizes, said_by))
        for letter, size in zip(axes, array.shape, strict=True):
            sizes.setdefault(letter, size)
            said_by.setdefault(letter, f"stage {name}")


def _fits(axes: str, array: NDArray[Any], sizes: Mapping[str, int]) -> bool:
    if len(axes) != array.ndim:
        return False
    known = zip(axes, array.shape, strict=True)
    return all(sizes.get(letter, size) == size for letter, size in known)


def _misfit(
    name: str, array: NDArray[Any], sizes: Mapping[str, int], said_by: Mapping[str, str]
) -> str:
    """Say what shape was needed, what its letters mean, and who says how much they are."""
    axes = next((a for a in axes_of(name) if len(a) == array.ndim), axes_of(name)[0])
    letters = dict.fromkeys(axes)
    meaning = ", ".join(
        f"{letter} {_LEGEND[letter]}"
        + (f" ({sizes[letter]} in {said_by[letter]})" if letter in sizes else "")
        for letter in letters
    )
    heads = "; put the heads side by side again" if (array.ndim, axes) == (4, "BTC") else ""
    return (
        f"stage {name} has the shape {array.shape}; needed: ({', '.join(axes)}): {meaning}{heads}"
    )
