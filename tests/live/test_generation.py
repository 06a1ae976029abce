"""Texts beside those of transformers: greedy and beams token for token, samples by what is drawn.

Hundreds of small models with other options each, prompts of other lengths in one batch.
"""

import numpy as np
import pytest

import minibert

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
