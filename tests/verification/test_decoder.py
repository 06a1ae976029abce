"""Faults of the weights on disk: a decoder that is tied to the word embeddings."""

import numpy as np
from faults import draw_inputs
from safetensors.numpy import load_file, save_file

from minibert import EMBEDDED_CHECKPOINT, BertConfig, Reference, verify
from minibert.models.bert_heads import BertForMaskedLM


def test_a_decoder_that_was_tied_is_named(tmp_path):
    tensors = load_file(EMBEDDED_CHECKPOINT / "model.safetensors")
    words = next(v for k, v in tensors.items() if k.endswith("word_embeddings.weight"))
    BertConfig.from_pretrained(EMBEDDED_CHECKPOINT).save_pretrained(tmp_path)
    save_file(tensors, tmp_path / "model.safetensors")
    tied = BertForMaskedLM.from_pretrained(tmp_path, "float64")
    tensors["cls.predictions.decoder.weight"] = np.ascontiguousarray(words[::-1])
    (tmp_path / "own").mkdir()
    BertConfig.from_pretrained(EMBEDDED_CHECKPOINT).save_pretrained(tmp_path / "own")
    save_file(tensors, tmp_path / "own" / "model.safetensors")
    own = BertForMaskedLM.from_pretrained(tmp_path / "own", "float64")
    inputs, trace = draw_inputs(own.config, np.random.default_rng(0)), {}
    tied(**inputs, trace=trace)
    (row,) = verify(own, Reference(inputs, trace)).faults
    assert row.stage == "logits"
    assert "the decoder tied to the word embeddings" in row.cause
