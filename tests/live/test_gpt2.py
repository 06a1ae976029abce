"""GPT-2 beside transformers, now: outputs, files both ways, recordings."""

import numpy as np
import pytest

import minibert
from minibert import GPT2LMHeadModel, GPT2Model, record_checkpoint, record_model, verify

REASON = "a live check: pip install torch==2.13.0, then transformers"
torch = pytest.importorskip("torch", reason=REASON)
transformers = pytest.importorskip("transformers", reason=REASON)

SIZES = {
    "vocab_size": 101,
    "n_positions": 41,
    "n_embd": 45,
    "n_head": 9,
    "n_layer": 3,
    "n_inner": 131,
    "pad_token_id": 7,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
KINDS = [
    "GPT2Model",
    "GPT2LMHeadModel",
    "GPT2ForSequenceClassification",
    "GPT2ForTokenClassification",
]
OPTIONS = {
    "plain": {},
    "one head": {"n_head": 1, "n_inner": None},
    "unscaled": {"scale_attn_weights": False, "activation_function": "relu"},
    "scaled by layer": {"scale_attn_by_inverse_layer_idx": True, "layer_norm_epsilon": 1e-3},
    "untied": {"tie_word_embeddings": False},
    "base": {"n_embd": 768, "n_head": 12, "n_inner": None},
}


def drawn(folder, kind, **options):
    torch.manual_seed(0)
    config = transformers.GPT2Config(**{**SIZES, "num_labels": 5, **options})
    model = getattr(transformers, kind)._from_config(config, attn_implementation="eager").eval()
    spread = 0.15 * (45 / config.n_embd) ** 0.5
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(("ln_" in name and "weight" in name) + spread * torch.randn_like(weight))
    model.save_pretrained(folder)
    return model


def batch(seed=1):
    random = np.random.default_rng(seed)
    ids = random.integers(8, 101, (5, 23))
    mask = np.ones_like(ids)
    mask[1, 11:], mask[2, :7], mask[3, 1:] = 0, 0, 0
    return {"input_ids": np.where(mask, ids, 7), "attention_mask": mask}


def tensors(inputs):
    return {name: torch.tensor(value) for name, value in inputs.items()}


def of(output, real):
    """Return what a model says where tokens are real."""
    found = np.asarray(output[0])
    return found[real] if found.ndim == 3 else found


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_it_says_what_transformers_says(tmp_path, kind, options):
    model = drawn(tmp_path, kind, **OPTIONS[options])
    real = batch()["attention_mask"] != 0
    random = np.random.default_rng(2)
    others = [{"token_type_ids": 101}, {"position_ids": 41}, {}]
    for other in ({k: random.integers(0, n, (5, 23)) for k, n in x.items()} for x in others):
        inputs = {**batch(), **other}
        with torch.inference_mode():
            types = torch.float32, torch.float64
            single, exact = (of(model.to(t)(**tensors(inputs)), real) for t in types)
        ours = getattr(minibert, kind).from_pretrained(tmp_path, "float64")
        assert np.abs(of(ours(**inputs), real) - exact).max() <= 1e-12 * np.abs(exact).max()
        ours = getattr(minibert, kind).from_pretrained(tmp_path)
        error, bar = of(ours(**inputs), real) - exact, single - exact
        if kind != "GPT2ForSequenceClassification":  # which is few numbers
            assert np.sqrt((error**2).mean()) <= 1.2 * np.sqrt((bar**2).mean())


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_transformers_reads_what_is_saved(tmp_path, kind, safe):
    config = minibert.GPT2Config(**{**SIZES, "num_labels": 5, "initializer_range": 0.3})
    ours = getattr(minibert, kind)(config, seed=3)
    ours.save_pretrained(tmp_path, safe_serialization=safe)
    theirs, found = getattr(transformers, kind).from_pretrained(
        tmp_path, dtype=torch.float64, output_loading_info=True
    )
    assert not any(found.values()), found
    exact = getattr(minibert, kind).from_pretrained(tmp_path, "float64")
    real = batch()["attention_mask"] != 0
    with torch.inference_mode():
        expected = of(theirs.eval()(**tensors(batch())), real)
    assert np.abs(of(exact(**batch()), real) - expected).max() <= 1e-12 * np.abs(expected).max()
    assert theirs.config.n_inner == 131


def test_hidden_states_and_attentions(tmp_path):
    model = drawn(tmp_path, "GPT2LMHeadModel").double()
    shown = {"output_hidden_states": True, "output_attentions": True}
    with torch.inference_mode():
        expected = model(**tensors(batch()), **shown)
    found = GPT2LMHeadModel.from_pretrained(tmp_path, "float64")(**batch(), **shown)
    real = batch()["attention_mask"] != 0
    for a, b in zip(found.hidden_states, expected.hidden_states, strict=True):
        assert np.abs(a - b.numpy())[real].max() <= 1e-12 * np.abs(b.numpy()[real]).max()
    for a, b in zip(found.attentions, expected.attentions, strict=True):
        pairs = np.broadcast_to(real[:, None, :, None], a.shape)
        assert np.abs(a - b.numpy())[pairs].max() <= 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_recorded_there_is_verified_here(tmp_path, kind):
    model = drawn(tmp_path, kind)
    found = record_model(model, batch())
    ours = getattr(minibert, kind).from_pretrained(tmp_path)
    assert {*found.stages} == {*ours.stage_axes()}
    assert verify(ours, found).verdict.startswith("OK: all ")


def test_a_checkpoint_is_recorded_by_either(tmp_path):
    drawn(tmp_path, "GPT2Model")
    made = {source: record_checkpoint(tmp_path, batch(), source) for source in SOURCES}
    for name, stage in made["transformers"].stages.items():
        np.testing.assert_allclose(made["minibert"].stages[name], stage, atol=1e-11, err_msg=name)
    assert verify(GPT2Model.from_pretrained(tmp_path), made["transformers"]).ok


SOURCES = ("minibert", "transformers")


@pytest.mark.filterwarnings("ignore:`past_key_values`")  # which 5.24 calls cache, too
def test_a_cache_holds_what_that_of_transformers_holds(tmp_path):
    model = drawn(tmp_path, "GPT2LMHeadModel").double()
    ours = GPT2LMHeadModel.from_pretrained(tmp_path, "float64")
    ids, theirs, cache = batch()["input_ids"], None, None
    for part in (slice(0, 9), slice(9, 10), slice(10, 23)):
        with torch.inference_mode():
            expected = model(torch.tensor(ids[:, part]), past_key_values=theirs)
        found = ours(ids[:, part], past_key_values=cache)
        theirs, cache = expected.past_key_values, found.past_key_values
        logits = expected.logits.numpy()
        assert np.abs(found.logits - logits).max() <= 1e-12 * np.abs(logits).max()
        assert cache.get_seq_length() == theirs.get_seq_length()
    for i, pair in enumerate(cache):
        for a, b in zip(pair, (theirs.layers[i].keys, theirs.layers[i].values), strict=True):
            np.testing.assert_allclose(a, b.numpy(), atol=1e-12)


@pytest.mark.parametrize("ends", [[], [55], [44, 90, 13]])
def test_it_writes_what_transformers_writes(tmp_path, ends):
    model = drawn(tmp_path, "GPT2LMHeadModel").double()
    ours = GPT2LMHeadModel.from_pretrained(tmp_path, "float64")
    ids = batch()["input_ids"][:, :9]
    mask = np.ones_like(ids)
    mask[1, :4], mask[3, :8] = 0, 0
    options = {"max_new_tokens": 30, "eos_token_id": ends, "pad_token_id": 7}
    options["eos_token_id"] = ends or -1
    with torch.inference_mode():
        expected = model.generate(torch.tensor(ids), attention_mask=torch.tensor(mask), **options)
    found = ours.generate(ids, mask, **{**options, "eos_token_id": ends})
    assert np.array_equal(found, expected.numpy())
