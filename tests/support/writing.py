"""Small models that write, prompts, and options: what transformers writes with them is recorded."""

import numpy as np

import minibert
from minibert import BartConfig, GenerationConfig, GPT2Config
from minibert.models.generation_checks import ends_of
from minibert.models.processors import log_softmax, steps_of

WORDS, PAD = 47, 46
NO_END = {"bos_token_id": None, "eos_token_id": None}
CONFIGS = {
    "GPT2LMHeadModel": GPT2Config(
        vocab_size=WORDS,
        n_positions=40,
        n_embd=12,
        n_head=3,
        n_layer=2,
        initializer_range=0.4,
        **NO_END,
    ),
    "BartForConditionalGeneration": BartConfig(
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
        forced_eos_token_id=None,
        **NO_END,
    ),
}


def model_of(kind, seed, folder):
    """Return a small model in float64, whose files are in the folder."""
    model = getattr(minibert, kind)
    model(CONFIGS[kind], seed).save_pretrained(folder)
    return model.from_pretrained(folder, "float64")


def cases(kind, seed):
    """Yield prompts, their mask, and options: the likeliest words twice, and beams twice."""
    random = np.random.default_rng(seed)
    for is_search in (False, False, True, True):
        ids, mask = prompts(random)
        begun = ids.shape[1] if kind == "GPT2LMHeadModel" else 1
        asked = options(random, begun)
        if is_search:
            asked |= beams(random)
            # where all beams end with one word at once, what fills the others is anybody's choice
            ends = asked.get("eos_token_id", ())
            is_only = asked.get("max_new_tokens", asked.get("max_length", 0) - begun) == 1
            if asked.get("forced_bos_token_id") in ends:
                del asked["forced_bos_token_id"]
            if is_only and asked.get("forced_eos_token_id") is not None:
                del asked["forced_eos_token_id"]
        yield ids, mask, asked


def prompts(random):
    """Return prompts of other lengths, padded on the left."""
    size, length = random.integers(1, 5), random.integers(1, 8)
    ids = random.integers(0, PAD, (size, length))
    mask = np.ones_like(ids)
    for row in mask[1:]:
        row[: random.integers(0, length)] = 0
    return np.where(mask, ids, PAD), mask


def some(random, count):
    """Return so many words."""
    return random.choice(PAD, count, replace=False).tolist()


def options(random, length):
    """Return what may be asked for, each with some likelihood."""
    new = int(random.integers(1, 20))
    asked = {
        "eos_token_id": some(random, int(random.choice([1, 2, 4, 8, 25]))),
        "min_new_tokens": int(random.integers(1, new + 1)),
        "min_length": int(random.integers(1, length + new)),
        "no_repeat_ngram_size": int(random.integers(1, 4)),
        "bad_words_ids": [some(random, n) for n in (1, 1, 2, 2, 3)],
        "repetition_penalty": float(random.choice([0.7, 1.3, 2.0])),
        "forced_bos_token_id": some(random, 1)[0],
        "forced_eos_token_id": some(random, 1)[0],
        "suppress_tokens": some(random, 5),
        "begin_suppress_tokens": some(random, 7),
    }
    kept = {k: v for k, v in asked.items() if random.random() < (0.85 if k[0:3] == "eos" else 0.2)}
    if "min_new_tokens" in kept:
        kept.pop("min_length", None)
    forced = {kept.get("forced_bos_token_id"), kept.get("forced_eos_token_id")}
    for name in ("suppress_tokens", "begin_suppress_tokens"):  # or no word would be left
        if name in kept:
            kept[name] = [word for word in kept[name] if word not in forced]
    # there, padding is looked at as words: that makes no difference if no text has it
    kept["suppress_tokens"] = [PAD, *kept.get("suppress_tokens", ())]
    by_length = {"max_length": length + new} if random.random() < 0.3 else {"max_new_tokens": new}
    return {**kept, **by_length, "pad_token_id": int(random.choice([PAD, 0]))}


def beams(random):
    """Return what may be asked of beams."""
    count = int(random.integers(2, 6))
    return {
        "num_beams": count,
        "num_return_sequences": int(random.integers(1, count + 1)),
        "length_penalty": float(random.choice([-1.0, 0.0, 0.6, 1.0, 2.0])),
        "early_stopping": [False, True, "never"][random.integers(3)],
    }


def draws(seed):
    """Return the words so far, scores of those that may come, and options of sampling."""
    random = np.random.default_rng(seed)
    length = int(random.integers(1, 9))
    words, scores = random.integers(0, PAD, (3, length)), random.normal(0, 3, (3, WORDS))
    asked = {**options(random, length), "do_sample": True, "top_k": int(random.integers(0, 12))}
    asked |= {"temperature": float(random.choice([0.3, 1.0, 2.5]))}
    asked |= {"top_p": float(random.choice([0.2, 0.9, 1.0]))}
    asked |= {"min_p": float(random.choice([0.0, 0.1, 0.6]))} if random.random() < 0.5 else {}
    if asked["top_p"] == 1 and "min_p" not in asked:  # there sorting decides which are kept
        scores[:, 1:9] = scores[:, :1]  # as likely
    return words, scores.astype(np.float32), asked | {"num_beams": int(random.choice([1, 3]))}


def likelihoods(words, scores, asked):
    """Return with what probability each word is drawn."""
    settings, length = GenerationConfig().merged(asked), words.shape[1]
    count = asked.get("max_new_tokens", asked.get("max_length", 0) - length)
    for step in steps_of(settings, ends_of(settings), length, length + count):
        scores = step(words, scores)
    return np.exp(log_softmax(scores))
