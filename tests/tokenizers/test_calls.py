"""Calling a tokenizer: shapes, options, and what is refused."""

import copy
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minibert.tokenizers import BertTokenizer


def test_one_text_gives_flat_lists_and_a_list_gives_rows(tokenizer):
    assert isinstance(tokenizer("a")["input_ids"][0], int)
    assert isinstance(tokenizer(["a"])["input_ids"][0], list)


def test_the_keys_are_those_of_transformers_in_its_order(tokenizer):
    assert list(tokenizer("a")) == ["input_ids", "token_type_ids", "attention_mask"]
    everything = tokenizer(
        "a",
        return_special_tokens_mask=True,
        return_offsets_mapping=True,
        return_overflowing_tokens=True,
    )
    assert list(everything)[3:] == [
        *("special_tokens_mask", "offset_mapping", "overflow_to_sample_mapping"),
    ]


def test_arrays(tokenizer):
    batch = tokenizer(["a b", "c"], padding=True, return_tensors="np", return_offsets_mapping=True)
    assert {key: (v.shape, v.dtype) for key, v in batch.items()} == {
        "input_ids": ((2, 4), np.int64),
        "token_type_ids": ((2, 4), np.int64),
        "attention_mask": ((2, 4), np.int64),
        "offset_mapping": ((2, 4, 2), np.int64),
    }
    assert tokenizer("a", return_tensors="np").input_ids.shape == (1, 3)


def test_a_batch_answers_to_attribute_key_and_row(tokenizer):
    batch = tokenizer([("a", "b"), ("c", "d")], padding="max_length", max_length=6)
    assert batch.input_ids is batch["input_ids"]
    assert batch.tokens(1) == ["[CLS]", "c", "[SEP]", "d", "[SEP]", "[PAD]"]
    assert batch.word_ids(1) == [None, 0, None, 0, None, None]
    assert batch.sequence_ids(1) == [None, 0, None, 1, None, None]
    assert batch[1].attention_mask == [1, 1, 1, 1, 1, 0]
    assert dict(**batch).keys() == batch.keys()
    with pytest.raises(AttributeError, match="no 'labels'; it has input_ids"):
        _ = batch.labels
    with pytest.raises(KeyError):
        batch[1.5]
    batch["labels"] = [0, 1]
    assert batch.pop("labels") == [0, 1]


def test_a_batch_can_be_copied_and_pickled(tokenizer):
    batch = tokenizer(["a", "b"])
    for other in (copy.copy(batch), copy.deepcopy(batch), pickle.loads(pickle.dumps(batch))):
        assert dict(other) == dict(batch)
        assert other.tokens(1) == batch.tokens(1)


def test_padding_may_be_on_the_left(vocab):
    tokenizer = BertTokenizer(vocab, padding_side="left")
    batch = tokenizer(["a b", "c"], padding=True)
    assert batch.tokens(1) == ["[PAD]", "[CLS]", "c", "[SEP]"]
    assert batch.attention_mask[1] == [0, 1, 1, 1]


def test_truncation_may_be_on_the_left(vocab):
    tokenizer = BertTokenizer(vocab, truncation_side="left")
    batch = tokenizer(
        "a b c d e", max_length=4, truncation=True, stride=1, return_overflowing_tokens=True
    )
    rows = [batch.tokens(i)[1:-1] for i in range(4)]
    assert rows == [["d", "e"], ["c", "d"], ["b", "c"], ["a", "b"]]


