"""The classes of characters, held against the library's at every code point."""

import unicodedata

import pytest

from minibert.tokenizers import characters
from minibert.tokenizers.characters import CodePoints

ALL = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]


def members(ranges):
    given = CodePoints(ranges)
    return {c for c in ALL if c in given}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("REMOVED", "removed"),
        ("SPACES", "spaces"),
        ("PUNCTUATION", "punctuation"),
        ("IDEOGRAPHS", "ideographs"),
        ("NONSPACING", "nonspacing"),
        ("OF_WORDS", "of words"),
    ],
)
def test_classes(said, ours, theirs):
    removed_later = {"\t", "\n", "\r"}  # spaces, though control characters
    found = {c for c in ALL if c in getattr(characters, ours)} - removed_later
    assert found == members(said["characters"][theirs]) - removed_later


def test_surrogates_are_removed():
    assert all(chr(code) in characters.REMOVED for code in range(0xD800, 0xE000))


@pytest.mark.parametrize(("ours", "category"), [("LETTERS", "L"), ("NUMBERS", "N")])
def test_letters_and_numbers_are_unicode_s(ours, category):
    """Of characters that this Python knows; live checks ask the library about all."""
    known = [c for c in ALL if unicodedata.category(c) != "Cn"]
    found = {c for c in known if c in getattr(characters, ours)}
    expected = {c for c in known if unicodedata.category(c)[0] == category}
    assert len(found ^ expected) < 0.001 * len(expected)


def test_marks(said):
    whole = [c for c in ALL if characters.decompose(c) == c]
    found = {c for c in whole if characters.combining_class(c)}
    assert found == members(said["characters"]["marks"])


def test_combining_classes_are_unicode_s_where_there_is_one():
    assert all(characters.combining_class(c) in (0, unicodedata.combining(c)) for c in ALL)
    assert characters.combining_class("\u0301") == 230


def test_decompositions(said):
    found = {c for c in ALL if characters.decompose(c) != c}
    assert found == members(said["characters"]["decomposed"])
    assert characters.decompose("ǖ") == "u\u0308\u0304"


def test_lower_case(said):
    pairs = said["characters"]["lower"]
    expected = dict(zip(pairs[::2], pairs[1::2], strict=True)) | {"İ": "i\u0307"}
    assert {c: characters.lower(c) for c in ALL if characters.lower(c) != c} == expected


def test_marks_that_last_are_all_that_can_tell_an_order():
    """Those that are not dropped, and what decomposes into them."""
    found = {c for c in ALL if c in characters.LASTING_MARKS}
    assert found == {
        c
        for c in ALL
        if any(
            characters.combining_class(part) and part not in characters.NONSPACING
            for part in characters.decompose(c)
        )
    }


def test_ranges():
    some = CodePoints("9-D 20")
    assert [chr(code) in some for code in (8, 9, 13, 14, 31, 32, 33)] == [
        *(False, True, True, False, False, True, False)
    ]
    assert some.pattern() == "\\\t-\\\r\\ -\\ "
