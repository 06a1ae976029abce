"""Normalising, step by step, and where each character came from."""

import pytest

from minibert.tokenizers import normalize
from minibert.tokenizers.normalize import Normalizer

NOTHING = {"clean_text": False, "handle_chinese_chars": False, "lowercase": False}


def normal(text, **steps):
    result = Normalizer(**{**NOTHING, **steps})(text)
    return result.text, list(result.positions)


def test_without_steps_nothing_happens():
    text = "É\x00\t中 A"
    assert normal(text) == (text, [0, 1, 2, 3, 4, 5])


def test_cleaning_drops_controls_and_makes_spaces_of_white_space():
    assert normal("a\x00b\tc\u3000\ufffd\u200bd", clean_text=True) == (
        "ab c d",
        [0, 2, 3, 4, 5, 8],
    )


def test_ideographs_are_set_apart_and_kana_are_not():
    assert normal("a中カ", handle_chinese_chars=True) == ("a 中 カ", [0, 1, 1, 1, 2])


def test_accents_are_dropped_whether_composed_or_not():
    assert normal("éo\u0301ø", strip_accents=True) == ("eoø", [0, 1, 3])


def test_hangul_comes_apart_with_accents():
    assert normal("한", strip_accents=True) == ("\u1112\u1161\u11ab", [0, 0, 0])


@pytest.mark.parametrize("strips", [True, False, None])
@pytest.mark.parametrize("lowers", [True, False])
def test_accents_follow_the_case_unless_it_is_said(strips, lowers):
    text, _ = normal("É", strip_accents=strips, lowercase=lowers)
    dropped = lowers if strips is None else strips
    assert text == ("e" if lowers else "E") if dropped else ("é" if lowers else "É")


def test_lower_case_goes_by_characters():
    assert normal("ΑΣ İ", lowercase=True, strip_accents=False) == (
        "\u03b1\u03c3 i\u0307",  # Python alone would end the word with another sigma
        [0, 1, 2, 3, 3],
    )


def test_marks_that_stay_are_put_in_order():
    # a tone mark (class 224) before a dot below (220): sorted, then the dot is dropped
    assert normal("a\u302e\u0323b", strip_accents=True) == ("a\u302eb", [0, 2, 3])


def test_a_note_comes_apart_and_its_stem_is_sorted_too():
    # an overlay (class 1) takes the place before the stem (216), which is new there
    assert normal("\U0001d15e\u0334", strip_accents=True) == ("\U0001d157\U0001d165", [0, 1])


def test_positions_count_from_where_the_text_begins():
    result = Normalizer()("É!", 7)
    assert (result.text, list(result.positions)) == ("e!", [7, 8])


def test_what_is_remembered_of_characters_has_a_bound():
    normalize._table.cache_clear()
    Normalizer()("".join(map(chr, range(5 * normalize.REMEMBERED_CHARACTERS))))
    table = normalize._table(True, True, True, True)
    assert 0 < len(table) <= normalize.REMEMBERED_CHARACTERS
    assert max(map(len, table.values())) <= 4


def test_a_table_that_begins_anew_says_the_same(monkeypatch):
    text = "ÀÉ中\x00İ" * 3
    expected = Normalizer()(text)
    monkeypatch.setattr(normalize, "REMEMBERED_CHARACTERS", 2)
    normalize._table.cache_clear()
    assert Normalizer()(text) == expected
    assert len(normalize._table(True, True, True, True)) <= 2


def test_lone_surrogates_are_dropped_like_controls():
    assert normal("a\ud800b\udfff", clean_text=True) == ("ab", [0, 2])
