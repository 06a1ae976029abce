"""The same inputs through transformers on torch, now: the engine, the files, the references."""

import numpy as np
import pytest
from wide import WIDE

from minibert import BertModel, Reference

REASON = "a live check: pip install torch==2.13.0, then transformers"
torch = pytest.importorskip("torch", reason=REASON)
transformers = pytest.importorskip("transformers", reason=REASON)

SHAPES = {
    "one layer": {"hidden_size": 15, "num_attention_heads": 3, "num_hidden_layers": 1},
    "one head": {"hidden_size": 27, "num_attention_heads": 1, "num_hidden_layers": 3},
    "many heads": {"hidden_size": 33, "num_attention_heads": 11, "num_hidden_layers": 5},
    "wide eps": {"hidden_size": 21, "num_attention_heads": 7, "layer_norm_eps": 1e-3},
    "base": {"hidden_size": 768, "num_attention_heads": 12, "num_hidden_layers": 4},
}
ACTIVATIONS = ["gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "quick_gelu", "relu", "silu"]


def drawn(folder, dtype=torch.float64, **sizes):
    """Save a transformers model whose every weight is wide."""
    torch.manual_seed(0)
    small = {"vocab_size": 101, "max_position_embeddings": 41, "type_vocab_size": 3}
    usual = {"num_hidden_layers": 2, "intermediate_size": 4 * sizes["hidden_size"] + 1}
    config = transformers.BertConfig(**{**small, **usual, **sizes})
    model = transformers.BertModel._from_config(config, attn_implementation="eager").eval()
    spread = 2 / np.sqrt(config.hidden_size)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            center = 1.0 if "LayerNorm.weight" in name else 0.0
            weight.copy_(center + 0.5 * spread * torch.randn_like(weight))
    model.to(dtype).save_pretrained(folder)
    return model


def batch(config, seed=1):
    random = np.random.default_rng(seed)
    shape = (5, 23)
    mask = random.random(shape) < 0.7
    mask[0], mask[1, 11:], mask[:, 0] = True, False, True
    return {
        "input_ids": random.integers(0, config.vocab_size, shape),
        "attention_mask": mask.astype(np.int64),
        "token_type_ids": random.integers(0, config.type_vocab_size, shape),
    }


def theirs(model, inputs, dtype):
    tensors = {name: torch.tensor(np.array(value)) for name, value in inputs.items()}
    with torch.inference_mode():
        output = model.to(dtype)(**tensors, output_hidden_states=True, output_attentions=True)
    return [state.numpy() for state in output.hidden_states], output


def assert_agrees(folder, model, inputs):
    """Float64 to 1e-12 of the scale; float32 no worse than torch's own, of the same weights."""
    real = inputs["attention_mask"] != 0
    exact, output = theirs(model, inputs, torch.float64)
    single, _ = theirs(model, inputs, torch.float32)
    ours = BertModel.from_pretrained(folder, dtype="float64")
    found = ours(**inputs, output_hidden_states=True, output_attentions=True)
    for state, expected in zip(found.hidden_states, exact, strict=True):
        assert np.abs(state - expected)[real].max() <= 1e-12 * np.abs(expected).max()
    pooled = output.pooler_output.numpy()
    assert np.abs(found.pooler_output - pooled).max() <= 1e-12
    for weights, expected in zip(found.attentions, output.attentions, strict=True):
        pairs = real[:, None, :, None] & real[:, None, None, :]
        assert np.abs(np.where(pairs, weights - expected.numpy(), 0)).max() <= 1e-12
    found = BertModel.from_pretrained(folder)(**inputs, output_hidden_states=True)
    for state, torchs, expected in zip(found.hidden_states, single, exact, strict=True):
        error, bar = (np.abs(x - expected)[real] for x in (state, torchs))
        assert np.sqrt((error**2).mean()) <= 1.2 * np.sqrt((bar**2).mean())
        assert error.max() <= 2 * bar.max()


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(tmp_path, name):
    model = drawn(tmp_path, torch.float32, **SHAPES[name])
    assert_agrees(tmp_path, model, batch(model.config))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(tmp_path, activation):
    model = drawn(
        tmp_path, torch.float32, hidden_size=63, num_attention_heads=9, hidden_act=activation
    )
    assert_agrees(tmp_path, model, batch(model.config))


@pytest.mark.parametrize("folder", ["embedded", "minilm"])
def test_checkpoints(request, folder):
    path = WIDE
    if folder == "minilm":
        path = request.getfixturevalue("minilm_folder")
    model = transformers.BertModel.from_pretrained(path, attn_implementation="eager").eval()
    assert_agrees(path, model, batch(model.config))


def test_the_committed_references_are_what_transformers_computes_now(recorded):
    folder, reference = recorded
    model = transformers.BertModel.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float64
    ).eval()
    states, output = theirs(model, dict(reference.inputs), torch.float64)
    names = ["embeddings", *(f"layer.{i}" for i in range(len(states) - 1))]
    real = reference.real_tokens()
    for name, state in zip(names, states, strict=True):
        expected = reference.stages[name]
        np.testing.assert_allclose(state[real], expected[real], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(
        output.pooler_output.numpy(), reference.stages["pooler"], rtol=1e-10, atol=1e-12
    )


FORMS = {
    "zip": lambda state, path: torch.save(state, path),
    "legacy": lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
    "plain dict": lambda state, path: torch.save(dict(state), path),
    "parameters": lambda state, path: torch.save(
        {name: torch.nn.Parameter(value) for name, value in state.items()}, path
    ),
    "transposed": lambda state, path: torch.save(
        {
            name: value.t().contiguous().t() if value.ndim == 2 else value
            for name, value in state.items()
        },
        path,
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_what_torch_saves_is_read_bit_for_bit(tmp_path, form, dtype):
    model = drawn(tmp_path, hidden_size=15, num_attention_heads=3)
    state = model.to(getattr(torch, dtype)).state_dict()
    (tmp_path / "model.safetensors").unlink()
    FORMS[form](state, tmp_path / "pytorch_model.bin")
    found = BertModel.from_pretrained(tmp_path, dtype="float64")
    expected = state["encoder.layer.1.output.dense.weight"].double().numpy()
    np.testing.assert_array_equal(found.layers[1].feed_forward.output.weight, expected)
    expected = state["embeddings.word_embeddings.weight"].double().numpy()
    np.testing.assert_array_equal(found.embeddings.word, expected)


def test_shards_that_transformers_writes(tmp_path):
    model = drawn(tmp_path, torch.float32, hidden_size=15, num_attention_heads=3)
    sharded = tmp_path / "sharded"
    model.save_pretrained(sharded, max_shard_size="9KB")
    assert len(list(sharded.glob("*.safetensors"))) > 2
    inputs = batch(model.config)
    one, other = (BertModel.from_pretrained(folder)(**inputs) for folder in (tmp_path, sharded))
    np.testing.assert_array_equal(one.last_hidden_state, other.last_hidden_state)


@pytest.mark.parametrize("head", ["MaskedLM", "ForPreTraining", "SequenceClassification"])
def test_checkpoints_with_a_head(tmp_path, head):
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=101, hidden_size=15, num_attention_heads=3, num_hidden_layers=2
    )
    kind = getattr(transformers, "BertFor" + head.removeprefix("For"))
    kind(config).save_pretrained(tmp_path)
    if head == "MaskedLM":
        with pytest.warns(UserWarning, match=r"pooler\.dense\.weight, pooler\.dense\.bias"):
            model = BertModel.from_pretrained(tmp_path)
    else:
        model = BertModel.from_pretrained(tmp_path)
    reasons = model.loading_report.unused.values()
    assert reasons
    assert all("head" in why for why in reasons)


def test_a_recording_of_ours_is_not_needed_to_make_one(tmp_path, reference):
    """The script that makes references, run on the embedded checkpoint, gives the committed one."""
    import make_references

    inputs = {name: np.array(value) for name, value in reference.inputs.items()}
    made = make_references.reference(WIDE, inputs, "again")
    made.save(tmp_path / "again.safetensors")
    again = Reference.load(tmp_path / "again.safetensors")
    assert set(again.stages) == set(reference.stages)
    for name, stage in reference.stages.items():
        np.testing.assert_allclose(again.stages[name], stage, rtol=1e-10, atol=1e-12)
    assert again.provenance["checkpoint_sha256"] == reference.provenance["checkpoint_sha256"]
