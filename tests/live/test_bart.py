"""BART beside transformers, now: every output and stage, caches, files both ways."""

from contextlib import ExitStack

import numpy as np
import pytest

import minibert
from minibert import BartForConditionalGeneration, BartModel
from minibert.verification.hooks import watch

REASON = "a live check: pip install torch==2.13.0, then transformers"
torch = pytest.importorskip("torch", reason=REASON)
transformers = pytest.importorskip("transformers", reason=REASON)

SIZES = {
    "vocab_size": 101,
    "max_position_embeddings": 41,
    "d_model": 45,
    "encoder_layers": 2,
    "encoder_attention_heads": 9,
    "encoder_ffn_dim": 131,
    "decoder_layers": 3,
    "decoder_attention_heads": 3,
    "decoder_ffn_dim": 73,
    "pad_token_id": 7,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 3,
}
KINDS = [
    "BartModel",
    "BartForConditionalGeneration",
    "BartForSequenceClassification",
    "BartForQuestionAnswering",
]
OPTIONS = {
    "plain": {},
    "scaled": {"scale_embedding": True, "activation_function": "relu"},
    "other sizes": {"encoder_layers": 3, "decoder_layers": 1, "decoder_attention_heads": 15},
    "untied": {"tie_word_embeddings": False, "activation_function": "gelu_new"},
    "base": {"d_model": 768, "encoder_attention_heads": 12, "decoder_attention_heads": 12},
}
MASKS = ("full", "right", "left", "holes")
SHOWN = {"output_hidden_states": True, "output_attentions": True}


def drawn(folder, kind, **options):
    torch.manual_seed(0)
    config = transformers.BartConfig(**{**SIZES, "num_labels": 5, **options})
    model = getattr(transformers, kind)._from_config(config, attn_implementation="eager").eval()
    spread = 0.15 * (45 / config.d_model) ** 0.5
    with torch.no_grad():
        for name, weight in [*model.named_parameters(), *model.named_buffers()]:
            weight.copy_(("norm" in name and "weight" in name) + spread * torch.randn_like(weight))
    model.save_pretrained(folder)
    return model


def batch(kinds=MASKS, seed=1, size=40, written=None):
    """Draw what is read, padded in turn as ``kinds`` say, with one end each; and what is written.

    written: how many tokens the decoder gets; None: what was read, shifted.
    """
    random = np.random.default_rng(seed)
    ids, mask = random.integers(8, 101, (size, 23)), np.ones((size, 23), int)
    for row, pad in enumerate(mask):
        kind, count = kinds[row % len(kinds)], 3 + row % 9
        places = {"right": slice(-count, None), "left": slice(0, count), "holes": slice(2, 11, 2)}
        pad[places.get(kind, slice(0, 0))] = 0
    ids[:, 11] = 2
    found = {"input_ids": np.where(mask, ids, 7), "attention_mask": mask}
    if written:
        found["decoder_input_ids"] = random.integers(8, 101, (size, written))
        found["decoder_attention_mask"] = np.ones((size, written), int)
        found["decoder_attention_mask"][1::4, -4:] = 0
        found["decoder_attention_mask"][2::4, :3] = 0
    return found


def tensors(inputs):
    return {name: torch.tensor(value) for name, value in inputs.items()}


def leaves(output):
    """Yield (field, array) of all that a model says but its cache."""
    for name, value in output.items():
        if name not in ("past_key_values", "cache"):
            arrays = value if isinstance(value, tuple) else (value,)
            yield from ((name, np.asarray(x)) for x in arrays)


def real(inputs, name, array):
    """Return where the queries, or the tokens, of what a model says are real."""
    side = "" if name.startswith("encoder") else "decoder_"
    mask = inputs.get(f"{side}attention_mask")
    if mask is None or (array.ndim == 2 and array.shape != mask.shape):
        return np.ones(array.shape, bool)
    if array.ndim == 4:
        return np.broadcast_to(mask[:, None, :, None] != 0, array.shape)
    return mask != 0


