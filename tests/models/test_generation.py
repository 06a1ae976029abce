"""Texts: what is written is what the whole model says is likeliest, and what options change."""

import gzip
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from writing import CONFIGS, cases, draws, likelihoods, model_of

from minibert import (
    AutoModelForCausalLM,
    BartConfig,
    BartForConditionalGeneration,
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Model,
    GPT2Tokenizer,
    functions,
    swap,
)
from minibert.models.processors import log_softmax
from minibert.tokenizers.byte_level import CHARACTERS

FOLDER = Path(__file__).parents[1] / "data" / "gpt2"
RECORDED = Path(__file__).parents[1] / "data" / "generation.json.gz"
PROMPTS = [[5, 7, 11, 13], [17, 19], [23, 29, 31, 37, 41, 43]]
FREE = {"eos_token_id": [], "max_new_tokens": 13}


@pytest.fixture(scope="module")
def model():
    return GPT2LMHeadModel.from_pretrained(FOLDER, "float64")


@pytest.fixture(scope="module")
def bart():
    config = BartConfig(
        vocab_size=31,
        d_model=12,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=3,
        encoder_ffn_dim=17,
        decoder_ffn_dim=19,
        max_position_embeddings=30,
        init_std=0.6,
        forced_eos_token_id=None,
    )
    return BartForConditionalGeneration(config, seed=3)


def plainly(model, prompt, count, ends=()):
    """Write a text by itself, all of it anew for each word."""
    text = list(prompt)
    for _ in range(count):
        text.append(int(model([text], use_cache=False).logits[0, -1].argmax()))
        if text[-1] in ends:
            break
    return text[len(prompt) :]


def padded(side):
    length = max(map(len, PROMPTS))
    ids, mask = np.full((3, length), 82), np.zeros((3, length), int)
    for i, prompt in enumerate(PROMPTS):
        part = slice(0, len(prompt)) if side == "right" else slice(length - len(prompt), length)
        ids[i, part], mask[i, part] = prompt, 1
    return ids, mask


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("side", ["left", "right"])
def test_texts_of_other_lengths_are_written_as_each_by_itself(model, side, use_cache):
    ids, mask = padded(side)
    found = model.generate(ids, mask, use_cache=use_cache, **FREE)
    assert found.shape == (3, 19)
    assert np.array_equal(found[:, :6], ids)
    for prompt, words in zip(PROMPTS, found[:, 6:].tolist(), strict=True):
        assert words == plainly(model, prompt, 13)


@pytest.mark.usefixtures("two_threads")
def test_threads_write_the_same(model):
    ids, mask = padded("right")
    found = model.generate(ids, mask, max_new_tokens=9, eos_token_id=[])
    assert found[0, 6:].tolist() == plainly(model, PROMPTS[0], 9)


def test_a_text_ends_where_it_says_so_and_is_filled_up(model):
    ids, mask = padded("right")
    free = model.generate(ids, mask, **FREE)[:, 6:].tolist()
    ends = [free[0][3], free[1][5]]
    found = model.generate(ids, mask, max_new_tokens=13, eos_token_id=ends, pad_token_id=81)
    texts = [plainly(model, prompt, 13, ends) for prompt in PROMPTS]
    longest = max(map(len, texts))
    assert min(map(len, texts)) < longest
    assert found[:, 6:].tolist() == [text + [81] * (longest - len(text)) for text in texts]
    by_default = model.generate(ids, mask, max_new_tokens=13, eos_token_id=ends)[:, 6:]
    assert np.array_equal(by_default, np.where(found[:, 6:] == 81, 82, found[:, 6:]))


def rows_of(monkeypatch, model):
    """Return a list that will hold how many tokens each step runs."""
    rows, own = [], model.next_logits
    monkeypatch.setattr(
        model, "next_logits", lambda batch: rows.append(batch.mask.sum()) or own(batch), False
    )
    return rows