def test_long_contexts_come_in_windows(tokenizer):
    batch = tokenizer(
        ["a b", "c"],
        ["c d e f g", "h"],
        max_length=8,
        truncation="only_second",
        stride=1,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    assert batch.overflow_to_sample_mapping == [0, 0, 1]
    assert batch.tokens(1) == ["[CLS]", "a", "b", "[SEP]", "e", "f", "g", "[SEP]"]
    assert batch.offset_mapping[1][4:7] == [(4, 5), (6, 7), (8, 9)]
    assert batch.sequence_ids(1) == [None, 0, 0, None, 1, 1, 1, None]


def test_an_empty_pair_is_a_pair(tokenizer):
    assert tokenizer("a", "").tokens() == ["[CLS]", "a", "[SEP]", "[SEP]"]


def test_an_empty_text_is_special_tokens_alone(tokenizer):
    assert tokenizer("").tokens() == ["[CLS]", "[SEP]"]
    assert tokenizer("", add_special_tokens=False)["input_ids"] == []
    none = tokenizer(["", ""], add_special_tokens=False, return_tensors="np")
    assert none.input_ids.shape == (2, 0)


def test_lone_surrogates_are_dropped(tokenizer):
    row = tokenizer("a\ud800 b", return_offsets_mapping=True)
    assert (row.tokens()[1:-1], row.offset_mapping[1:-1]) == (["a", "b"], [(0, 1), (3, 4)])


def test_without_max_length_that_of_the_model_counts(tokenizer):
    assert len(tokenizer("a " * 30, truncation=True)["input_ids"]) == 12
    assert len(tokenizer("a", padding="max_length")["input_ids"]) == 12


def test_what_is_cut_off_is_gone_unless_it_is_asked_for(tokenizer):
    texts = ["a b c d e", "f"]
    batch = tokenizer(texts, max_length=4)
    assert [batch.tokens(i) for i in range(len(batch.input_ids))] == [
        *(["[CLS]", "a", "b", "[SEP]"], ["[CLS]", "f", "[SEP]"])
    ]
    assert len(tokenizer(texts, max_length=4, return_overflowing_tokens=True).input_ids) == 4


def test_tokenize_and_encode(tokenizer):
    assert tokenizer.tokenize("a b") == ["a", "b"]
    assert tokenizer.tokenize("a", "b", add_special_tokens=True)[0] == "[CLS]"
    assert tokenizer.encode("a", "b") == tokenizer("a", "b")["input_ids"]
    assert tokenizer.encode("a b", add_special_tokens=False, max_length=1) == [
        tokenizer.convert_tokens_to_ids("a")
    ]


def test_special_tokens_are_counted(tokenizer):
    assert [tokenizer.num_special_tokens_to_add(pair) for pair in (False, True)] == [2, 3]


def test_a_text_too_long_for_the_model_is_told_of_once(tokenizer):
    with pytest.warns(UserWarning, match="a row has 22 tokens, and the model takes 12 at most"):
        tokenizer("a " * 20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenizer("a " * 20)


def test_with_a_max_length_of_ones_own_nothing_is_told(vocab):
    tokenizer = BertTokenizer(vocab, model_max_length=3)
    assert len(tokenizer("a b c", max_length=9, truncation=False)["input_ids"]) == 5


def test_a_max_length_without_effect_is_told_of(tokenizer):
    with pytest.warns(UserWarning, match="no effect with padding=True"):
        tokenizer(["a b c"], padding=True, max_length=4)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((None,), {}, TypeError, "text is None; needed: text"),
        ((b"a",), {}, TypeError, r"text is bytes b'a'; needed: text \(str\).*decode"),
        ((["a", 3],), {}, TypeError, r"text\[1\] is int 3"),
        ((["a"], ["b", "c"]), {}, ValueError, "text has 1 entries, and text_pair has 2"),
        ((["a"], "b"), {}, TypeError, "text is a list, and text_pair is str 'b'"),
        (("a", ["b"]), {}, TypeError, "text_pair is list"),
        ((["a"], [None]), {}, TypeError, r"text_pair\[0\] is None"),
        (([("a", "b", "c")],), {}, ValueError, r"text\[0\] is a list of 3 entries"),
        (([("a", 3)],), {}, TypeError, r"text_pair\[0\] is int 3"),
        (([],), {}, ValueError, "empty list"),
        (("a",), {"padding": "longst"}, ValueError, "padding is 'longst'; allowed: False"),
        (("a",), {"padding": 1}, ValueError, "padding is 1"),
        (("a",), {"truncation": "first"}, ValueError, "truncation is 'first'; allowed"),
        (("a",), {"truncation": []}, ValueError, r"truncation is \[\]"),
        (("a",), {"max_length": "5"}, TypeError, "max_length is '5'; needed: a whole number"),
        (("a",), {"max_length": -1}, ValueError, "max_length is -1; allowed: 0 and above"),
        (("a",), {"stride": True}, TypeError, "stride is True"),
        (("a",), {"stride": -1}, ValueError, "stride is -1"),
        (("a",), {"return_tensors": "pt"}, ValueError, 'pass return_tensors="np"'),
        (("a",), {"return_tensors": "numpy"}, ValueError, 'allowed: None, "np"'),
        (
            (["a", "b c"],),
            {"return_tensors": "np"},
            ValueError,
            "input_ids is ragged.*padding=True",
        ),
        (("a b",), {"max_length": 1}, ValueError, "the special tokens alone take 2"),
        (
            ("a b c",),
            {"max_length": 4, "truncation": "only_second"},
            ValueError,
            "cuts the second text, and there is none",
        ),
        (
            ("a b c", "d"),
            {"max_length": 5, "truncation": "only_second"},
            ValueError,
            "room for 2 tokens, the other text takes 3, and the text to cut has 1",
        ),
        (("a",), {"max_length": 4, "stride": 2}, ValueError, "stride is 2.*room for 2 tokens"),
        (
            ("a b", "c d e"),
            {"max_length": 6, "truncation": "only_second", "stride": 1},
            ValueError,
            "stride is 1.*room for 1 tokens",
        ),
        (("a",), {"is_split_into_word": True}, TypeError, "is_split_into_word"),
    ],
)
def test_refused(tokenizer, arguments, options, error, words):
    with pytest.raises(error, match=words):
        tokenizer(*arguments, **options)


@pytest.mark.parametrize("options", [{"padding": "max_length"}, {"truncation": True}], ids=str)
def test_a_max_length_is_needed_where_the_files_name_none(vocab, options):
    tokenizer = BertTokenizer(vocab)
    with pytest.raises(ValueError, match=r"needs a max_length: the files.*max_length=512"):
        tokenizer("a", **options)


def test_padding_needs_a_token_for_it(vocab):
    without = {token: number for token, number in vocab.items() if token != "[PAD]"}
    with pytest.raises(ValueError, match=r"no '\[PAD\]', the pad_token; pass pad_token="):
        BertTokenizer(without)
    tokenizer = BertTokenizer(without, pad_token=None)
    assert tokenizer.pad_token_id is None
    with pytest.raises(ValueError, match="padding needs a pad_token"):
        tokenizer(["a", "b c"], padding=True)


def test_threads_may_share_one(vocab, said):
    lines = said["lines"] * 5
    alone = [dict(BertTokenizer(vocab)(line)) for line in lines]
    shared = BertTokenizer(vocab)
    with ThreadPoolExecutor(8) as pool:
        assert [dict(row) for row in pool.map(shared, lines)] == alone


def test_a_tokenizer_can_be_copied_and_pickled(tokenizer, said):
    tokenizer.add_tokens("foo bar")
    expected = dict(tokenizer(said["lines"][:7]))
    for other in (copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        assert dict(other(said["lines"][:7])) == expected
        assert other.tokenize("new foo bar")[-1] == "foo bar"
