"""What is too long for a model: every task cuts it and says so, and none loses what it needs."""

import warnings

import numpy as np
import pytest

from minibert import BertConfig, BertModel
from minibert.models.bert_heads import (
    BertForMaskedLM,
    BertForNextSentencePrediction,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)
from minibert.tasks import answer, classify, embed, fill_mask, next_sentence, tag
from minibert.tasks.common import by_length, encode
from minibert.tokenizers import BertTokenizer

LONG = "the cat sat on the mat . " * 9
KEPT = "the cat sat on the mat . " * 4 + "the"  # 29 words and two special tokens, of 31
PAIR_KEPT = "the cat sat on the mat . " * 3 + "the cat sat on the"  # beside "it ." and three

TASKS = {
    "classify": (classify, BertForSequenceClassification, [LONG], [KEPT]),
    "classify a pair": (
        classify,
        BertForSequenceClassification,
        [LONG, "it ."],
        [PAIR_KEPT, "it ."],
    ),
    "fill_mask": (fill_mask, BertForMaskedLM, [f"[MASK] {LONG}"], [f"[MASK] {KEPT[:-4]}"]),
    "next_sentence": (
        *(next_sentence, BertForNextSentencePrediction),
        *([LONG, "it ."], [PAIR_KEPT, "it ."]),
    ),
    "embed": (embed, BertModel, [LONG], [KEPT]),
    "embed several": (embed, BertModel, [["it .", LONG]], [["it .", KEPT]]),
}


@pytest.fixture(params=TASKS)
def task(request, config):
    function, kind, long, kept = TASKS[request.param]
    model = kind(config, seed=1)
    return lambda texts, tokenizer: function(*texts, model=(model, tokenizer)), long, kept


def test_the_end_of_what_is_too_long_is_cut_and_a_warning_says_so(task, tokenizer):
    run, long, kept = task
    with pytest.warns(UserWarning, match="longer than the 31 tokens that can be read") as told:
        found = run(long, tokenizer)
    assert len(told) == 1
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = run(kept, tokenizer)
    np.testing.assert_equal(found, expected)


def test_the_model_has_a_limit_if_the_tokenizer_has_none(task, tokenizer):
    run, long, _ = task
    silent = BertTokenizer(tokenizer.get_vocab())  # as from files that name no model_max_length
    with pytest.warns(UserWarning, match="longer than the 31 tokens"):
        found = run(long, silent)
    with pytest.warns(UserWarning, match="longer than the 31 tokens"):
        np.testing.assert_equal(found, run(long, tokenizer))


EVERY = [
    *((function, kind, kept) for function, kind, _, kept in TASKS.values()),
    (answer, BertForQuestionAnswering, ["who ?", KEPT]),
    (tag, BertForTokenClassification, [KEPT]),
]


@pytest.mark.parametrize(("task", "kind", "texts"), EVERY)
def test_a_config_that_asks_for_tuples_changes_nothing(config, tokenizer, task, kind, texts):
    expected = task(*texts, model=(kind(config, seed=1), tokenizer))
    config.return_dict = False
    np.testing.assert_equal(task(*texts, model=(kind(config, seed=1), tokenizer)), expected)


@pytest.mark.parametrize(("task", "kind", "texts"), EVERY)
def test_padding_is_hidden_whatever_columns_the_files_ask_for(config, tokenizer, task, kind, texts):
    names = ["input_ids", "token_type_ids"]
    without = BertTokenizer(tokenizer.get_vocab(), model_max_length=31, model_input_names=names)
    model = kind(config, seed=1)
    expected = task(*texts, model=(model, tokenizer))
    np.testing.assert_equal(task(*texts, model=(model, without)), expected)


def test_an_answer_is_looked_for_in_the_whole_of_a_context(config, tokenizer):
    model = BertForQuestionAnswering(config, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert answer("who ?", LONG, model=(model, tokenizer))["answer"]


def test_a_single_text_needs_no_padding(tokenizer):
    vocab = {token: i for token, i in tokenizer.get_vocab().items() if token != "[PAD]"}
    without = BertTokenizer(vocab, pad_token=None)
    assert encode(without, 31, "the cat")["input_ids"].shape == (1, 4)


def test_batches_are_of_like_length_the_longest_first():
    assert [batch.tolist() for batch in by_length([3, 9, 1, 9, 4], 2)] == [[1, 3], [4, 0], [2]]


def test_warnings_of_loading_point_at_the_caller(tmp_path, config, tokenizer):
    """Through tasks too, from however deep inside the package."""
    some = BertConfig.from_dict(config.to_dict())
    BertModel(some, seed=1).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).unlink()
    with pytest.warns(UserWarning, match="do not say whether texts are lower-cased") as told:
        embed("the cat", model=tmp_path)
    assert [warning.filename for warning in told] == [__file__]