def test_a_text_that_has_ended_is_run_no_further(model, monkeypatch):
    ids, mask = padded("right")
    free = model.generate(ids, mask, **FREE)[:, 6:].tolist()
    rows = rows_of(monkeypatch, model)
    model.generate(ids, mask, max_new_tokens=5, eos_token_id=free[0][0])
    assert rows[0] == mask.sum()
    alive = [all(word != free[0][0] for word in text[:1]) for text in free]
    assert rows[1] == sum(alive) < 3


def test_a_word_costs_as_many_multiplications_as_the_one_before(model):
    """Of the prompts only the last tokens are scored; attention alone looks further back."""
    counts = [0]

    def linear(x, weight, bias):
        counts[-1] += len(x) * weight.size
        return functions.linear(x, weight, bias)

    ids, mask = padded("left")
    with swap(linear=linear):
        model.generate(ids, mask, streamer=lambda words: counts.append(0), **FREE)
    layers = sum(a.size for name, a in model.state_dict().items() if "c_" in name and a.ndim == 2)
    head = len(ids) * model.lm_head.weight.size
    step = len(ids) * layers + head
    assert counts == [mask.sum() * layers + head, *[step] * 12, 0]


def test_a_prompt_is_run_once_for_all_its_texts(model, monkeypatch):
    rows = rows_of(monkeypatch, model)
    ids, mask = padded("left")
    model.generate(ids, mask, num_beams=3, max_new_tokens=4, eos_token_id=[])
    assert rows == [mask.sum(), 9, 9, 9]
    rows.clear()
    model.generate(ids, mask, do_sample=True, num_return_sequences=2, max_new_tokens=3, seed=0)
    assert rows[0] == mask.sum()
    assert max(rows[1:]) <= 6


def test_the_mask_is_where_no_padding_is(model):
    ids, mask = padded("left")
    assert np.array_equal(
        model.generate(ids, **FREE, pad_token_id=82), model.generate(ids, mask, **FREE)
    )
    unmasked = model.generate(ids, **{**FREE, "eos_token_id": 82}, pad_token_id=82)
    assert not np.array_equal(
        unmasked[:, :19], model.generate(ids, mask, **FREE)[:, : unmasked.shape[1]]
    )


def test_the_ends_of_the_config_serve():
    config = GPT2Config(vocab_size=7, n_embd=6, n_head=2, n_layer=1, n_positions=50)
    first = GPT2LMHeadModel(config).generate([[1, 2]], max_new_tokens=1)[0, 2]
    for ends in (int(first), [int(first), 6]):
        other = GPT2LMHeadModel(GPT2Config(**{**config.to_dict(), "eos_token_id": ends}))
        assert other.generate([[1, 2]]).tolist() == [[1, 2, first]]


def test_how_many_words_there_are_by_default(model):
    assert model.generate([[1, 2]], eos_token_id=[]).shape == (1, 22)
    assert model.generate([[1] * 14], eos_token_id=[]).shape == (1, 29)  # positions
    assert model.generate([[1, 2]], eos_token_id=[], max_length=7).shape == (1, 7)
    assert model.generate(bos_token_id=4, eos_token_id=[])[0, 0] == 4


# beams


def likelihood(model, text, begun):
    logs = log_softmax(model([text], use_cache=False).logits[0])
    return sum(logs[i, word] for i, word in enumerate(text[1:]) if i + 1 >= begun)


def test_beams_find_the_likeliest_text_where_all_are_looked_at(model):
    """With as many beams as words, two words are the likeliest two of all."""
    small = GPT2LMHeadModel(
        GPT2Config(vocab_size=9, n_embd=6, n_head=2, n_layer=1, n_positions=9, initializer_range=1)
    )
    asked = {"eos_token_id": [], "max_new_tokens": 2, "num_beams": 9, "num_return_sequences": 4}
    found = small.generate([[1, 2]], **asked).tolist()
    every = [[1, 2, a, b] for a in range(9) for b in range(9)]
    every.sort(key=lambda text: -likelihood(small, text, 2))
    assert found == every[:4]


