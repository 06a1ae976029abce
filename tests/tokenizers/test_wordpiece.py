"""Words, and their pieces."""

import pytest

from minibert.tokenizers import pieces as remembering
from minibert.tokenizers.wordpiece import WordPiece, word_pattern

VOCAB = {t: i for i, t in enumerate(["[UNK]", "un", "una", "##ff", "##aff", "##able", "u", "##n"])}


def tokens(word, **options):
    return [piece.token for piece in WordPiece(VOCAB, **options)[word]]


def test_the_longest_piece_comes_first_even_if_a_shorter_one_were_better():
    assert tokens("unable") == ["[UNK]"]  # una + ##ble, not un + ##able
    assert tokens("unaffable") == ["una", "##ff", "##able"]


def test_one_unknown_part_makes_the_word_unknown():
    assert tokens("unaffx") == ["[UNK]"]
    (piece,) = WordPiece(VOCAB)["unaffx"]
    assert (piece.id, piece.start, piece.end) == (0, 0, 6)


def test_pieces_tell_where_they_stand():
    pieces = WordPiece(VOCAB)["unaffable"]
    assert [(p.id, p.start, p.end) for p in pieces] == [(2, 0, 3), (3, 3, 5), (5, 5, 9)]


def test_a_word_of_more_than_100_characters_is_unknown():
    assert len(tokens("u" + "n" * 99)) == 99
    assert tokens("u" + "n" * 100) == ["[UNK]"]
    assert tokens("unaff", max_chars=4) == ["[UNK]"]


def test_another_prefix_and_another_unknown_token():
    pieces = WordPiece({"?": 0, "a": 1, "@b": 2}, unk="?", prefix="@")
    assert [p.token for p in pieces["ab"]] == ["a", "@b"]
    assert [p.token for p in pieces["b"]] == ["?"]


def test_it_remembers_words_but_not_without_end(monkeypatch):
    monkeypatch.setattr(remembering, "REMEMBERED_PIECES", 3)
    pieces = WordPiece(VOCAB)
    for word in ("un", "una", "u", "unaff", "x" * 101, "unaffable"):
        expected = [p.token for p in WordPiece(VOCAB)[word]]
        assert [p.token for p in pieces[word]] == expected
        assert sum(map(len, pieces.values())) <= 3
    assert list(pieces) == ["unaffable"]  # three pieces, so that the others had to go


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a, b!c", ["a", ",", "b", "!", "c"]),
        ("a$b+c^d", ["a", "$", "b", "+", "c", "^", "d"]),
        ("a\u2019b \u00abc\u00bb", ["a", "\u2019", "b", "\u00ab", "c", "\u00bb"]),
        ("a\u3000b\u0085c", ["a", "b", "c"]),
        ("\u20ac5 \u00b05", ["\u20ac5", "\u00b05"]),  # symbols beyond ASCII are not punctuation
        ("", []),
    ],
)
def test_words(text, words):
    assert word_pattern().findall(text) == words
