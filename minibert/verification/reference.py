"""The reference file: what another implementation computed, stage by stage, and where it is from.

A safetensors file. Tensors: ``input.NAME`` for each argument of the model's call, ``stage.NAME``
for each recorded stage (names and axes as in models/bert.py's STAGES). Metadata, all text:

    format, version      "minibert-reference", "1"
    tools                names and versions of what recorded it
    dtype, attention     of the recording; "float64", "eager"
    checkpoint           its name
    checkpoint_sha256    of its weight files, one after the other
    float32_errors       JSON, stage -> [root mean square, maximum]: how far the recording tools'
                         own float32 run lies from their float64 run (where both were made)

Other recordings are read, too: .npz, safetensors without these metadata, and dicts of tensors that
torch.save wrote. names.py has the names that they may use.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.checkpoint.files import visible
from minibert.checkpoint.tensors import in_order
from minibert.checkpoint.writing import write_whole
from minibert.runtime.arrays import Array, number_array
from minibert.runtime.spelling import Spelled, a_kind
from minibert.verification.compare import Masks
from minibert.verification.names import Arrays, split_names
from minibert.verification.recordings import is_bfloat16, read_recording, widened
from minibert.verification.shapes import check_inputs, check_stages, masks_of
from minibert.verification.standard import Standard, shifted, standard_inputs, standard_stages

FORMAT, VERSION = "minibert-reference", "1"
CACHES = ("past_key_values", "cache")  # of an output of transformers: no stages
FILLED = ("attention_mask", "token_type_ids")  # inputs that a call may do without
TENSOR = ("__array__", "numpy", "detach", "data")  # one of them says that something is a tensor


@dataclass(frozen=True, eq=False)
class Reference(Spelled):
    """Inputs, the stages that they led to, and the provenance of both."""

    inputs: Arrays
    stages: dict[str, Array]
    provenance: dict[str, str] = field(default_factory=dict)
    listed: int = 0  # hidden_states that came together, the first taken for the embeddings
    last: str = ""  # the stage for which last_hidden_state was taken

    def __post_init__(self) -> None:
        check_inputs(self.inputs)
        if not self.stages:
            raise ValueError("a reference without stages: there is nothing to compare")
        if not self.real_tokens().any():
            raise ValueError("the reference's attention_mask has no real token")

    def real_tokens(self) -> NDArray[np.bool_]:
        """Return the mask, (B, T), True at the real tokens."""
        return self.masks[0]

    @property
    def masks(self) -> Masks:
        """Where tokens are real: (B, T), and (B, S) of what an encoder read for a decoder."""
        return masks_of(self.inputs)

    @classmethod
    def from_arrays(
        cls,
        stages: Mapping[str, Any],
        inputs: Mapping[str, Any],
        provenance: Mapping[str, str] | None = None,
        num_hidden_layers: int | None = None,
    ) -> "Reference":
        """Make a recording of what any program computed.

        stages: from names to arrays; any may be absent. Names as in models/bert.py,
        ``layer.0.attention.scores``, or as other libraries name their outputs and modules
        (names.py). Arrays are lists, NumPy's, or the tensors of any library; they are copied, the
        dtype kept, but bfloat16 widened. B sequences of T tokens: (B, T, C), scores and
        probabilities (B, H, T, T), the pooler (B, C).
        inputs: the arguments of the model's call by name, input_ids (B, T) among them; or as other
        libraries name them.
        provenance: text by name, as in the file: tools="my engine 0.1", checkpoint=..., and so on.
        num_hidden_layers: for ``last_hidden_state``, if nothing else says which layer is the last.

        TypeError or ValueError for an unknown name (with the nearest known one), for what is no
        array, and for a shape that does not fit the inputs or another stage.
        """
        # transformers has None or () in a field that it was not asked for
        asked = {k: v for k, v in stages.items() if not isinstance(v, tuple | None) or v}
        asked = {k: v for k, v in asked.items() if k not in CACHES}
        given = {name: own_array(name, value) for name, value in inputs.items()}
        among, bare = split_names({k: own_array(f"stage {k}", v) for k, v in asked.items()})
        if misplaced := [k for k, x in among.items() if not np.array_equal(x, given.get(k, ()))]:
            raise ValueError(f"{', '.join(misplaced)} among the stages: they belong to the inputs")
        for name, text in (provenance or {}).items():
            if not isinstance(text, str):
                raise TypeError(f"provenance[{name!r}] is {a_kind(text)}; needed: a text")
            if name in ("format", "version", "listed", "last"):
                raise ValueError(f"provenance[{name!r}] is the file's own; choose another name")
        recorded = [x for name, x in asked.items() if name not in among]
        half = {"dtype": "bfloat16"} if recorded and all(map(_is_half, recorded)) else {}
        return cls._checked(given, bare, {**half, **(provenance or {})}, num_hidden_layers)

    @classmethod
    def _checked(
        cls, inputs: Arrays, stages: Arrays, provenance: Mapping[str, str], layers: int | None
    ) -> "Reference":
        inputs, read_as = standard_inputs(inputs)
        check_inputs(inputs)
        standard = standard_stages(stages, layers)
        check_stages(standard.stages, inputs)
        dtypes = {str(array.dtype) for array in standard.stages.values()}
        found = {"dtype": dtypes.pop()} if len(dtypes) == 1 else {}
        said = {"read_as": "; ".join(filter(None, (read_as, standard.read_as)))}
        said["lacking"] = ", ".join(name for name in FILLED if name not in inputs)
        known = {name: text for name, text in said.items() if text}
        facts = {**found, **known, **provenance}
        return cls(inputs, standard.stages, facts, standard.listed, standard.last)

    def with_last(self, stage: str) -> "Reference":
        """Return the recording with last_hidden_state as another stage, if it has it at all.

        That is not the state of the last layer where a norm comes after.
        """
        if not self.last or not stage or stage in self.stages:
            return self
        stages = {stage if name == self.last else name: x for name, x in self.stages.items()}
        return Reference(self.inputs, stages, self.provenance, self.listed)

    def of_layers(self, count: int | None) -> "Reference":
        """Return the recording as that of a model with so many layers; None: as it is.

        As many hidden_states lack the embeddings, and are the layers. ValueError for fewer.
        """
        read_as = self.provenance.get("read_as", "")
        made = shifted(Standard(self.stages, read_as, self.listed, self.last), count)
        if made.stages is self.stages:
            return self
        facts = {**self.provenance, "read_as": made.read_as}
        return Reference(self.inputs, made.stages, facts, last=self.last)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], num_hidden_layers: int | None = None
    ) -> "Reference":
        """Read a recording: a reference file, .npz, plain safetensors, or a dict by torch.save.

        num_hidden_layers: as in ``from_arrays``. OSError if no file is there; ValueError or
        TypeError in a sentence if it is no recording.
        """
        arrays, metadata = read_recording(Path(path))
        try:
            if metadata.pop("format", None) != FORMAT:
                return cls._checked(*split_names(arrays), metadata, num_hidden_layers)
            if (version := metadata.pop("version", None)) != VERSION:
                raise ValueError(f"it has version {version}; this minibert reads {VERSION}")
            _check_own_form(arrays)
            listed = metadata.pop("listed", "")
            count = int(listed) if listed.isdecimal() and len(listed) < 6 else 0
            last = metadata.pop("last", "")
            found = cls(*split_names(arrays), metadata, count, last)
            return found.of_layers(num_hidden_layers)
        except (ValueError, TypeError) as error:
            raise type(error)(f"{str(path)!r}: {visible(error, 600)}") from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, whole or not at all."""
        from safetensors.numpy import save

        tensors = {f"input.{name}": array for name, array in self.inputs.items()}
        tensors |= {f"stage.{name}": array for name, array in self.stages.items()}
        # the library would write an array that is not in C order as garbage
        whole = {name: in_order(array) for name, array in tensors.items()}
        metadata = {**self.provenance, "format": FORMAT, "version": VERSION}
        metadata |= {"listed": str(self.listed)} if self.listed else {}
        metadata |= {"last": self.last} if self.last else {}
        write_whole(Path(path), save(whole, metadata=metadata))