def test_the_scores_of_beams(model):
    asked = {"num_beams": 4, "num_return_sequences": 3, "length_penalty": 0.5}
    told = {"return_dict_in_generate": True, "output_scores": True}
    found = model.generate(PROMPTS[:1], **FREE, **asked, **told)
    assert [*found.keys()] == ["sequences", "sequences_scores"]
    assert np.array_equal(found.sequences, model.generate(PROMPTS[:1], **FREE, **asked))
    scores = [likelihood(model, text, 4) / 13**0.5 for text in found.sequences.tolist()]
    np.testing.assert_allclose(found.sequences_scores, scores, rtol=1e-5)
    assert np.all(np.diff(found.sequences_scores) <= 0)
    assert model.generate([[1]], **FREE, return_dict_in_generate=True).sequences_scores is None


@pytest.mark.parametrize("use_cache", [True, False])
def test_beams_of_a_batch_are_those_of_each_prompt(model, use_cache):
    ids, mask = padded("right")
    asked = {"num_beams": 3, "max_new_tokens": 9, "eos_token_id": [3, 44, 60], "pad_token_id": 81}
    found = model.generate(ids, mask, use_cache=use_cache, **asked)[:, 6:]
    for prompt, words in zip(PROMPTS, found, strict=True):
        alone = model.generate([prompt], **asked)[0, len(prompt) :]
        assert np.array_equal(words[: len(alone)], alone)
        assert (words[len(alone) :] == 81).all()


def test_a_cache_moves_what_goes_on_and_copies_the_rest(model, monkeypatch):
    cache = model([[1, 2, 3], [4, 5, 6], [7, 8, 9]]).past_key_values
    first, second, _ = kept = [*cache.layers[0]]
    cache.select([1, 0, 1])
    now = cache.layers[0]
    assert now[0] is second
    assert now[1] is first
    assert now[2] is kept[2]  # written over
    assert np.array_equal(now[2], now[0])
    more = model([[1], [2], [3]], past_key_values=cache).logits
    for row, text in zip(more, ([4, 5, 6, 1], [1, 2, 3, 2], [4, 5, 6, 3]), strict=True):
        np.testing.assert_allclose(row[0], model([text]).logits[0, -1], atol=1e-12)


# beside transformers, as recorded by tests/tools/record_generation.py


@pytest.fixture(scope="module")
def recorded():
    return json.loads(gzip.decompress(RECORDED.read_bytes()))


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_texts_are_those_of_transformers(recorded, tmp_path, kind):
    """Greedy and with beams, all options, prompts of other lengths."""
    assert len(recorded[kind]) == 24
    for seed, expected in enumerate(recorded[kind]):
        model = model_of(kind, seed, tmp_path)
        for (ids, mask, asked), texts in zip(cases(kind, seed), expected, strict=True):
            found = model.generate(ids, mask, use_cache=seed % 3 > 0, **asked)
            assert found.tolist() == texts, (seed, asked)


def test_what_is_drawn_from_is_what_transformers_draws_from(recorded):
    seeds = [seed + more for seed in range(24) for more in (0, 1000)]
    rows = np.concatenate([likelihoods(*draws(seed)) for seed in seeds])
    for row, expected in zip(rows, recorded["draws"], strict=True):
        places, probabilities = zip(*expected, strict=True)
        assert np.flatnonzero(row).tolist() == [*places]
        np.testing.assert_allclose(row[[*places]], probabilities, atol=1e-6)


# samples


