"""Texts beside those of transformers: greedy and beams token for token, samples by what is drawn.

Hundreds of small models with other options each, prompts of other lengths in one batch.
"""

import json

import numpy as np
import pytest

import minibert
from minibert import GenerationConfig
from minibert.models.generation_checks import ends_of
from minibert.models.processors import log_softmax, steps_of

REASON = "a live check: pip install torch==2.13.0, then transformers"
torch = pytest.importorskip("torch", reason=REASON)
transformers = pytest.importorskip("transformers", reason=REASON)
transformers.logging.set_verbosity_error()

WORDS, PAD = 47, 46


CONFIGS = {
    "GPT2LMHeadModel": lambda: transformers.GPT2Config(
        vocab_size=WORDS, n_positions=40, n_embd=12, n_head=3, n_layer=2, initializer_range=0.4
    ),
    "BartForConditionalGeneration": lambda: transformers.BartConfig(
        vocab_size=WORDS,
        max_position_embeddings=40,
        d_model=12,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=3,
        encoder_ffn_dim=17,
        decoder_ffn_dim=19,
        init_std=0.4,
        pad_token_id=PAD,
        decoder_start_token_id=3,
    ),
}
KINDS = pytest.mark.parametrize("kind", CONFIGS)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def drawn(folder, seed, kind):
    """Return a small model of transformers in float64 and ours of the same file."""
    torch.manual_seed(seed)
    model = getattr(transformers, kind)._from_config(CONFIGS[kind](), attn_implementation="eager")
    for name in ("bos_token_id", "eos_token_id", "forced_eos_token_id"):
        setattr(model.generation_config, name, None)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "ln_f" in name or "final_layer_norm" in name:
                weight.mul_(0.8)
    model.save_pretrained(folder)
    return model.eval().double(), getattr(minibert, kind).from_pretrained(folder, "float64")


def prompts(random):
    """Return prompts of other lengths, padded on the left."""
    size, length = random.integers(1, 5), random.integers(1, 8)
    ids = random.integers(0, PAD, (size, length))
    mask = np.ones_like(ids)
    for row in mask[1:]:
        row[: random.integers(0, length)] = 0
    return np.where(mask, ids, PAD), mask


def some(random, count):
    return random.choice(PAD, count, replace=False).tolist()


def options(random, length):
    """Return what may be asked for, each with some likelihood."""
    new = int(random.integers(1, 20))
    asked = {
        "eos_token_id": some(random, int(random.integers(1, 9))),
        "pad_token_id": PAD,
        "min_new_tokens": int(random.integers(1, new + 1)),
        "min_length": int(random.integers(1, length + new)),
        "no_repeat_ngram_size": int(random.integers(1, 4)),
        "bad_words_ids": [some(random, n) for n in (1, 2, 2, 3)],
        "repetition_penalty": float(random.choice([0.7, 1.3, 2.0])),
        "forced_bos_token_id": some(random, 1)[0],
        "forced_eos_token_id": some(random, 1)[0],
        "suppress_tokens": [PAD, *some(random, 5)],
        "begin_suppress_tokens": some(random, 7),
    }
    chances = {"eos_token_id": 0.85, "pad_token_id": 1}
    kept = {k: v for k, v in asked.items() if random.random() < chances.get(k, 0.2)}
    if "min_new_tokens" in kept:
        kept.pop("min_length", None)
    kept.setdefault("suppress_tokens", [PAD])  # there, what was padded is looked at as words
    for name in ("suppress_tokens", "begin_suppress_tokens"):  # or no word would be left
        forced = {kept.get("forced_bos_token_id"), kept.get("forced_eos_token_id")}
        if name in kept:
            kept[name] = [word for word in kept[name] if word not in forced]
    by_length = random.random() < 0.3
    return {**kept, **({"max_length": length + new} if by_length else {"max_new_tokens": new})}


def beams(random):
    count = int(random.integers(2, 6))
    return {
        "num_beams": count,
        "num_return_sequences": int(random.integers(1, count + 1)),
        "length_penalty": float(random.choice([-1.0, 0.0, 0.6, 1.0, 2.0])),
        "early_stopping": [False, True, "never"][random.integers(3)],
    }


def theirs(model, ids, mask, asked):
    with torch.inference_mode():
        return model.generate(
            torch.tensor(ids), attention_mask=torch.tensor(mask), do_sample=False, **asked
        )


def compare(folder, seeds, kind, search):
    ended = 0
    for seed in seeds:
        random = np.random.default_rng(seed)
        model, ours = drawn(folder, seed, kind)
        for _ in range(4):
            ids, mask = prompts(random)
            begun = ids.shape[1] if kind == "GPT2LMHeadModel" else 1
            asked = options(random, begun)
            if search:
                asked |= beams(random)
                if asked.get("forced_bos_token_id") in asked.get("eos_token_id", ()):
                    continue  # all beams end at once, and what goes on there is rounding
            expected = theirs(model, ids, mask, asked).numpy()
            use_cache = bool(random.random() < 0.7)
            found = ours.generate(ids, mask, use_cache=use_cache, **asked)
            assert np.array_equal(found, expected), (seed, asked, ids, found, expected)
            ended += (expected[:, begun:] == PAD).any()
    return ended


