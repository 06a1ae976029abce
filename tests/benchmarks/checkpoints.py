"""Checkpoints to run: drawn ones of any shape."""

from pathlib import Path

from workloads import Shape

import minibert


def draw(folder: Path, shape: Shape) -> Path:
    """Write a checkpoint with random weights into a folder."""
    config = minibert.BertConfig(
        num_hidden_layers=shape.layers,
        hidden_size=shape.width,
        num_attention_heads=shape.heads,
        intermediate_size=shape.wide,
        vocab_size=shape.vocabulary,
        max_position_embeddings=shape.positions,
    )
    minibert.BertModel(config, seed=0).save_pretrained(folder)
    return folder
