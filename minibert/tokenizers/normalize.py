"""Normalisation as BERT does it: clean, set ideographs apart, drop accents, lower the case.

After Devlin et al. 2018 (tokenization.py, BasicTokenizer), in the form of the tokenizers library's
BertNormalizer. Each step is a function from one ``Normalized`` to the next.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import NamedTuple

from minibert.tokenizers.characters import (
    IDEOGRAPHS,
    NONSPACING,
    OTHER_MARKS,
    REMOVED,
    SPACES,
    combining_class,
    decompose,
    lower,
)


class Normalized(NamedTuple):
    """A text, and for each of its characters the place in the original it came from."""

    text: str
    positions: Sequence[int]


@dataclass(frozen=True)
class Normalizer:
    """Which steps are taken; accents are dropped with the case unless it is said."""

    clean_text: bool = True
    handle_chinese_chars: bool = True
    strip_accents: bool | None = None
    lowercase: bool = True

    def __call__(self, text: str, first: int = 0) -> Normalized:
        """Return the normalised text, and where its characters came from, counted from first."""
        result = Normalized(text, range(first, first + len(text)))
        if self.clean_text:
            result = _replace(result, _CLEAN)
        if self.handle_chinese_chars:
            result = _replace(result, _APART)
        if self.lowercase if self.strip_accents is None else self.strip_accents:
            result = _drop_accents(result)
        if self.lowercase:
            result = _replace(result, _LOWER)
        return result


class _Table(dict[int, str]):
    """What becomes of each character, for str.translate; filled as characters are met."""

    def __init__(self, rule: Callable[[str], str]) -> None:
        self.rule = rule

    def __missing__(self, code: int) -> str:
        self[code] = result = self.rule(chr(code))
        return result


def _clean(character: str) -> str:
    if character in REMOVED:
        return ""
    return " " if character in SPACES else character


def _apart(character: str) -> str:
    return f" {character} " if character in IDEOGRAPHS else character


def _without_accents(character: str) -> str:
    return "".join(letter for letter in decompose(character) if letter not in NONSPACING)


_CLEAN = _Table(_clean)
_APART = _Table(_apart)
_WITHOUT_ACCENTS = _Table(_without_accents)
_LOWER = _Table(lower)


def _replace(given: Normalized, table: _Table) -> Normalized:
    """Put for each character what the table says: one character, several, or none."""
    text = given.text.translate(table)
    if text == given.text:
        return given
    if len(text) == len(given.text) and given.text.isascii():  # there, none becomes several
        return Normalized(text, given.positions)
    pairs = zip(given.text, given.positions, strict=True)
    return Normalized(text, [at for char, at in pairs for _ in table[ord(char)]])


def _drop_accents(given: Normalized) -> Normalized:
    """Decompose, and drop the marks that take no room."""
    if given.text.isascii():
        return given
    if _lasting_mark().search(given.text):  # else no mark is left whose place could matter
        given = _in_canonical_order(given)
    return _replace(given, _WITHOUT_ACCENTS)


def _in_canonical_order(given: Normalized) -> Normalized:
    """Decompose, and sort the marks after each letter by their class (Unicode, chapter 3.11).

    As in the library, the first part of a character takes the next place of the original, whichever
    mark the sorting has put there; each further part shares the place of what stands before it.
    """
    parts = [(char, i > 0) for letter in given.text for i, char in enumerate(decompose(letter))]
    ordered: list[tuple[str, bool]] = []
    for is_mark, run in groupby(parts, lambda part: combining_class(part[0]) > 0):
        some = list(run)
        ordered += sorted(some, key=lambda part: combining_class(part[0])) if is_mark else some
    places = iter(given.positions)
    positions: list[int] = []
    for _, is_further in ordered:
        positions.append(positions[-1] if is_further else next(places))
    return Normalized("".join(char for char, _ in ordered), positions)


@cache
def _lasting_mark() -> re.Pattern[str]:
    """Match marks that are not dropped, and the notes that decompose into them."""
    return re.compile(f"[{OTHER_MARKS.pattern()}\U0001d15e-\U0001d164\U0001d1bb-\U0001d1c0]")
