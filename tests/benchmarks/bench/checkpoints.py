"""Checkpoints to run: drawn ones of any shape."""

from pathlib import Path
from typing import Any

import minibert
from bench.workloads import Shape


def config_fields(shape: Shape) -> dict[str, Any]:
    """Return a shape as the fields of a config."""
    return {
        "num_hidden_layers": shape.layers,
        "hidden_size": shape.width,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.wide,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.positions,
    }


def draw(folder: Path, shape: Shape) -> Path:
    """Write a checkpoint with random weights into a folder."""
    config = minibert.BertConfig(**config_fields(shape))
    minibert.BertModel(config, seed=0).save_pretrained(folder)
    return folder
