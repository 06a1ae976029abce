"""Tokens that are looked for in a text before it is split."""

import random

import pytest

from minibert.tokenizers import AddedToken, BertTokenizer, vocabulary
from minibert.tokenizers.added import Finder

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "x", "##x", "foo", "!", "[", "]"]
VOCAB = {token: number for number, token in enumerate([*WORDS, "mask", "the"])}


def tokenized(text, *added):
    tokenizer = BertTokenizer(VOCAB)
    tokenizer.add_tokens([AddedToken(**token) for token in added])
    return tokenizer.tokenize(text)


def parts(text, *tokens):
    finder = Finder((t.content, number, t) for number, t in enumerate(tokens))
    return [tuple(part) for part in finder(text)]


def test_special_tokens_are_found_as_they_are_written():
    assert tokenized("a[MASK]b [mask]") == ["a", "[MASK]", "b", "[", "mask", "]"]
    assert tokenized("[[MASK]]") == ["[", "[MASK]", "]"]


def test_a_special_token_in_a_text_counts_as_text():
    row = BertTokenizer(VOCAB)("a [MASK]", return_special_tokens_mask=True)
    assert row.special_tokens_mask == [1, 0, 0, 1]
    assert row.word_ids() == [None, 0, 1, None]
    assert row.sequence_ids() == [None, 0, 0, None]


def test_the_longest_wins():
    a, ab = AddedToken("a"), AddedToken("ab")
    assert parts("abca", a, ab) == [(0, 2, 1), (2, 3, None), (3, 4, 0)]


def test_the_leftmost_wins_over_a_longer_one():
    assert parts("abcd", AddedToken("ab"), AddedToken("bcd")) == [(0, 2, 0), (2, 4, None)]


@pytest.mark.parametrize(
    ("text", "found"),
    [("foo", True), ("foo!", True), ("!foo x", True), ("xfoo", False), ("foo_", False)],
)
def test_single_word(text, found):
    assert ("foo" in [text[s:e] for s, e, i in parts(text, AddedToken("foo", True)) if i == 0]) == (
        found
    )


@pytest.mark.parametrize("mark", ["\u0301", "\u200d", "\u24d0", "9", "\u0660", "é"])
def test_words_are_made_of_marks_digits_and_joiners_too(mark):
    assert parts(f"foo{mark}", AddedToken("foo", single_word=True)) == [(0, 4, None)]


def test_spaces_are_swallowed_on_the_sides_that_are_asked_for():
    text = "x \t<m>\u3000 x"
    assert parts(text, AddedToken("<m>"))[1] == (3, 6, 0)
    assert parts(text, AddedToken("<m>", lstrip=True))[1] == (1, 6, 0)
    assert parts(text, AddedToken("<m>", rstrip=True))[1] == (3, 8, 0)


def test_what_one_token_swallowed_is_not_there_for_the_next():
    tokens = AddedToken("<r>", rstrip=True), AddedToken("<l>", lstrip=True)
    assert parts("<r>  <l>", *tokens) == [(0, 5, 0), (5, 8, 1)]


def test_normalized_tokens_are_found_in_the_normalised_text():
    token = {"content": "New York"}
    assert tokenized("a NEW YORK", token) == ["a", "new york"]
    assert tokenized("a NEW YORK", {**token, "normalized": False}) != ["a", "new york"]
    assert tokenized("new  york", token) != ["new york"]  # two spaces stay two


def test_offsets_of_a_normalized_token_are_those_of_the_original():
    tokenizer = BertTokenizer(VOCAB)
    tokenizer.add_tokens("cafe noir")
    row = tokenizer("a \x00CAFE\u0301 NOIR!", return_offsets_mapping=True)
    assert row.tokens() == ["[CLS]", "a", "cafe noir", "!", "[SEP]"]
    assert row.offset_mapping == [(0, 0), (0, 1), (3, 13), (13, 14), (0, 0)]


def test_special_tokens_are_not_normalized_unless_it_is_said():
    assert AddedToken("[X]", special=True).normalized is False
    assert AddedToken("[X]").normalized is True


def test_new_tokens_get_the_next_ids_and_known_ones_keep_theirs():
    tokenizer = BertTokenizer(VOCAB)
    size = len(VOCAB)
    assert tokenizer.add_tokens(["new", "the", "newer"]) == 3
    assert tokenizer.add_tokens(["new"]) == 0
    ids = tokenizer.convert_tokens_to_ids(["new", "newer", "the"])
    assert ids == [size, size + 1, VOCAB["the"]]
    assert (tokenizer.vocab_size, len(tokenizer)) == (size, size + 2)
    assert tokenizer.convert_ids_to_tokens(size + 1) == "newer"
    assert tokenizer.tokenize("the newer") == ["the", "newer"]


