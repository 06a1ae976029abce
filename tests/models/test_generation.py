"""Greedy writing: what is written is what the whole model says is likeliest, text by text."""

from pathlib import Path

import numpy as np
import pytest

from minibert import GPT2Config, GPT2LMHeadModel, GPT2Model

FOLDER = Path(__file__).parents[1] / "data" / "gpt2"
PROMPTS = [[5, 7, 11, 13], [17, 19], [23, 29, 31, 37, 41, 43]]


@pytest.fixture(scope="module")
def model():
    return GPT2LMHeadModel.from_pretrained(FOLDER, "float64")


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


@pytest.mark.parametrize("side", ["left", "right"])
def test_texts_of_other_lengths_are_written_as_each_by_itself(model, side):
    ids, mask = padded(side)
    found = model.generate(ids, mask, max_new_tokens=13, eos_token_id=[])
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
    free = model.generate(ids, mask, max_new_tokens=13, eos_token_id=[])[:, 6:].tolist()
    ends = [free[0][3], free[1][5]]
    found = model.generate(ids, mask, max_new_tokens=13, eos_token_id=ends, pad_token_id=81)
    texts = [plainly(model, prompt, 13, ends) for prompt in PROMPTS]
    longest = max(map(len, texts))
    assert min(map(len, texts)) < longest
    assert found[:, 6:].tolist() == [text + [81] * (longest - len(text)) for text in texts]
    by_default = model.generate(ids, mask, max_new_tokens=13, eos_token_id=ends)[:, 6:]
    assert np.array_equal(by_default, np.where(found[:, 6:] == 81, 82, found[:, 6:]))


def test_a_text_that_has_ended_is_run_no_further(model, monkeypatch):
    ids, mask = padded("right")
    free = model.generate(ids, mask, max_new_tokens=13, eos_token_id=[])[:, 6:].tolist()
    rows = []
    own = model.next_logits
    monkeypatch.setattr(
        model, "next_logits", lambda batch: rows.append(len(batch.token_ids)) or own(batch), False
    )
    model.generate(ids, mask, max_new_tokens=5, eos_token_id=free[0][0])
    assert rows[0] == mask.sum()
    alive = [all(word != free[0][0] for word in text[:1]) for text in free]
    assert rows[1] == sum(alive) < 3


def test_the_ends_of_the_config_serve():
    config = GPT2Config(vocab_size=7, n_embd=6, n_head=2, n_layer=1, n_positions=50)
    first = GPT2LMHeadModel(config).generate([[1, 2]], max_new_tokens=1)[0, 2]
    for ends in (int(first), [int(first), 6]):
        other = GPT2LMHeadModel(GPT2Config(**{**config.to_dict(), "eos_token_id": ends}))
        assert other.generate([[1, 2]]).tolist() == [[1, 2, first]]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0; allowed: a whole number from 1 to"),
        ({"max_new_tokens": 28}, "a prompt of 2 tokens and max_new_tokens=28 make 30; this model"),
        ({"attention_mask": [[0, 0]]}, "prompt 0 is padding alone"),
        ({"attention_mask": np.ones((1, 2, 2))}, "attention_mask has an axis for queries"),
        ({"input_ids": [[1, 83]]}, r"input_ids\[0, 1\] is 83"),
    ],
)
def test_what_cannot_be_written_is_said(model, given, says):
    with pytest.raises(ValueError, match=says):
        model.generate(**{"input_ids": [[1, 2]], **given})


def test_an_option_that_is_not_there_is_said(model):
    with pytest.raises(TypeError, match="no argument 'max_new_token'; did you mean 'max_new_tok"):
        model.generate([[1, 2]], max_new_token=3)
    with pytest.raises(AttributeError, match="GPT2LMHeadModel writes texts"):
        GPT2Model.from_pretrained(FOLDER).generate([[1]])
