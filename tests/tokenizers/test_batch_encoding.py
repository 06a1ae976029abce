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