def test_the_same_seed_draws_the_same(model):
    asked = {**FREE, "do_sample": True, "num_return_sequences": 3}
    first, again, other = (model.generate([[5, 7]], seed=seed, **asked) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == (3, 15)
    assert len({*map(tuple, first.tolist())}) == 3


def test_a_text_is_drawn_alike_whoever_ends(model):
    asked = {"do_sample": True, "num_return_sequences": 4, "seed": 3, "max_new_tokens": 13}
    free = model.generate([[5, 7]], **asked, eos_token_id=[])
    ended = model.generate([[5, 7]], **asked, eos_token_id=int(free[0, 3]), pad_token_id=0)
    assert (ended[0, 4:] == 0).all()
    for text, whole in zip(ended, free, strict=True):
        length = np.flatnonzero([*(whole[2:] == free[0, 3]), True])[0] + 3
        assert np.array_equal(text[:length], whole[:length])


def test_words_are_drawn_as_often_as_they_are_likely(model):
    logits = model([[5, 7]]).logits[0, -1] / 0.7
    kept = np.sort(logits)[-6]
    expected = np.where(logits >= kept, np.exp(logits - logits.max()), 0)
    expected /= expected.sum()
    asked = {"do_sample": True, "temperature": 0.7, "top_k": 6, "max_new_tokens": 1}
    texts = model.generate([[5, 7]] * 50, num_return_sequences=100, seed=0, **asked)
    found = np.bincount(texts[:, 2], minlength=83) / 5000
    np.testing.assert_allclose(found, expected, atol=0.025)
    assert not found[expected == 0].any()


def test_beams_are_drawn_too(model):
    asked = {**FREE, "do_sample": True, "num_beams": 3}
    first, again, other = (model.generate([[5, 7]], seed=seed, **asked) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    coldest = model.generate([[5, 7]], seed=3, **asked, temperature=1e-4, top_k=0)
    assert likelihood(model, coldest[0].tolist(), 2) > likelihood(model, other[0].tolist(), 2)


# words that may come, and not


def test_what_is_forbidden_does_not_come(model):
    free = model.generate([[5, 7]], **FREE)[0, 2:].tolist()
    found = model.generate([[5, 7]], **FREE, suppress_tokens=free)[0, 2:].tolist()
    assert not {*free} & {*found}
    found = model.generate([[5, 7]], **FREE, bad_words_ids=[[7, free[0]]])[0, 2:].tolist()
    assert found[0] != free[0]
    text = model.generate([[5, 7]], **FREE, no_repeat_ngram_size=2)[0].tolist()
    assert len({*pairwise(text)}) == len(text) - 1
    text = model.generate([[5, 7]], **FREE, no_repeat_ngram_size=1)[0].tolist()
    assert len({*text}) == len(text)
    found = model.generate([[5]], **FREE, forced_bos_token_id=33, forced_eos_token_id=44)[0]
    assert (found[1], found[-1]) == (33, 44)


def test_a_text_is_as_long_as_it_must_be(model):
    end = int(model.generate([[5, 7]], **FREE)[0, 2])
    asked = {"max_new_tokens": 13, "eos_token_id": end}
    assert model.generate([[5, 7]], **asked).shape[1] == 3
    assert end not in model.generate([[5, 7]], **asked, min_new_tokens=6)[0, 2:8]
    assert end not in model.generate([[5, 7]], **asked, min_length=6)[0, 2:6]


# streaming


def test_words_come_as_they_are_written(model):
    ids, mask = padded("left")
    steps = model.stream(ids, mask, **FREE)
    first = next(steps)
    assert first.shape == (3,)
    words = np.stack([first, *steps], axis=1)
    assert np.array_equal(words, model.generate(ids, mask, **FREE)[:, 6:])


class Listener:
    def __init__(self):
        self.heard = []

    def put(self, words):
        self.heard.append(words)

    def end(self):
        self.heard.append("end")


def test_a_streamer_hears_the_prompt_and_each_word(model):
    listener, words = Listener(), []
    found = model.generate([[5, 7]], **FREE, streamer=listener)
    assert np.array_equal(listener.heard[0], [[5, 7]])
    assert np.array_equal(np.concatenate(listener.heard[1:-1]), found[0, 2:])
    assert listener.heard[-1] == "end"
    model.generate([[5, 7]], **FREE, streamer=words.append)
    assert np.array_equal(np.concatenate(words), found[0, 2:])


def test_an_interrupted_streamer_is_told_the_end(model):
    listener = Listener()

    def put(words, heard=listener.heard):
        heard.append(words)
        if len(heard) == 4:
            raise KeyboardInterrupt

    listener.put = put
    with pytest.raises(KeyboardInterrupt):
        model.generate([[5, 7]], **FREE, streamer=listener)
    assert len(listener.heard) == 5
    assert listener.heard[-1] == "end"


def test_incomplete_characters_are_held_back():
    tokens = {CHARACTERS[byte]: byte for byte in range(256)}
    tokens["<|endoftext|>"] = 256
    decode = GPT2Tokenizer(tokens, []).decoder()
    assert [decode(np.array([byte])) for byte in "né".encode()] == ["n", "", "é"]


def test_progress_is_told_when_asked(model, monkeypatch):
    told = []
    monkeypatch.setattr("minibert.runtime.progress.progress", told.append)
    model.generate([[5, 7]], **FREE, num_beams=2)
    assert told[-1] == "token 13 of at most 13"


# an encoder


def test_a_decoder_writes_what_the_whole_model_says(bart):
    ids = np.random.default_rng(1).integers(3, 31, (3, 8))
    mask = np.ones_like(ids)
    mask[1, 5:], mask[2, :3] = 0, 0
    found = bart.generate(ids, mask, max_new_tokens=9, eos_token_id=[])
    assert found.shape == (3, 10)
    assert (found[:, 0] == 2).all()
    for i, row in enumerate(found.tolist()):
        text = [2]
        for _ in range(9):
            out = bart(ids[i : i + 1], mask[i : i + 1], decoder_input_ids=[text], use_cache=False)
            text.append(int(out.logits[0, -1].argmax()))
        assert row == text


@pytest.mark.parametrize("asked", [{}, {"num_beams": 3}, {"num_beams": 3, "use_cache": False}])
def test_an_encoder_runs_once(bart, monkeypatch, asked):
    ids = np.random.default_rng(1).integers(3, 31, (2, 8))
    expected = bart.generate(ids, max_new_tokens=6, **asked)
    states, calls = bart.get_encoder()(ids), []
    own = bart.read
    monkeypatch.setattr(bart, "read", lambda *given: calls.append(1) or own(*given), False)
    assert np.array_equal(bart.generate(ids, max_new_tokens=6, **asked), expected)
    assert calls == [1]
    found = bart.generate(encoder_outputs=states, max_new_tokens=6, **asked)
    assert np.array_equal(found, expected)
    assert calls == [1]


def test_beams_share_what_the_encoder_read(bart, monkeypatch):
    caches, own = [], bart.decoder_batch
    monkeypatch.setattr(
        bart, "decoder_batch", lambda *a, cache: caches.append(cache) or own(*a, cache=cache), False
    )
    bart.generate(np.full((1, 8), 5), num_beams=4, max_new_tokens=6, eos_token_id=[])
    kept = caches[-1].source.layers[0]
    assert len(kept) == 4
    assert len({*map(id, kept)}) == 1


def test_what_a_decoder_begins_with(bart):
    ids, more = [[5, 6, 7]], {"max_new_tokens": 3, "eos_token_id": []}
    assert bart.generate(ids, **more, decoder_input_ids=[[2, 9]])[0, :2].tolist() == [2, 9]
    assert bart.generate(ids, **more, decoder_input_ids=[[9]])[0, :2].tolist() == [2, 9]
    assert bart.generate(ids, **more, decoder_start_token_id=11)[0, 0] == 11
    bart.generation_config.decoder_start_token_id = None
    assert bart.generate(ids, **more)[0, 0] == 0  # bos
    bart.generation_config.bos_token_id = None
    with pytest.raises(ValueError, match="there is no decoder_start_token_id to begin with"):
        bart.generate(ids, **more)
    del bart.generation_config
    with pytest.raises(ValueError, match="encoder_outputs is of another batch"):
        bart.generate(ids, encoder_outputs=np.ones((2, 3, 12), np.float32))


# settings


def saved(folder, **fields):
    config = GPT2Config(vocab_size=7, n_embd=6, n_head=2, n_layer=1, n_positions=50)
    GPT2LMHeadModel(config).save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps(fields))
    return GPT2LMHeadModel.from_pretrained(folder)


def test_the_file_beside_the_weights_says_how(tmp_path):
    fields = {"max_new_tokens": 3, "num_beams": 2, "eos_token_id": [5, 6], "top_k": 4}
    model = saved(tmp_path, **fields, transformers_version="5.24.0", low_memory=None)
    assert model.generation_config.num_beams == 2
    assert model.generate([[1, 2]]).shape[1] <= 5
    model.generation_config.max_new_tokens = 1
    model.save_pretrained(tmp_path / "again")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "again")
    assert again.generation_config == model.generation_config
    assert again.generate([[1, 2]], eos_token_id=[]).shape == (1, 3)
    read = GenerationConfig.from_pretrained(tmp_path / "again", num_beams=7)
    assert (read.num_beams, read.eos_token_id) == (7, [5, 6])


