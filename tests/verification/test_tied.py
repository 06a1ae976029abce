"""Matrices that share the table of words in one program, and do not in the other."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from minibert import (
    BartConfig,
    BartForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    Reference,
    record_model,
    verify,
)

SIZES = {f"{side}_{n}": 1 for side in ("encoder", "decoder") for n in ("layers", "ffn_dim")}
SIZES |= {f"{side}_attention_heads": 3 for side in ("encoder", "decoder")}
GPT2 = GPT2LMHeadModel, GPT2Config(vocab_size=41, n_embd=12, n_head=3, n_layer=1)
BART = BartForConditionalGeneration, BartConfig(vocab_size=41, d_model=12, init_std=0.3, **SIZES)


def of_file(folder: Path, kind, config, **others):
    """Return the models of a file without some tensors and with all of them: tied, and not."""
    kind(config, seed=1).save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    random, made = np.random.default_rng(2), []
    for name, own in (("tied", {}), ("untied", others)):
        given = {x: random.normal(size=tensors[y].shape).astype("f4") for x, y in own.items()}
        config.save_pretrained(folder / name)
        save_file({**tensors, **given}, folder / name / "model.safetensors")
        made.append(kind.from_pretrained(folder / name, "float64"))
    return made


@pytest.mark.parametrize(
    ("model", "own", "stage", "says"),
    [
        (
            GPT2,
            {"lm_head.weight": "transformer.wte.weight"},
            "logits",
            "the head tied to the word embeddings",
        ),
        (
            BART,
            {"lm_head.weight": "model.shared.weight"},
            "lm_head",
            "the head tied to the word embeddings",
        ),
        (
            BART,
            {"model.decoder.embed_tokens.weight": "model.shared.weight"},
            "decoder.embeddings.sum",
            "the table of words of encoder.embeddings",
        ),
    ],
    ids=["GPT-2's head", "BART's head", "BART's decoder"],
)
def test_a_matrix_that_was_tied_is_named(tmp_path, model, own, stage, says):
    tied, untied = of_file(tmp_path, *model, **own)
    ids = np.random.default_rng(0).integers(4, 41, (2, 7))
    made = record_model(tied, {"input_ids": ids})
    found = verify(untied, Reference(made.inputs, made.stages)).faults
    assert found[0].stage == stage
    assert says in found[0].cause