def agree(ours, theirs, inputs):
    """Compare all that two models say; return how many arrays there were."""
    found, expected = [*leaves(ours)], [*leaves(theirs)]
    assert [name for name, _ in found] == [name for name, _ in expected]
    for (name, a), (_, b) in zip(found, expected, strict=True):
        assert a.shape == b.shape, name
        tokens = real(inputs, name, b)
        assert np.abs(a - b)[tokens].max() <= 1e-12 * np.abs(b[tokens]).max(), name
    return len(found)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_it_says_what_transformers_says(tmp_path, kind, options):
    model = drawn(tmp_path, kind, **OPTIONS[options])
    small = options == "base"
    inputs = batch(size=8) if small else batch()
    with torch.inference_mode():
        single = model(**tensors(inputs))
        exact = model.double()(**tensors(inputs), **SHOWN)
    ours = getattr(minibert, kind)
    assert agree(ours.from_pretrained(tmp_path, "float64")(**inputs, **SHOWN), exact, inputs) > 9
    found, errors, bars = ours.from_pretrained(tmp_path)(**inputs), [], []
    for name in found.keys()[: 2 if "Question" in kind else 1]:
        expected = exact[name].numpy()
        errors.append((found[name] - expected).ravel())
        bars.append((single[name].numpy() - expected).ravel())
    rms = [np.sqrt((np.concatenate(x) ** 2).mean()) for x in (errors, bars)]
    if not (small and "Sequence" in kind):  # which would be 40 numbers
        assert rms[0] <= 1.2 * rms[1]


@pytest.mark.parametrize("written", [None, 1, 13])
@pytest.mark.parametrize("mask", MASKS)
def test_with_any_padding(tmp_path, mask, written):
    kind = "BartForConditionalGeneration"
    model = drawn(tmp_path, kind, scale_embedding=True).double()
    inputs = batch((mask,), size=4, written=written)
    if written == 1:
        del inputs["decoder_attention_mask"]
    with torch.inference_mode():
        expected = model(**tensors(inputs), **SHOWN)
    ours = BartForConditionalGeneration.from_pretrained(tmp_path, "float64")
    agree(ours(**inputs, **SHOWN), expected, inputs)


def test_vectors_in_place_of_words(tmp_path):
    model = drawn(tmp_path, "BartModel", scale_embedding=True).double()
    random = np.random.default_rng(4)
    inputs = {
        "inputs_embeds": random.standard_normal((3, 11, 45)),
        "decoder_inputs_embeds": random.standard_normal((3, 5, 45)),
    }
    with torch.inference_mode():
        expected = model(**tensors(inputs), **SHOWN)
    agree(BartModel.from_pretrained(tmp_path, "float64")(**inputs, **SHOWN), expected, {})


@pytest.mark.parametrize("kind", KINDS)
def test_every_stage_is_that_of_its_module(tmp_path, kind):
    model = drawn(tmp_path, kind, scale_embedding=True).double()
    seen, found, inputs = {}, {}, {"input_ids": batch(size=4)["input_ids"]}
    with ExitStack() as stack, torch.inference_mode():
        names = [*watch(torch, model, seen, stack)]
        model(**tensors(inputs), use_cache=False)
    getattr(minibert, kind).from_pretrained(tmp_path, "float64")(**inputs, trace=found)
    assert names == [*found]
    for name in names:
        assert found[name].shape == seen[name].shape
        error = np.abs(found[name] - seen[name]).max()
        assert error <= 1e-12 * np.abs(seen[name]).max(), name


# files


@pytest.mark.parametrize("options", ["plain", "untied"])
@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_transformers_reads_what_is_saved(tmp_path, kind, safe, options):
    values = {**SIZES, **OPTIONS[options], "num_labels": 5, "init_std": 0.3}
    ours = getattr(minibert, kind)(minibert.BartConfig(**values), seed=3)
    ours.save_pretrained(tmp_path, safe_serialization=safe)
    theirs, found = getattr(transformers, kind).from_pretrained(
        tmp_path, dtype=torch.float64, output_loading_info=True
    )
    assert not any(found.values()), found
    exact, inputs = getattr(minibert, kind).from_pretrained(tmp_path, "float64"), batch(size=4)
    with torch.inference_mode():
        expected = theirs.eval()(**tensors(inputs))
    agree(exact(**inputs), expected, inputs)
    assert ours.num_parameters() == theirs.num_parameters()


OLD = ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight")


@pytest.mark.filterwarnings("ignore")  # transformers says that it unties
@pytest.mark.parametrize(
    ("other", "has_shared"), [*((x, True) for x in (None, *OLD)), (None, False)]
)
def test_copies_of_the_words_count_as_there(tmp_path, other, has_shared):
    from safetensors.numpy import load_file, save_file

    drawn(tmp_path, "BartForConditionalGeneration")
    path = tmp_path / "model.safetensors"
    kept = load_file(path)
    words = kept["model.shared.weight"]
    kept |= {name: words + (name == other) for name in OLD}
    if not has_shared:
        del kept["model.shared.weight"]
    save_file(kept, path, {"format": "pt"})
    kind = transformers.BartForConditionalGeneration
    theirs = kind.from_pretrained(tmp_path, dtype=torch.float64).eval()
    ours, inputs = BartForConditionalGeneration.from_pretrained(tmp_path, "float64"), batch(size=4)
    with torch.inference_mode():
        expected = theirs(**tensors(inputs))
    agree(ours(**inputs), expected, inputs)
    assert ours.config.tie_word_embeddings is (other is None)


