"""Recordings of transformers' BART, verified: hooks, the names of its outputs, and faults."""

import numpy as np
import pytest

import minibert
from minibert import Reference, record_model, verify

REASON = "a live check: pip install torch==2.13.0, then transformers"
torch = pytest.importorskip("torch", reason=REASON)
transformers = pytest.importorskip("transformers", reason=REASON)

SIZES = {
    "vocab_size": 101,
    "d_model": 45,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "encoder_attention_heads": 9,
    "decoder_attention_heads": 5,
    "encoder_ffn_dim": 77,
    "decoder_ffn_dim": 61,
    "max_position_embeddings": 41,
    "scale_embedding": True,
    "num_labels": 3,
}
KINDS = ["BartModel", "BartForConditionalGeneration", "BartForQuestionAnswering"]


def drawn(folder, kind="BartModel"):
    torch.manual_seed(0)
    config = transformers.BartConfig(**SIZES)
    model = getattr(transformers, kind)._from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            one = "norm" in name and "weight" in name
            weight.copy_(one + 0.15 * torch.randn_like(weight))
    model.save_pretrained(folder)
    return model


def batch():
    random = np.random.default_rng(1)
    inputs = {}
    for prefix, shape in (("", (4, 17)), ("decoder_", (4, 12))):
        mask = np.ones(shape, int)
        mask[1, 7:] = mask[3, :2] = 0
        inputs[f"{prefix}input_ids"] = random.integers(4, 101, shape) * mask + (1 - mask)
        inputs[f"{prefix}attention_mask"] = mask
    inputs["decoder_input_ids"][:, 0] = 2
    return inputs


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_recorded_there_is_verified_here(tmp_path, kind, dtype):
    model = drawn(tmp_path, kind).to(getattr(torch, dtype))
    found = record_model(model, batch())
    ours = getattr(minibert, kind).from_pretrained(tmp_path, dtype)
    assert {*found.stages} == {*ours.stage_axes()}
    assert verify(ours, found).verdict.startswith("OK: all ")


def test_what_the_decoder_reads_by_default_is_in_the_recording(tmp_path):
    inputs = {name: x for name, x in batch().items() if not name.startswith("decoder_")}
    found = record_model(drawn(tmp_path), inputs)
    ids = found.inputs["decoder_input_ids"]
    assert (ids[:, 0] == 2).all()
    assert np.array_equal(ids[:, 1:], inputs["input_ids"][:, :-1])
    assert verify(minibert.BartModel.from_pretrained(tmp_path), found).ok


def test_outputs_keep_their_names(tmp_path):
    model = drawn(tmp_path)
    tensors = {name: torch.tensor(x) for name, x in batch().items()}
    with torch.inference_mode():
        output = model(**tensors, output_hidden_states=True, output_attentions=True)
    found = Reference.from_arrays(output, tensors)
    assert len(found.stages) == 4 + 3 + 3 + 2 + 2
    assert verify(minibert.BartModel.from_pretrained(tmp_path), found).ok
    last = {"last_hidden_state": output.last_hidden_state}
    few = Reference.from_arrays(
        {**last, "decoder.layers.0": output.decoder_hidden_states[1]}, tensors, num_hidden_layers=2
    )
    assert [*few.stages] == ["decoder.layer.0", "decoder.layer.1"]


def test_a_fault_there_is_named(tmp_path):
    model = drawn(tmp_path)
    model.decoder.embed_tokens.embed_scale = 1.0
    found = record_model(model, batch())
    verdict = verify(minibert.BartModel.from_pretrained(tmp_path), found).verdict
    assert "decoder.embeddings.sum" in verdict
    assert "not multiplied by sqrt(C)" in verdict
