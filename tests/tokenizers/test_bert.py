"""The tokenizer as a whole; and what the tokenizers library and transformers said, said again."""

import copy
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from minibert.tokenizers import AddedToken, BertTokenizer

NAMES = ["uncased", "cased", "accents kept", "accents dropped", "nothing but the case"]


def test_tokenize_and_encode(tokenizer):
    assert tokenizer.tokenize("a b") == ["a", "b"]
    assert tokenizer.tokenize("a", "b", add_special_tokens=True)[0] == "[CLS]"
    assert tokenizer.encode("a", "b") == tokenizer("a", "b")["input_ids"]
    assert tokenizer.encode("a b", add_special_tokens=False, max_length=1) == [
        tokenizer.convert_tokens_to_ids("a")
    ]


def test_a_text_too_long_for_the_model_is_told_of_once(tokenizer):
    with pytest.warns(
        UserWarning, match="a row has 22 tokens, and the model takes 12 at most"
    ) as told:
        tokenizer.encode("a " * 20)
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenizer("a " * 20)


def test_with_a_max_length_of_ones_own_nothing_is_told(vocab):
    tokenizer = BertTokenizer(vocab, model_max_length=3)
    assert len(tokenizer("a b c", max_length=9, truncation=False)["input_ids"]) == 5


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


def made(vocab, options):
    clean, chinese, strips, lowers = options
    return BertTokenizer(
        vocab, lowers, clean_text=clean, tokenize_chinese_chars=chinese, strip_accents=strips
    )


def difference(tokenizer, lines, expected):
    """Return the first line that gives something else; None if none does."""
    found = tokenizer(lines, add_special_tokens=False)
    for line, row, (ids, flat, words) in zip(lines, found.encodings, expected, strict=True):
        offsets = list(zip(flat[::2], flat[1::2], strict=True))
        if (row.ids, row.offsets, row.word_ids) != (ids, offsets, words):
            return ascii(line), row.tokens, row.offsets, offsets
    return None


@pytest.mark.parametrize("name", NAMES)
def test_ids_offsets_and_words(said, vocab, name):
    tokenizer = made(vocab, said["settings"][name])
    assert difference(tokenizer, said["lines"], said["said"][name]) is None


def test_settings_differ(said):
    """Else the test above could not tell them apart."""
    answers = [said["said"][name] for name in NAMES]
    assert all(a != b for i, a in enumerate(answers) for b in answers[:i])


def test_added_tokens(said, vocab):
    tokenizer = made(vocab, said["settings"]["uncased"])
    tokenizer.add_tokens([AddedToken(**token) for token in said["added"]])
    assert difference(tokenizer, said["lines"], said["said with added tokens"]) is None
    assert said["said with added tokens"] != said["said"]["uncased"]


def test_calls(said, tokenizer):
    for texts, options, expected in said["calls"]:
        found = tokenizer(*texts, **options)
        assert list(found) == list(expected), options
        for key, value in expected.items():
            assert as_lists(found[key]) == value, (texts, options, key)


def as_lists(value):
    return [as_lists(item) for item in value] if isinstance(value, list | tuple) else value


def test_decoding(said, tokenizer):
    for ids, skip, clean, text in said["decoded"]:
        assert tokenizer.decode(ids, skip, clean) == text


def test_each_call_and_option_matters(said):
    results = [expected for _, _, expected in said["calls"]]
    assert all(a != b for i, a in enumerate(results) for b in results[:i])


def test_the_course(vocab):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "cool", "nice", "!", "."]
    ids = [0, 100, 101, 102, 103, 7592, 4658, 3835, 999, 1012]
    tokenizer = BertTokenizer(dict(zip(words, ids, strict=True)))
    expected = [[101, 7592, 999, 102], [101, 4658, 1012, 102], [101, 3835, 999, 102]]
    assert tokenizer(["Hello!", "Cool.", "Nice!"])["input_ids"] == expected


def test_the_real_vocabulary(minilm_folder):
    tokenizer = BertTokenizer.from_pretrained(minilm_folder)
    expected = [[101, 7592, 999, 102], [101, 4658, 1012, 102], [101, 3835, 999, 102]]
    assert tokenizer(["Hello!", "Cool.", "Nice!"])["input_ids"] == expected
    assert (len(tokenizer), tokenizer.model_max_length) == (30522, 512)


def test_a_text_may_be_given_as_words(small):
    batch = small([["Paris", "unaffable", "", "plays"], ["a"]], is_split_into_words=True)
    assert batch.tokens() == ["[CLS]", "paris", "una", "##ffa", "##ble", "plays", "[SEP]"]
    assert batch.word_ids() == [None, 0, 1, 1, 1, 3, None]
    assert [batch.word_to_chars(number) for number in (1, 2, 3)] == [(0, 9), None, (0, 5)]
    words = {"is_split_into_words": True}
    one = small(["a man", "x"], **words)
    assert one.word_ids() == [None, 0, 0, 1, None]
    pair = small(["a"], ["b", "c"], **words)
    assert pair.sequence_ids() == [None, 0, None, 1, 1, None]
    assert small([(["a"], ["b", "c"])], **words).input_ids == [pair.input_ids]
    assert small([["a"]], [["b", "c"]], **words).input_ids == [pair.input_ids]
    assert small([], **words).tokens() == ["[CLS]", "[SEP]"]


def test_how_rows_are_padded(small):
    texts = ["a", "a man plays"]
    rows = small(texts, padding=True, pad_to_multiple_of=4, return_length=True)
    assert (rows.length, sum(rows.attention_mask[0])) == ([8, 8], 3)
    rows = small(texts, padding="max_length", max_length=6, pad_to_multiple_of=4)
    assert [len(row) for row in rows.input_ids] == [8, 8]
    assert small(texts, padding=True, padding_side="left").input_ids[0][:2] == [0, 0]
    assert small.padding_side == "right"
    assert small("a", return_length=True).length == [3]
    assert small("a", add_special_tokens=False).tokens() == ["a"]
