"""The reference file: what another implementation computed, stage by stage, and where it is from.

A safetensors file. Tensors: ``input.NAME`` for each argument of the model's call, ``stage.NAME``
for each recorded stage (names and axes as in trace.STAGES). Metadata, all text:

    format, version      "minibert-reference", "1"
    tools                names and versions of what recorded it
    dtype, attention     of the recording; "float64", "eager"
    checkpoint           its name
    checkpoint_sha256    of its weight files, one after the other
    float32_errors       JSON, stage -> [root mean square, maximum]: how far the recording tools'
                         own float32 run lies from their float64 run (where both were made)
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.checkpoint.files import write_whole
from minibert.checkpoint.safetensors import read_metadata, read_safetensors
from minibert.checkpoint.tensors import FLOATS
from minibert.functions import Array

FORMAT, VERSION = "minibert-reference", "1"
INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds")


def shipped_references() -> dict[str, Path]:
    """Return the references that come with the package, for checkpoints that do not, by name."""
    folder = Path(__file__).parent.parent / "data" / "references"
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


@dataclass(frozen=True, eq=False)
class Reference:
    """Inputs, the stages that they led to, and the provenance of both."""

    inputs: dict[str, NDArray[Any]]
    stages: dict[str, Array]
    provenance: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = set(self.inputs) - set(INPUTS)
        if unknown or not {"input_ids", "inputs_embeds"} & set(self.inputs):
            raise ValueError(
                f"a reference's inputs are {sorted(self.inputs)}; allowed: {', '.join(INPUTS)}, "
                "with input_ids or inputs_embeds among them"
            )
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
    def load(cls, path: str | os.PathLike[str]) -> "Reference":
        """Read a reference file. OSError if it is not there, ValueError if it is none."""
        tensors = read_safetensors(Path(path))
        metadata = read_metadata(Path(path))
        if metadata.pop("format", None) != FORMAT:
            raise ValueError(f"{str(path)!r} is no reference: its metadata lacks format={FORMAT!r}")
        if (version := metadata.pop("version", None)) != VERSION:
            raise ValueError(f"{str(path)!r} has version {version}; this minibert reads {VERSION}")
        inputs, stages = {}, {}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "stage":
                stages[rest] = tensor.read("float64" if tensor.dtype == "F64" else "float32")
            elif kind == "input":
                floats = tensor.dtype in FLOATS
                inputs[rest] = tensor.read("float64") if floats else tensor.stored()
            else:
                raise ValueError(f"{str(path)!r}: tensor {name!r} is neither input.* nor stage.*")
        try:
            return cls(inputs, stages, metadata)
        except ValueError as error:
            raise ValueError(f"{str(path)!r}: {error}") from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, whole or not at all."""
        from safetensors.numpy import save

        tensors = {f"input.{name}": array for name, array in self.inputs.items()}
        tensors |= {f"stage.{name}": array for name, array in self.stages.items()}
        # the library would write an array that is not in C order as garbage
        whole = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
        metadata = {"format": FORMAT, "version": VERSION, **self.provenance}
        write_whole(Path(path), save(whole, metadata=metadata))
