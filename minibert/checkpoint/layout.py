"""Which files make up a checkpoint, and what they are called."""

import os
import re
from pathlib import Path
from typing import Any

from minibert.checkpoint.files import read_json

CONFIG_NAME = "config.json"
GENERATION_NAME = "generation_config.json"
#: The forms of the weights: a file, or an index of shards. Readers take the first that is there.
FORMS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
#: The names that transformers gives to shards.
SHARD = re.compile(r"model-\d{5,}-of-\d{5,}\.safetensors|pytorch_model-\d{5,}-of-\d{5,}\.bin")


def is_name(value: Any) -> bool:
    """Tell whether this is a name in a folder, without a way out of it, that systems can hold."""
    return (
        isinstance(value, str)
        and value.isprintable()
        and 0 < len(value.encode()) <= 255
        and value not in (".", "..")
        and not any(character in value for character in "/\\:")
    )


def weights_in_force(folder: Path) -> str | None:
    """Return the first of FORMS that is there, the one that readers take; None if none is."""
    return next((name for name in FORMS if os.path.lexists(folder / name)), None)


def shards_of(path: Path) -> list[str]:
    """Return the shards that an index names; none of another file."""
    return sorted({*weight_map(path).values()}) if path.name.endswith(".index.json") else []


def weight_map(index: Path) -> dict[str, str]:
    """Return the shard of each tensor, as an index gives it.

    ValueError if it has none, or names a shard that may lie outside the folder.
    """
    shard_of = read_json(index).get("weight_map")
    if not isinstance(shard_of, dict) or not shard_of:
        raise ValueError(f"{str(index)!r} has no weight_map from tensor names to shards")
    for name, shard in shard_of.items():
        if not isinstance(shard, str):
            raise ValueError(f"{str(index)!r} names no file for tensor {name!r:.80}: {shard!r:.80}")
        if not is_name(shard):
            allowed = "the name of a file in the same folder"
            raise ValueError(f"{str(index)!r} names the shard {shard!r:.200}; allowed: {allowed}")
    return shard_of
