"""What a call returns."""

import copy
import pickle

import numpy as np
import pytest


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


def test_places_in_the_text_and_tokens(small):
    batch = small("Paris is unaffable.", "a man plays")
    assert batch.tokens()[3:8] == ["una", "##ffa", "##ble", ".", "[SEP]"]
    assert [batch.char_to_token(place) for place in (0, 5, 9, 12, 18, 40)] == [
        1,
        None,
        3,
        4,
        6,
        None,
    ]
    assert batch.char_to_token(2, sequence_index=1) == 9
    assert batch.char_to_token(0, 2, 1) == 9
    assert [batch.token_to_chars(at) for at in (1, 4, 9)] == [(0, 5), (12, 15), (2, 5)]
    assert (batch.token_to_chars(1).start, batch.token_to_chars(0, 1).end) == (0, 5)
    assert [batch.token_to_word(at) for at in (0, 1, 5, -2)] == [None, 0, 2, 2]
    assert [batch.token_to_sequence(at) for at in (0, 1, 7, 9, 99)] == [None, 0, None, 1, None]
    assert batch.token_to_chars(0) is batch.token_to_chars(7) is batch.token_to_chars(99) is None
    assert [batch.word_to_tokens(number) for number in (0, 2, 9)] == [(1, 2), (3, 6), None]
    assert batch.word_to_tokens(1, sequence_index=1) == (9, 10)
    assert [batch.word_to_chars(number) for number in (2, 9)] == [(9, 18), None]
    assert [batch.char_to_word(place) for place in (13, 5)] == [2, None]
    assert batch.char_to_word(0, 3, 1) == 1


def test_places_count_from_the_padding_on(small):
    batch = small(["a", "paris is"], padding=True, padding_side="left")
    assert batch.tokens(0) == ["[PAD]", "[CLS]", "a", "[SEP]"]
    assert (batch.char_to_token(0, 0), batch.char_to_token(1, 6)) == (2, 2)
    assert batch.token_to_chars(0, 0) is None
    with pytest.raises(IndexError, match="there is no row 2; this batch has 2"):
        batch.word_ids(2)


def test_rows_that_were_tokenized_apart_become_a_batch(small):
    rows = [small("a"), small("a man", return_special_tokens_mask=False)]
    assert dict(small.pad(rows)) == dict(small(["a", "a man"], padding=True))
    batch = small.pad(
        [{"input_ids": [2, 3], "labels": 0.5}, {"input_ids": [2, 5, 3], "labels": 1.5}],
        pad_to_multiple_of=4,
        padding_side="left",
        return_tensors="np",
    )
    assert batch.input_ids.tolist() == [[0, 0, 2, 3], [0, 2, 5, 3]]
    assert batch.attention_mask.tolist() == [[0, 0, 1, 1], [0, 1, 1, 1]]
    assert batch.labels.tolist() == [0.5, 1.5]
    with pytest.raises(ValueError, match=r"pad\(\) returns ids alone"):
        batch.word_ids()


@pytest.mark.parametrize(
    ("given", "options", "expected"),
    [
        ({"input_ids": [[2], [2, 3]]}, {}, [[2, 0], [2, 3]]),
        ({"input_ids": [2, 3]}, {"padding": "max_length", "max_length": 3}, [2, 3, 0]),
        ({"input_ids": [[2], [2, 3]]}, {"padding": False}, [[2], [2, 3]]),
        ([{"input_ids": (2, 3, 4)}], {"padding": "max_length", "max_length": 2}, [[2, 3, 4]]),
        ({"input_ids": []}, {}, []),
    ],
)
def test_what_pad_takes(small, given, options, expected):
    assert small.pad(given, **options)["input_ids"] == expected


def test_pad_returns_arrays_where_arrays_are_given(small):
    rows = [{"input_ids": np.array([2, 3])}, {"input_ids": np.array([2, 5, 3])}]
    assert small.pad(rows)["input_ids"].tolist() == [[2, 3, 0], [2, 5, 3]]
    assert small.pad({"input_ids": [2, 3]}, return_tensors="np")["input_ids"].shape == (2,)
    assert "attention_mask" not in small.pad(rows, return_attention_mask=False)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "need input_ids"),
        ([{"labels": 1}], "need input_ids; found: labels"),
        ("text", "no dictionaries"),
        ([[1, 2]], "no dictionaries"),
        ([{"input_ids": [1]}, {"input_ids": [1], "labels": 0}], "different columns"),
    ],
)
def test_what_pad_refuses(small, given, words):
    with pytest.raises(ValueError, match=words):
        small.pad(given)
