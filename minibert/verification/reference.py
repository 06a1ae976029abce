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

Recordings of other programs are read, too: .npz, safetensors without these metadata, and dicts of
tensors that torch.save wrote. Their names are those of naming.py.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.checkpoint.files import write_whole
from minibert.runtime.arrays import Array
from minibert.verification.arrays import check_inputs, check_stages, own_array
from minibert.verification.naming import INPUTS, split_names, standard_stages
from minibert.verification.recordings import read_recording

FORMAT, VERSION = "minibert-reference", "1"


@dataclass(frozen=True, eq=False)
class Reference:
    """Inputs, the stages that they led to, and the provenance of both."""

    inputs: dict[str, NDArray[Any]]
    stages: dict[str, Array]
    provenance: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_inputs(self.inputs)
        if not self.stages:
            raise ValueError("a reference without stages: there is nothing to compare")
        if not self.real_tokens().any():
            raise ValueError("the reference's attention_mask has no real token")

    def real_tokens(self) -> NDArray[np.bool_]:
        """Return the mask, (B, T), True at the real tokens."""
        words = self.inputs["input_ids" if "input_ids" in self.inputs else "inputs_embeds"]
        mask = self.inputs.get("attention_mask", np.ones(words.shape[:2]))
        real: NDArray[np.bool_] = mask != 0
        return real

    @classmethod
    def from_arrays(
        cls,
        stages: Mapping[str, Any],
        inputs: Mapping[str, Any],
        provenance: Mapping[str, str] | None = None,
        num_hidden_layers: int | None = None,
    ) -> "Reference":
        """Make a recording of what any program computed.

        stages: from names to arrays. Names as in models/bert.py, ``layer.0.attention.scores``, or
        as transformers names its outputs (naming.py); any may be absent. Arrays are lists, NumPy's,
        torch tensors or what else has ``__array__``; they are copied, the dtype kept. B sequences
        of T tokens: (B, T, C), scores and probabilities (B, H, T, T), the pooler (B, C).
        inputs: the arguments of the model's call by name, input_ids (B, T) among them.
        provenance: text by name, as in the file: tools="my engine 0.1", checkpoint=..., and so on.
        num_hidden_layers: for ``last_hidden_state``, if nothing else says which layer is the last.

        TypeError or ValueError for an unknown name, which gives the nearest, for what is no array,
        and for a shape that does not fit the inputs or another stage.
        """
        # transformers has None or () in a field that it was not asked for
        asked = {k: v for k, v in stages.items() if not isinstance(v, tuple | None) or v}
        arrays = {name: own_array(f"stage {name}", value) for name, value in asked.items()}
        given = {name: own_array(name, value) for name, value in inputs.items()}
        misplaced, bare = split_names(arrays)
        if misplaced:
            raise ValueError(f"{', '.join(misplaced)} among the stages: they belong to the inputs")
        for name, text in (provenance or {}).items():
            if not isinstance(text, str):
                raise TypeError(f"provenance[{name!r}] is a {type(text).__name__}; needed: a text")
            if name in ("format", "version"):
                raise ValueError(f"provenance[{name!r}] is the file's own; choose another name")
        return cls._checked(given, bare, dict(provenance or {}), num_hidden_layers)

    @classmethod
    def _checked(
        cls,
        inputs: Mapping[str, NDArray[Any]],
        stages: Mapping[str, NDArray[Any]],
        provenance: Mapping[str, str],
        num_hidden_layers: int | None,
    ) -> "Reference":
        check_inputs(inputs)
        standard = standard_stages(stages, num_hidden_layers)
        check_stages(standard, inputs)
        dtypes = {str(array.dtype) for array in standard.values()}
        found = {"dtype": dtypes.pop()} if len(dtypes) == 1 else {}
        return cls(dict(inputs), standard, {**found, **provenance})

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], num_hidden_layers: int | None = None
    ) -> "Reference":
        """Read a recording: a reference file, .npz, plain safetensors, or a dict by torch.save.

        num_hidden_layers: as in ``from_arrays``. OSError if no file is there; ValueError or
        TypeError in a sentence if it is no recording.
        """
        arrays, dtypes, metadata = read_recording(Path(path))
        try:
            if metadata.pop("format", None) == FORMAT:
                return cls(*_own_form(arrays, metadata.pop("version", None)), metadata)
            inputs, stages = split_names(arrays)
            kinds = {dtypes[name] for name in arrays if name.removeprefix("input.") not in INPUTS}
            found = {"dtype": kinds.pop()} if len(kinds) == 1 else {}
            return cls._checked(inputs, stages, {**found, **metadata}, num_hidden_layers)
        except (ValueError, TypeError) as error:
            raise type(error)(f"{str(path)!r}: {error}") from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, whole or not at all."""
        from safetensors.numpy import save

        tensors = {f"input.{name}": array for name, array in self.inputs.items()}
        tensors |= {f"stage.{name}": array for name, array in self.stages.items()}
        # the library would write an array that is not in C order as garbage
        whole = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
        metadata = {**self.provenance, "format": FORMAT, "version": VERSION}
        write_whole(Path(path), save(whole, metadata=metadata))


def _own_form(
    arrays: Mapping[str, NDArray[Any]], version: str | None
) -> tuple[dict[str, NDArray[Any]], dict[str, Array]]:
    """Return the inputs and the stages of a file in the form that ``save`` writes."""
    if version != VERSION:
        raise ValueError(f"it has version {version}; this minibert reads {VERSION}")
    for name, array in arrays.items():
        kind, _, _ = name.partition(".")
        if kind not in ("input", "stage"):
            raise ValueError(f"tensor {name!r} is neither input.* nor stage.*")
        if kind == "stage" and array.dtype.kind != "f":
            raise ValueError(f"tensor {name!r} holds {array.dtype}; a stage is of a floating type")
    return split_names(arrays)