def _check_own_form(arrays: Arrays) -> None:
    for name, array in arrays.items():
        kind, _, _ = name.partition(".")
        if kind not in ("input", "stage"):
            raise ValueError(f"tensor {name!r} is neither input.* nor stage.*")
        if kind == "stage" and array.dtype.kind != "f":
            raise ValueError(f"tensor {name!r} holds {array.dtype}; a stage is of a floating type")


def own_array(name: str, value: Any) -> NDArray[Any]:
    """Return a copy of a list, an array, a tensor, or a list of these of all layers.

    Whatever has ``__array__``, ``numpy()`` or an array as its ``data`` is a tensor. The dtype is
    kept, but for bfloat16, which becomes float32. TypeError or ValueError if it is none of these.
    """
    if isinstance(value, list | tuple) and any(map(_is_tensor, value)):
        value = [own_array(name, item) for item in value]  # of all layers, say
    for step in ("detach", "cpu"):  # what a torch tensor needs before NumPy may read it
        if callable(part := getattr(value, step, None)):
            value = part()
    if "bfloat16" in str(getattr(value, "dtype", "")) and not isinstance(value, np.ndarray):
        value = _without_bfloat16(name, value)
    if not hasattr(value, "__array__"):
        if callable(part := getattr(value, "numpy", None)):
            value = part()
        elif isinstance(part := getattr(value, "data", None), np.ndarray):
            value = part
    if isinstance(value, np.ndarray) and is_bfloat16(value):
        return widened(value)
    return np.array(number_array(name, value))


def _is_tensor(value: object) -> bool:
    kinds = (str, bytes, int, float, list, tuple, np.generic)
    return not isinstance(value, kinds) and any(map(partial(hasattr, value), TENSOR))


def _is_half(value: Any) -> bool:
    first = value[0] if isinstance(value, list | tuple) and value else value
    is_array = isinstance(first, np.ndarray) and is_bfloat16(first)
    return is_array or "bfloat16" in str(getattr(first, "dtype", ""))


def _without_bfloat16(name: str, value: Any) -> Any:
    """Return the array of a tensor of bfloat16; of torch, in float32."""
    if callable(part := getattr(value, "float", None)):
        return part()
    with suppress(TypeError, ValueError, RuntimeError):
        array = np.asarray(value)
        if is_bfloat16(array):
            return array
    how = "x.float()" if "torch" in str(value.dtype) else "x.astype('float32'), for instance"
    raise TypeError(f"{name} is bfloat16, which NumPy lacks; pass it as float32: {how}")
