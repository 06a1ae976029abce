"""Tasks with GPT-2, whose tokenizer has no pad_token."""

import re

import numpy as np
import pytest
from byte_pairs import small_tokenizer

from minibert import (
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2ForTokenClassification,
    GPT2LMHeadModel,
    GPT2Model,
    tasks,
)

SIZES = {"n_embd": 15, "n_head": 3, "n_layer": 2, "n_positions": 40, "initializer_range": 0.3}
TEXTS = ["the cat", "the cat sat on the mat, the dog.", "é", "a cat sat"]


@pytest.fixture
def tokenizer():
    return small_tokenizer()


@pytest.fixture
def config(tokenizer):
    return GPT2Config(vocab_size=len(tokenizer), num_labels=3, **SIZES)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(
    ("pooling", "pool"),
    [("mean", lambda x: x.mean(axis=0)), ("lasttoken", lambda x: x[-1])],
)
def test_texts_of_several_lengths_are_embedded_without_a_pad_token(
    config, tokenizer, pooling, pool, side
):
    model = GPT2Model(config, seed=1)
    tokenizer.padding_side = side
    found = tasks.embed(TEXTS, pooling, normalize=False, model=(model, tokenizer))
    assert tokenizer.pad_token is None
    if side == "left":  # position ids count padding, so only the longest text is not shifted
        found, texts = found[1:2], TEXTS[1:2]
    else:
        texts = TEXTS
    for text, vector in zip(texts, found, strict=True):
        states = model([tokenizer(text)["input_ids"]]).last_hidden_state[0]
        np.testing.assert_allclose(vector, pool(states), rtol=0, atol=2e-6)


def test_a_folder_is_enough(tmp_path, config, tokenizer):
    model = GPT2Model(config, seed=1)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    expected = tasks.embed(TEXTS, model=(model, tokenizer))
    found = tasks.embed(TEXTS, model=tmp_path)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("pair", [None, " the cat"])
def test_a_text_is_classified(config, tokenizer, pair):
    config.id2label = {0: "bad", 1: "good", 2: "so so"}
    model = GPT2ForSequenceClassification(config, seed=1)
    found = tasks.classify("the cat sat", pair, model=(model, tokenizer))
    logits = model([tokenizer("the cat sat" + (pair or ""))["input_ids"]]).logits[0]
    assert found[0]["label"] == config.id2label[int(logits.argmax())]
    assert sum(one["score"] for one in found) == pytest.approx(1)


@pytest.mark.parametrize("aggregation", ["first", "average", "max"])
def test_words_are_tagged_without_the_space_before_them(config, tokenizer, aggregation):
    model = GPT2ForTokenClassification(config, seed=1)
    text = "the cat  sat\n on é mats"
    found = tasks.tag(text, aggregation, model=(model, tokenizer))
    assert [one["word"] for one in found] == text.split()
    for one in found:
        assert text[one["start"] : one["end"]] == one["word"]
    entities = tasks.tag(text, aggregation, model=(model, tokenizer), entities=True)
    assert all(one["word"] == one["word"].strip() for one in entities)


INSTEAD = "'gpt2' has AutoModel, AutoModelForCausalLM, "


@pytest.mark.parametrize(
    ("task", "texts", "says"),
    [
        (tasks.fill_mask, ["the [MASK]"], "there is no MaskedLM of 'gpt2' here"),
        (tasks.next_sentence, ["a", "b"], "there is no NextSentencePrediction of 'gpt2' here"),
        (tasks.answer, ["who?", "the cat"], "there is no QuestionAnswering of 'gpt2' here"),
    ],
)
def test_what_a_gpt2_does_not_do_is_told_with_what_it_does(
    tmp_path, config, tokenizer, task, texts, says
):
    model = GPT2LMHeadModel(config)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    for given in ((model, tokenizer), tmp_path):
        with pytest.raises(ValueError, match=re.escape(says)) as caught:
            task(*texts, model=given)
        assert INSTEAD in str(caught.value)


def test_a_model_for_something_else_is_refused(config, tokenizer):
    with pytest.raises(TypeError, match="needs a GPT2Model, found a GPT2LMHeadModel; load it wi"):
        tasks.embed(TEXTS, model=(GPT2LMHeadModel(config), tokenizer))
    with pytest.raises(TypeError, match=r"tuple of GPT2Tokenizer, GPT2Model; needed: \(model, t"):
        tasks.embed(TEXTS, model=(tokenizer, GPT2Model(config)))


def test_a_head_that_was_not_trained_is_refused(tmp_path, config, tokenizer):
    GPT2Model(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with (
        pytest.warns(UserWarning, match=r"newly initialized with random numbers: score\.weight"),
        pytest.raises(ValueError, match=r"has no such head: score\.weight would be random"),
    ):
        tasks.classify("the cat", model=tmp_path)


def test_an_empty_text_is_told_unless_others_stand_beside_it(config, tokenizer):
    pair = GPT2Model(config, seed=1), tokenizer
    with pytest.raises(ValueError, match="there is no token: the text is empty"):
        tasks.embed("", model=pair)
    found = tasks.embed(["", "the cat"], model=pair)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [0, 1], atol=1e-6)
