"""What the tokenizers library and transformers said, said again."""

import pytest

from minibert.tokenizers import AddedToken, BertTokenizer

NAMES = ["uncased", "cased", "accents kept", "accents dropped", "nothing but the case"]


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
