"""Tokens, ids, and texts made of them."""

import numpy as np
import pytest

from minibert.tokenizers import AddedToken, BertTokenizer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##able", "it", "'", "s", "!", "#"]
VOCAB = {token: number for number, token in enumerate(WORDS)}


@pytest.fixture
def small():
    return BertTokenizer(VOCAB)


def test_names_and_ids(small):
    names = ("unk", "sep", "pad", "cls", "mask")
    assert [getattr(small, f"{n}_token") for n in names] == [f"[{n.upper()}]" for n in names]
    assert [getattr(small, f"{n}_token_id") for n in names] == [1, 3, 0, 2, 4]
    assert small.all_special_ids == [1, 3, 0, 2, 4]
    assert small.get_vocab() == VOCAB
    assert set(small.get_added_vocab()) == set(small.all_special_tokens)
    assert (len(small), small.vocab_size) == (12, 12)
    assert repr(small).startswith("BertTokenizer(vocab_size=12")


def test_a_role_may_be_given_to_a_token_that_is_there(small):
    small.pad_token = "[SEP]"
    assert (small.pad_token, small.pad_token_id) == ("[SEP]", 3)
    assert small(["[MASK]", "[MASK] [MASK]"], padding=True).input_ids[0][-1] == 3
    small.mask_token_id = 2
    assert (small.mask_token, small.mask_token_id) == ("[CLS]", 2)
    small.mask_token = None
    assert (small.mask_token, small.mask_token_id) == (None, None)
    assert len(small) == 12


@pytest.mark.parametrize(
    ("name", "value", "error", "says"),
    [
        (
            "mask_token",
            "<mask>",
            ValueError,
            "no '<mask>' in the vocabulary to be mask_token",
        ),
        ("mask_token", 3, ValueError, "mask_token is 3; needed: text or an AddedToken"),
        ("mask_token_id", 99, ValueError, "99"),
        ("mask_token_id", "[SEP]", TypeError, "not a token id"),
        ("unk_token", "[SEP]", ValueError, "the unk_token is WordPiece's; pass unk_token="),
        ("unk_token", None, ValueError, "the unk_token is WordPiece's; pass unk_token="),
    ],
)
def test_a_role_that_cannot_be_given_is_told(small, name, value, error, says):
    before = small.special_tokens_map
    with pytest.raises(error, match=says):
        setattr(small, name, value)
    assert small.special_tokens_map == before


def test_a_mask_may_be_missing():
    tokenizer = BertTokenizer({t: n for t, n in VOCAB.items() if t != "[MASK]"})
    assert (tokenizer.mask_token, tokenizer.mask_token_id) == (None, None)


def test_a_token_with_half_a_pair_and_an_empty_vocabulary_are_refused():
    with pytest.raises(ValueError, match=r"a token to add is 'a.udc00'.*lone surrogate"):
        AddedToken("a\udc00")
    with pytest.raises(ValueError, match=r"no '\[UNK\]', the unk_token"):
        BertTokenizer({})


def test_other_names():
    vocab = {f"<{t.strip('[]').lower()}>" if "[" in t else t: n for t, n in VOCAB.items()}
    names = {f"{n}_token": f"<{n}>" for n in ("unk", "sep", "pad", "cls", "mask")}
    tokenizer = BertTokenizer(vocab, **names)
    assert tokenizer.tokenize("un <mask> ?", add_special_tokens=True) == [
        *("<cls>", "un", "<mask>", "<unk>", "<sep>")
    ]


def test_conversion(small):
    assert small.convert_tokens_to_ids("un") == 5
    assert small.convert_tokens_to_ids(["un", "no such"]) == [5, 1]
    assert small.convert_ids_to_tokens(6) == "##able"
    assert small.convert_ids_to_tokens(np.array([2, 5, 3])) == ["[CLS]", "un", "[SEP]"]
    assert small.convert_ids_to_tokens([2, 5, 3], skip_special_tokens=True) == ["un"]


def test_decoding(small):
    assert small.decode([2, 5, 6, 10, 3]) == "[CLS] unable! [SEP]"
    assert small.decode(np.array([2, 5, 6, 10, 3]), skip_special_tokens=True) == "unable!"
    assert small.decode(5) == "un"
    assert small.decode([[5, 6], [7]]) == ["unable", "it"]
    assert small.batch_decode(np.array([[5, 6], [7, 10]])) == ["unable", "it!"]
    assert small.batch_decode([5, 6]) == ["unable"]
    assert small.decode(small("un!")) == "[CLS] un! [SEP]"
    assert small.decode([6, 6]) == "##ableable"  # the first has nothing to continue
    assert small.decode([]) == ""