@KINDS
@pytest.mark.parametrize("part", range(3))
def test_the_likeliest_words_are_theirs(tmp_path, part, kind):
    assert compare(tmp_path, range(12 * part, 12 * part + 12), kind, search=False) > 5


@KINDS
@pytest.mark.parametrize("part", range(3))
def test_beams_are_theirs(tmp_path, part, kind):
    assert compare(tmp_path, range(12 * part, 12 * part + 12), kind, search=True) > 5


@KINDS
def test_the_scores_of_beams_are_theirs(tmp_path, kind):
    told = {"return_dict_in_generate": True, "output_scores": True, "suppress_tokens": [PAD]}
    for seed in range(8):
        random = np.random.default_rng(seed)
        model, ours = drawn(tmp_path, seed, kind)
        ids, mask = prompts(random)
        asked = {**beams(random), **told, "max_new_tokens": 9, "pad_token_id": PAD}
        asked["eos_token_id"] = some(random, 4)
        expected = theirs(model, ids, mask, asked)
        found = ours.generate(ids, mask, **asked)
        assert np.array_equal(found.sequences, expected.sequences)
        scores = expected.sequences_scores.numpy()
        np.testing.assert_allclose(found.sequences_scores, scores, rtol=2e-5, atol=2e-5)


def test_what_is_drawn_from_is_theirs(tmp_path):
    """The scores after all steps, over draws of options; with beams more words are kept."""
    model, _ = drawn(tmp_path, 0, "GPT2LMHeadModel")
    for seed in range(200):
        random = np.random.default_rng(seed)
        length = int(random.integers(1, 9))
        words, scores = random.integers(0, PAD, (3, length)), random.normal(0, 3, (3, WORDS))
        asked = {**options(random, length), "do_sample": True, "top_k": int(random.integers(0, 12))}
        asked |= {"temperature": float(random.choice([0.3, 1.0, 2.5]))}
        asked |= {"top_p": float(random.choice([0.2, 0.9, 1.0]))}
        asked |= {"min_p": float(random.choice([0.0, 0.1, 0.6]))} if random.random() < 0.5 else {}
        asked |= {"num_beams": int(random.choice([1, 3]))}
        expected = processed(model, words, scores, dict(asked))
        settings = GenerationConfig().merged(asked)
        count = asked.get("max_new_tokens", asked.get("max_length", 0) - length)
        found = scores.astype(np.float32)
        for step in steps_of(settings, ends_of(settings), length, length + count):
            found = step(words, found)
        assert np.array_equal(np.isneginf(found), np.isneginf(expected)), (seed, asked)
        np.testing.assert_allclose(np.exp(log_softmax(found)), softmax(expected), atol=1e-6)


def softmax(scores):
    return torch.softmax(torch.tensor(scores), dim=-1).numpy()


def processed(model, words, scores, asked):
    """Return what transformers makes of scores."""
    defaults = transformers.GenerationConfig(
        **{**transformers.GenerationConfig._get_default_generation_params(), **asked}
    )
    if defaults.max_new_tokens is not None:
        defaults.max_length = words.shape[1] + defaults.max_new_tokens
    model._prepare_special_tokens(defaults, True, device="cpu")
    steps = model._get_logits_processor(
        generation_config=defaults, input_ids_seq_length=words.shape[1], device="cpu"
    )
    return steps(torch.tensor(words), torch.tensor(scores, dtype=torch.float32)).numpy()


@KINDS
def test_what_the_files_say_counts_alike(tmp_path, kind):
    """The file that each writes, and the fields of an old config.json."""
    ids, fields = np.full((2, 3), 5), {"num_beams": 3, "length_penalty": 2.0, "max_length": 12}
    fields |= {"no_repeat_ngram_size": 2, "early_stopping": True, "min_length": 5}
    fields |= {"eos_token_id": 9, "pad_token_id": PAD, "suppress_tokens": [PAD]}
    model, _ = drawn(tmp_path, 4, kind)
    for name, value in fields.items():
        setattr(model.generation_config, name, value)
    model.generation_config.forced_bos_token_id = 7
    model.save_pretrained(tmp_path)
    expected = model.generate(torch.tensor(ids)).numpy()
    ours = getattr(minibert, kind).from_pretrained(tmp_path, "float64")
    assert np.array_equal(ours.generate(ids), expected)
    ours.save_pretrained(tmp_path / "again")
    again = getattr(transformers, kind).from_pretrained(tmp_path / "again")
    assert np.array_equal(again.generate(torch.tensor(ids)).numpy(), expected)
    (tmp_path / "generation_config.json").unlink()
    path = tmp_path / "config.json"
    old = {**json.loads(path.read_text()), **fields, "force_bos_token_to_be_generated": True}
    path.write_text(json.dumps(old | {"bos_token_id": 7}))
    model = getattr(transformers, kind).from_pretrained(tmp_path).double()
    expected = model.generate(torch.tensor(ids)).numpy()
    ours = getattr(minibert, kind).from_pretrained(tmp_path, "float64")
    assert np.array_equal(ours.generate(ids), expected)