def test_the_config_of_an_old_checkpoint_says_how(tmp_path):
    saved(tmp_path)
    (tmp_path / "generation_config.json").unlink()
    old = json.loads((tmp_path / "config.json").read_text())
    old |= {"num_beams": 3, "max_length": 9, "no_repeat_ngram_size": 2, "output_attentions": True}
    old |= {"force_bos_token_to_be_generated": True, "bos_token_id": 4}
    (tmp_path / "config.json").write_text(json.dumps(old))
    model = GPT2LMHeadModel.from_pretrained(tmp_path)
    found = model.generation_config
    assert (found.num_beams, found.max_length, found.no_repeat_ngram_size) == (3, 9, 2)
    assert found.forced_bos_token_id == 4
    assert model.generate([[1, 2]], eos_token_id=[]).shape == (1, 9)
    assert model.generate([[1, 2]], eos_token_id=[], max_new_tokens=9).shape == (1, 11)


def test_arguments_count_over_the_file(tmp_path):
    model = saved(tmp_path, max_new_tokens=30, do_sample=True, temperature=0.5)
    assert model.generate([[1, 2]], eos_token_id=[], max_length=5).shape == (1, 5)
    first, second = (model.generate([[1, 2]], eos_token_id=[], do_sample=False) for _ in "12")
    assert np.array_equal(first, second)
    other = GenerationConfig(max_new_tokens=4)
    assert model.generate([[1, 2]], eos_token_id=[], generation_config=other).shape == (1, 6)


