"""BART beside what transformers computed: data/bart, which tests/tools/make_references.py made."""

import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

FOLDER = Path(__file__).parents[1] / "data" / "bart"
STAGES = load_file(FOLDER / "stages.safetensors")
HEADS = load_file(FOLDER / "heads.safetensors")
WEIGHTS = load_file(FOLDER / "model.safetensors")
SMALL = {
    "vocab_size": 19,
    "max_position_embeddings": 17,
    "d_model": 15,
    "encoder_layers": 2,
    "encoder_attention_heads": 3,
    "encoder_ffn_dim": 11,
    "decoder_layers": 3,
    "decoder_attention_heads": 5,
    "decoder_ffn_dim": 13,
    "init_std": 0.3,
}


def part(tensors, start):
    """Return the tensors whose names begin so, without it."""
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}


INPUTS = part(STAGES, "input/")


def with_tensors(folder, tensors):
    """Make a checkpoint with the config of data/bart and these tensors."""
    shutil.copytree(FOLDER, folder, dirs_exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    return folder


def real(inputs, stage):
    """Return which tokens of an array (B, T, ...), (B, H, T, ...) or (B, S, ...) are real."""
    whole = stage.shape[2] if stage.ndim == 4 else stage.shape[1]
    masks = [np.asarray(v) != 0 for k, v in inputs.items() if k.endswith("mask")]
    mask = next((m for m in masks if m.shape[1] == whole), np.ones((len(stage), whole), bool))
    return np.broadcast_to(mask[:, None, :], stage.shape[:3]) if stage.ndim == 4 else mask
