"""Tasks with BART, whose decoder reads the text once more."""

import numpy as np
import pytest
from byte_pairs import small_tokenizer

from minibert import (
    BartConfig,
    BartForConditionalGeneration,
    BartForQuestionAnswering,
    BartForSequenceClassification,
    BartModel,
    BartTokenizer,
    tasks,
)

ENDS = ("<s>", "</s>", "<pad>", "<unk>", "<mask>")
SIZES = {
    **{"d_model": 12, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 3},
    **{"decoder_attention_heads": 2, "encoder_ffn_dim": 14, "decoder_ffn_dim": 10},
    **{"max_position_embeddings": 30, "init_std": 0.3},
}


@pytest.fixture
def tokenizer():
    return small_tokenizer(BartTokenizer, ENDS)


@pytest.fixture
def config(tokenizer):
    ids = {f"{role}_token_id": getattr(tokenizer, f"{role}_token_id") for role in ("pad", "bos")}
    ends = ("eos_token_id", "decoder_start_token_id", "forced_eos_token_id")
    ids |= dict.fromkeys(ends, tokenizer.eos_token_id)
    return BartConfig(vocab_size=len(tokenizer), num_labels=3, **SIZES, **ids)


@pytest.mark.parametrize(
    ("pooling", "pool"), [("mean", lambda x: x.mean(axis=0)), ("cls", lambda x: x[0])]
)
def test_the_decoders_states_are_pooled(config, tokenizer, pooling, pool):
    model = BartModel(config, seed=1)
    texts = ["the cat", "the cat sat on the mat.", "é"]
    found = tasks.embed(texts, pooling, normalize=False, model=(model, tokenizer))
    for text, vector in zip(texts, found, strict=True):
        states = model([tokenizer(text)["input_ids"]]).last_hidden_state[0]
        np.testing.assert_allclose(vector, pool(states), rtol=0, atol=2e-6)


@pytest.mark.parametrize("pair", [None, "a cat"])
def test_a_text_is_classified(config, tokenizer, pair):
    model = BartForSequenceClassification(config, seed=1)
    found = tasks.classify("the cat sat", pair, model=(model, tokenizer))
    logits = model([tokenizer("the cat sat", pair)["input_ids"]]).logits[0]
    assert found[0]["label"] == f"LABEL_{logits.argmax()}"
    assert sum(one["score"] for one in found) == pytest.approx(1)


@pytest.mark.parametrize("times", [1, 9])
def test_a_question_is_answered_from_a_context_of_any_length(config, tokenizer, times):
    context = "the cat sat on the mat. " * times
    pair = BartForQuestionAnswering(config, seed=1), tokenizer
    found = tasks.answer("a?", context, model=pair)
    assert context[found["start"] : found["end"]] == found["answer"] != ""


def test_what_a_bart_does_not_do_is_told_with_what_it_does(config, tokenizer):
    pair = BartForConditionalGeneration(config), tokenizer
    for task in (tasks.fill_mask, tasks.tag):
        with pytest.raises(ValueError, match=r"of 'bart' here.*'bart' has .*ForSeq2SeqLM"):
            task("the <mask>", model=pair)