def test_ids_are_never_given_twice():
    tokenizer = BertTokenizer({**VOCAB, "far": 50})
    assert [tokenizer.add_tokens("new"), tokenizer.add_tokens("newer")] == [1, 1]
    assert tokenizer.convert_tokens_to_ids(["far", "new", "newer"]) == [50, 51, 52]


def test_of_two_that_look_the_same_when_normalised_the_special_one_is_found():
    tokenizer = BertTokenizer(VOCAB)
    tokenizer.add_tokens([AddedToken("Ab"), AddedToken("AB", normalized=True, special=True)])
    assert tokenizer.encode("ab", add_special_tokens=False) == [len(VOCAB) + 1]


def test_special_tokens_may_be_skipped():
    tokenizer = BertTokenizer(VOCAB)
    tokenizer.add_tokens(["[X]"], special_tokens=True)
    ids = tokenizer.encode("a [X]")
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a"
    assert "[X]" in tokenizer.all_special_tokens


@pytest.mark.parametrize("content", ["", None, 3])
def test_a_token_must_be_text(content):
    with pytest.raises(ValueError, match="needed: text that is not empty"):
        AddedToken(content)


def by_hand(text, contents):
    """Return the parts by trying every token at every place."""
    parts, done, at = [], 0, 0
    while at < len(text):
        found = max((c for c in contents if text.startswith(c, at)), key=len, default="")
        if found and done < at:
            parts.append((done, at, None))
        if found:
            parts.append((at, at + len(found), contents.index(found)))
            done = at + len(found)
        at += len(found) or 1
    return [*parts, (done, len(text), None)] if done < len(text) else parts


def test_random_tokens_are_found_as_if_each_were_tried_at_each_place():
    chance = random.Random(2)
    for _ in range(300):
        words = ["".join(chance.choices("ab]^-", k=chance.randrange(1, 7))) for _ in range(9)]
        contents = list(dict.fromkeys(words[: chance.randrange(10)]))
        text = "".join(chance.choices("ab]^-c", k=chance.randrange(30)))
        assert parts(text, *map(AddedToken, contents)) == by_hand(text, contents)


class Counting(str):
    """A text that counts how often it is compared with a token."""

    __slots__ = ("count",)

    def startswith(self, *given):
        self.count = getattr(self, "count", 0) + 1
        return super().startswith(*given)


@pytest.mark.parametrize("number", [10, 2000])
def test_the_number_of_tokens_does_not_matter_to_a_text(number):
    """A place is compared with one token and those that it begins with, not with all."""
    beginning = "a" * 40
    contents = [f"{beginning}{chr(0x4E00 + i)}" for i in range(number)]
    text = Counting(beginning * 20 + contents[3])
    found = parts(text, *map(AddedToken, contents))
    assert found == [(0, 800, None), (800, 841, 3)]
    assert text.count < 2 * len(text)


def test_many_tokens_are_added_without_comparing_each_with_all(monkeypatch):
    tokenizer = BertTokenizer(VOCAB)
    tokenizer.add_tokens([f"old{i}" for i in range(500)])
    compared = []
    equal = AddedToken.__eq__
    monkeypatch.setattr(
        AddedToken, "__eq__", lambda self, other: compared.append(1) or equal(self, other)
    )
    new = [f"new{i}" for i in range(500)]
    assert tokenizer.add_tokens([*new, "old3"]) == 500
    assert len(compared) <= 3 * 501
    assert tokenizer.tokenize("new499 old3 new3") == ["new499", "old3", "new3"]


def test_tokens_added_one_at_a_time_are_sorted_once(monkeypatch):
    made = []
    finder = vocabulary.Finder
    monkeypatch.setattr(vocabulary, "Finder", lambda tokens: made.append(1) or finder(tokens))
    tokenizer = BertTokenizer(VOCAB)
    for i in range(50):
        tokenizer.add_tokens(f"new{i}")
    assert tokenizer.tokenize("new49 new4") == ["new49", "new4"]
    assert tokenizer.tokenize("new5") == ["new5"]
    assert len(made) == 2  # what is looked for as written, and in the normalised text