def test_cleaning_up_takes_spaces_away(small):
    ids = [7, 8, 9, 11]
    assert small.decode(ids) == "it ' s #"
    assert small.decode(ids, clean_up_tokenization_spaces=True) == "it's #"
    always = BertTokenizer(VOCAB, clean_up_tokenization_spaces=True)
    assert always.decode(ids) == "it's #"
    assert always.decode(ids, clean_up_tokenization_spaces=False) == "it ' s #"
    assert BertTokenizer(VOCAB, decoder_cleanup=False).decode([7, 10]) == "it !"


@pytest.mark.parametrize(
    ("ids", "error", "words"),
    [
        ([12], ValueError, "no token has the id 12; allowed: 0 to 11"),
        ([-1], ValueError, "no token has the id -1"),
        ([1.0], TypeError, "1.0 is not a token id"),
        ("un", TypeError, "'un' is not a token id"),
        ([True], TypeError, "True is not a token id"),
        (None, TypeError, "None is not a token id"),
    ],
)
def test_what_is_no_id_is_refused(small, ids, error, words):
    for method in (small.decode, small.convert_ids_to_tokens, small.batch_decode):
        with pytest.raises(error, match=words):
            method(ids)


@pytest.mark.parametrize(
    ("vocab", "added", "words"),
    [
        ({"a": 5, "b": 5}, {}, "two tokens have the id 5: 'a' and 'b'"),
        ({"a": -1}, {}, "the token 'a' has the id -1"),
        ({"a": 2**31}, {}, "needed: a whole number from 0 to 2147483647"),
        ({"a": "5"}, {}, "the token 'a' has the id '5'"),
        ({"a": True}, {}, "the token 'a' has the id True"),
        ({"\ud83d": 6}, {}, "a token is .* a lone surrogate is no character"),
        ({}, {5: AddedToken("b")}, "two tokens have the id 5: 'un' and 'b'"),
        ({}, {99: AddedToken("un")}, "'un' has the id 99; the vocabulary gives it 5"),
    ],
)
def test_ids_that_do_not_fit_are_refused(vocab, added, words):
    base = VOCAB if not vocab else {t: n for t, n in VOCAB.items() if n < 5}
    with pytest.raises(ValueError, match=words):
        BertTokenizer({**base, **vocab}, added_tokens=added)


def test_the_vocabulary_is_the_tokenizers_own():
    vocab = dict(VOCAB)
    tokenizer = BertTokenizer(vocab)
    vocab["added later"] = 99
    tokenizer.get_vocab()["later still"] = 100
    assert tokenizer.get_vocab() == VOCAB
    vocab["added"] = 98
    assert tokenizer.tokenize("added") == ["[UNK]"]


def test_special_tokens_can_be_added_by_role(small, tmp_path):
    assert small.add_special_tokens({"additional_special_tokens": ["[X]", "[Y]"]}) == 2
    assert (len(small), small.vocab["[Y]"], small.extra_special_tokens) == (14, 13, ["[X]", "[Y]"])
    assert small("un [X]").input_ids == [2, 5, 12, 3]
    given = {"pad_token": "[P]", "bos_token": AddedToken("it"), "unk_token": "[UNK]"}
    assert small.add_special_tokens(given) == 2
    assert (small.pad_token, small.pad_token_id, small.bos_token_id) == ("[P]", 14, 7)
    assert small(["un", "un un"], padding=True).input_ids[0] == [2, 5, 3, 14]
    assert small.decode([5, 14, 7, 12], skip_special_tokens=True) == "un"
    assert small.add_special_tokens({"cls_token": "[X]"}) == 0
    assert (small.cls_token, small("un").input_ids) == ("[X]", [2, 5, 3])
    small.save_pretrained(tmp_path)
    again = BertTokenizer.from_pretrained(tmp_path)
    assert again.special_tokens_map == small.special_tokens_map
    assert again("un [Y]").input_ids == small("un [Y]").input_ids


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"start_token": "[S]"}, "'start_token' is no role of a special token; allowed: bos_token"),
        ({"pad_token": ["[P]"]}, "pad_token is .* needed: text or an AddedToken"),
        ({"pad_token": None}, "pad_token is None"),
        ({"extra_special_tokens": "[X]"}, "extra_special_tokens is '.X.'; needed: a list"),
        ({"extra_special_tokens": ["[X]", 3]}, "needed: a list"),
        ({"extra_special_tokens": [""]}, "needed: text that is not empty"),
        ({"unk_token": "un"}, "pass unk_token= to from_pretrained"),
    ],
    ids=str,
)
def test_roles_that_there_are_not_are_refused(small, given, words):
    before = small.get_added_vocab()
    with pytest.raises(ValueError, match=words):
        small.add_special_tokens(given)
    assert small.get_added_vocab() == before
