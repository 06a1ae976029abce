"""The options of a call and the settings of a tokenizer, and what is refused."""

import pytest

from minibert.tokenizers import BertTokenizer
from minibert.tokenizers.normalize import Normalizer


def test_without_max_length_that_of_the_model_counts(tokenizer):
    assert len(tokenizer("a " * 30, truncation=True)["input_ids"]) == 12
    assert len(tokenizer("a", padding="max_length")["input_ids"]) == 12


def test_a_max_length_without_effect_is_told_of(tokenizer):
    with pytest.warns(UserWarning, match="no effect with padding=True") as told:
        tokenizer(["a b c"], padding=True, max_length=4)
    assert told[0].filename == __file__


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
        (("a",), {"is_split_into_word": True}, TypeError, "did you mean 'is_split_into_words'"),
        (("a",), {"paddding": True}, TypeError, "no option 'paddding'; did you mean 'padding'"),
        (("a",), {"colour": 1}, TypeError, "no option 'colour'; it has add_special_tokens, "),
        (("a",), {"pad_to_multiple_of": 0}, ValueError, "pad_to_multiple_of is 0; allowed: 1"),
        (("a",), {"pad_to_multiple_of": 2.0}, TypeError, "pad_to_multiple_of is 2.0"),
        (("a",), {"padding_side": "top"}, ValueError, "padding_side is 'top'; allowed: 'right'"),
        (
            ("a",),
            {"padding": True, "truncation": True, "max_length": 10, "pad_to_multiple_of": 8},
            ValueError,
            "max_length is 10, which is no multiple of 8",
        ),
        (("a b",), {"is_split_into_words": True}, TypeError, "text is str 'a b'; needed: a list"),
        ((["a", 3],), {"is_split_into_words": True}, TypeError, "text is list .*a list of words"),
        (([["a"], "b"],), {"is_split_into_words": True}, TypeError, r"text\[1\] is str 'b'"),
        (([[["a"], ["b"]]],), {}, TypeError, "is_split_into_words=True for lists of words"),
        (("a",), {"return_tensors": "tf"}, ValueError, r"torch.from_numpy"),
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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"do_lower_case": 1}, "do_lower_case is 1; allowed: True, False"),
        ({"strip_accents": "yes"}, "strip_accents is 'yes'; allowed: True, False, None"),
        ({"padding_side": "both"}, "padding_side is 'both'; allowed: 'right', 'left'"),
        ({"truncation_side": None}, "truncation_side is None"),
        ({"model_max_length": 0}, "model_max_length is 0"),
        ({"model_max_length": 0.5}, "model_max_length is 0.5; needed: a number from 1 on"),
        ({"model_max_length": float("nan")}, "model_max_length is nan"),
        ({"model_max_length": "512"}, "model_max_length is '512'"),
        ({"unk_token": None}, "unk_token is None; needed: str"),
        ({"cls_token": ["[CLS]"]}, r"cls_token is \['\[CLS\]'\]; needed: str or null"),
        ({"mask_token": "<m>"}, "no '<m>', the mask_token; pass mask_token="),
        ({"prefix": None}, "prefix is None; needed: str"),
        ({"max_input_chars_per_word": 1.5}, "max_input_chars_per_word is 1.5; needed: int"),
        ({"unk_token": "<unk>"}, "no '<unk>', the unk_token"),
        ({"cls_token": None}, "a cls_token and a sep_token are needed"),
    ],
)
def test_settings_that_are_not_allowed(vocab, options, words):
    with pytest.raises(ValueError, match=words):
        BertTokenizer(vocab, **options)


def test_what_is_not_said_is_as_in_bert(vocab):
    small = BertTokenizer(vocab)
    assert small.normalizer == Normalizer(True, True, None, True)
    assert (small.wordpiece.max_chars, small.wordpiece.prefix) == (100, "##")
    assert (small.padding_side, small.truncation_side) == ("right", "right")
    assert (small.decoder_cleanup, small.clean_up_tokenization_spaces) == (True, False)


def test_a_setting_that_there_is_not_is_told_with_those_that_there_are(vocab):
    with pytest.raises(TypeError, match="no setting 'use_fast'; it has bos_token, eos_token, "):
        BertTokenizer(vocab, use_fast=True)


@pytest.mark.parametrize("length", [None, 1e30, float("inf"), 10**40])
def test_no_limit(vocab, length):
    assert BertTokenizer(vocab, model_max_length=length).model_max_length == int(1e30)