@pytest.mark.parametrize("labels", [None, 2, 3, 5])
def test_configs_are_read_either_way(tmp_path, labels):
    more = {} if labels is None else {"num_labels": labels}
    ours = minibert.BartConfig(**SIZES, **more)
    ours.save_pretrained(tmp_path)
    theirs = transformers.BartConfig.from_pretrained(tmp_path)
    assert theirs.num_labels == ours.num_labels == (labels or 3)
    plain = transformers.BartConfig(**SIZES, **more)
    for name in vars(ours).keys() - {"architectures", "dtype", "label2id", "forced_bos_token_id"}:
        if hasattr(plain, name):
            assert getattr(theirs, name) == getattr(plain, name) == getattr(ours, name), name
    plain.save_pretrained(tmp_path)  # which forgets that there are 2, and reads 3 again
    theirs = transformers.BartConfig.from_pretrained(tmp_path)
    assert minibert.BartConfig.from_pretrained(tmp_path).id2label == theirs.id2label


# step by step


@pytest.mark.filterwarnings("ignore:`past_key_values`")  # which 5.24 calls cache, too
def test_a_cache_holds_what_that_of_transformers_holds(tmp_path):
    model = drawn(tmp_path, "BartForConditionalGeneration").double()
    ours = BartForConditionalGeneration.from_pretrained(tmp_path, "float64")
    inputs, theirs, cache = batch(size=5, written=13), None, None
    ids, mask = inputs["decoder_input_ids"], inputs["attention_mask"]
    read = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    for part in (slice(0, 5), slice(5, 6), slice(6, 13)):
        with torch.inference_mode():
            new = torch.tensor(ids[:, part])
            expected = model(**tensors(read), decoder_input_ids=new, past_key_values=theirs)
        given = {} if cache else read
        found = ours(**given, decoder_input_ids=ids[:, part], past_key_values=cache)
        theirs, cache = expected.past_key_values, found.past_key_values
        logits = expected.logits.numpy()
        assert np.abs(found.logits - logits).max() <= 1e-12 * np.abs(logits).max()
        assert cache.get_seq_length() == theirs.get_seq_length()
    pairs = (cache, theirs.self_attention_cache), (cache.source, theirs.cross_attention_cache)
    for kept, other in pairs:
        for i, pair in enumerate(kept):
            for a, b in zip(pair, (other.layers[i].keys, other.layers[i].values), strict=True):
                tokens = np.ones(a.shape[:3], bool)
                if kept is cache.source:
                    tokens = np.broadcast_to(mask[:, None, :] != 0, a.shape[:3])
                np.testing.assert_allclose(a[tokens], b.numpy()[tokens], atol=1e-12)


def test_an_encoder_runs_alone(tmp_path):
    model = drawn(tmp_path, "BartForConditionalGeneration").double()
    ours = BartForConditionalGeneration.from_pretrained(tmp_path, "float64")
    inputs = batch(size=4)
    read = inputs["input_ids"], inputs["attention_mask"]
    with torch.inference_mode():
        expected = model.get_encoder()(*map(torch.tensor, read), **SHOWN)
    found = ours.get_encoder()(*read, **SHOWN)
    for (name, a), (other, b) in zip(leaves(found), leaves(expected), strict=True):
        tokens = real(inputs, "encoder", b)
        assert name == other
        assert np.abs(a - b)[tokens].max() <= 1e-12 * np.abs(b[tokens]).max()
    with torch.inference_mode():
        again = model(**tensors(inputs), encoder_outputs=expected, **SHOWN)
    agree(ours(**inputs, encoder_outputs=found, **SHOWN), again, inputs)


def test_a_label_is_told_of_the_last_end(tmp_path):
    model = drawn(tmp_path, "BartForSequenceClassification").double()
    inputs = batch(size=4)
    inputs["input_ids"][:, 12] = inputs["input_ids"][[0, 1, 2, 3], [1, 2, 13, 11]] = 2
    inputs["input_ids"][3, 1] = 2
    counts = (inputs["input_ids"] == 2).sum(axis=1)
    assert {*counts} == {3}
    with torch.inference_mode():
        expected = model(**tensors(inputs))
    ours = minibert.BartForSequenceClassification.from_pretrained(tmp_path, "float64")
    agree(ours(**inputs), expected, inputs)
