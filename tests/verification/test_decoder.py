"""Faults of the weights on disk: a decoder that is tied, or not, to the word embeddings."""

import numpy as np
import pytest
from faults import draw_inputs
from safetensors.numpy import load_file, save_file

from minibert import EMBEDDED_CHECKPOINT, BertConfig, Reference, verify
from minibert.models.bert_heads import BertForMaskedLM


@pytest.fixture
def models(tmp_path):
    """Return a model that is tied and one that is not, of a checkpoint with its own decoder."""
    tensors = load_file(EMBEDDED_CHECKPOINT / "model.safetensors")
    words = next(v for k, v in tensors.items() if k.endswith("word_embeddings.weight"))
    bias = tensors["cls.predictions.bias"]
    tensors["cls.predictions.decoder.weight"] = np.ascontiguousarray(words[::-1])
    tensors["cls.predictions.decoder.bias"] = bias.copy()
    save_file(tensors, tmp_path / "model.safetensors")
    BertConfig.from_pretrained(EMBEDDED_CHECKPOINT).save_pretrained(tmp_path)
    load = BertForMaskedLM.from_pretrained
    return {t: load(tmp_path, "float64", tie_word_embeddings=t) for t in (True, False)}


@pytest.mark.parametrize(
    ("ours", "phrase"),
    [(True, "the checkpoint's own decoder matrix, not tied"), (False, "the decoder tied to the")],
)
def test_the_other_decoder_is_named(models, ours, phrase):
    inputs, trace = draw_inputs(models[ours].config, np.random.default_rng(0)), {}
    models[not ours](**inputs, trace=trace)
    (row,) = verify(models[ours], Reference(inputs, trace)).faults
    assert row.stage == "logits"
    assert phrase in row.cause