def test_what_a_file_says_and_is_not_computed_is_refused_when_it_counts(tmp_path):
    model = saved(tmp_path, typical_p=0.3)
    with pytest.raises(ValueError, match=r"typical_p is 0.3: typical sampling is not computed he"):
        model.generate([[1]])
    model.generate([[1]], typical_p=1.0, max_new_tokens=1)
    with pytest.warns(UserWarning, match=r"has fields that change nothing here: colour, shape"):
        saved(tmp_path, colour="red", shape=[1])
    with pytest.warns(UserWarning, match=r"nothing here: \\x1b\[31m, xxxxx"):
        saved(tmp_path, **{"\x1b[31m": 1, "x" * 999: 2})
    with pytest.raises(
        ValueError, match=r"generation_config.json': num_beams is 0; allowed: a whole"
    ):
        saved(tmp_path, num_beams=0)
    with pytest.raises(TypeError, match="no argument 'num_beam'; did you mean 'num_beams'"):
        GenerationConfig(num_beam=3)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0; allowed: a whole number from 1 to"),
        ({"max_new_tokens": 28}, "a prompt of 2 tokens and max_new_tokens=28 make 30; this model"),
        ({"max_length": 40}, "a prompt of 2 tokens and max_length=40 make 40; this model"),
        ({"max_length": 2}, "max_length is 2, and the prompts are 2 tokens long: pass a larger"),
        ({"input_ids": [[1] * 29]}, "the prompts are 29 tokens long; this model has positions for"),
        ({"max_length": 9, "max_new_tokens": 7}, "max_length and max_new_tokens say the same"),
        ({"max_new_tokens": 3, "min_new_tokens": 4}, "at least 4 words are to come, and at most 3"),
        ({"attention_mask": [[0, 0]]}, "prompt 0 is padding alone"),
        ({"attention_mask": np.ones((1, 2, 2))}, "attention_mask has an axis for queries"),
        ({"input_ids": [[1, 83]]}, r"input_ids\[0, 1\] is 83"),
        (
            {"input_ids": [[]]},
            r"is \(1, 0\). There is no token to go on from; leave it out to begin",
        ),
        ({"input_ids": [[1], [1, 2]]}, "input_ids is ragged"),
        ({"temperature": 0.5}, "temperature does nothing unless words are drawn: pass do_sample"),
        ({"seed": 3}, "seed does nothing unless words are drawn"),
        ({"num_beams": 2, "top_p": 0.5}, "top_p does nothing unless words are drawn"),
        ({"seed": -1, "do_sample": True}, "seed is -1; allowed: whole numbers from 0"),
        ({"temperature": 0, "do_sample": True}, "temperature is 0; allowed: a number from 1e-37"),
        ({"length_penalty": 2.0}, "length_penalty does nothing without beams"),
        ({"num_return_sequences": 2}, "num_return_sequences is 2: the likeliest words make one"),
        ({"num_return_sequences": 4, "num_beams": 3}, "is 4; allowed: 1 to num_beams, 3"),
        (
            {"early_stopping": "soon", "num_beams": 2},
            "early_stopping is 'soon'; allowed: true, fal",
        ),
        ({"streamer": print, "num_beams": 2}, "beams show no words before the search is over"),
        ({"forced_eos_token_id": [1, 90]}, r"forced_eos_token_id has 90; allowed: 0 to 82"),
        ({"bad_words_ids": [[]]}, r"bad_words_ids is \[\[\]\]; allowed: a list of words"),
        ({"suppress_tokens": [*range(83)]}, "no word is left to go on with"),
        ({"top_h": 0.4, "do_sample": True}, "top_h is 0.4: top-H sampling is not computed here"),
        ({"input_ids": None, "bos_token_id": None}, "there is no bos_token_id to begin with"),
    ],
)
def test_what_cannot_be_written_is_said(model, given, says, monkeypatch):
    if given.get("input_ids", 0) is None:
        monkeypatch.setattr(model.generation_config, "bos_token_id", None)
    with pytest.raises(ValueError, match=says):
        model.generate(**{"input_ids": [[1, 2]], **given})


def test_an_option_that_is_not_there_is_said(model):
    with pytest.raises(TypeError, match="no argument 'max_new_token'; did you mean 'max_new_tok"):
        model.generate([[1, 2]], max_new_token=3)
    with pytest.raises(TypeError, match="has no argument 'decoder_input_ids'"):
        model.generate([[1, 2]], decoder_input_ids=[[1]])
    with pytest.raises(TypeError, match="generation_config is a dict; needed: a GenerationConfig"):
        model.generate([[1, 2]], generation_config={"num_beams": 2})
    with pytest.raises(AttributeError, match="GPT2LMHeadModel and Bart"):
        GPT2Model.from_pretrained(FOLDER).generate([[1]])
    with pytest.raises(ValueError, match="beams show no words"):
        model.stream([[1, 2]], num_beams=2)
