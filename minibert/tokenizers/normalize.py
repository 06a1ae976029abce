"""Normalisation as BERT does it: clean, set ideographs apart, drop accents, lower the case.

After Devlin et al. 2018 (tokenization.py, BasicTokenizer), in the form of the tokenizers library's
BertNormalizer. What becomes of a character depends on that character alone, but for the order of
marks; so a table of characters does the work.
"""

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import NamedTuple

from minibert.tokenizers import characters
from minibert.tokenizers.characters import combining_class, decompose

REMEMBERED_CHARACTERS = 2**12


class Normalized(NamedTuple):
    """A text, and for each of its characters the place in the original that it came from."""

    text: str
    positions: Sequence[int]


@dataclass(frozen=True)
class Normalizer:
    """Which steps are taken. Unless strip_accents says otherwise, accents go with the case."""

    clean_text: bool = True
    handle_chinese_chars: bool = True
    strip_accents: bool | None = None
    lowercase: bool = True

    def __call__(self, text: str, first: int = 0) -> Normalized:
        """Return the normalised text and where its characters came from, counted from first."""
        strips = self.lowercase if self.strip_accents is None else self.strip_accents
        result = Normalized(text, range(first, first + len(text)))
        # the order of marks matters only if one of them stays
        if strips and not text.isascii() and _lasting_mark().search(text):
            cleaned = _replace(result, _table(self.clean_text, False, False, False))
            result = _in_canonical_order(cleaned)
        table = _table(self.clean_text, self.handle_chinese_chars, strips, self.lowercase)
        return _replace(result, table)


class _Table(dict[int, str]):
    """What becomes of each character, for str.translate; threads may share it.

    It begins anew when full: a text with all of Unicode would leave hundreds of megabytes behind.
    """

    def __init__(self, cleans: bool, sets_apart: bool, strips: bool, lowers: bool) -> None:
        self._steps = cleans, sets_apart, strips, lowers

    def __missing__(self, code: int) -> str:
        if len(self) >= REMEMBERED_CHARACTERS:
            self.clear()
        self[code] = result = self._normalized(chr(code))
        return result

    def _normalized(self, character: str) -> str:
        cleans, sets_apart, strips, lowers = self._steps
        if cleans and character in characters.REMOVED:
            return ""
        if cleans and character in characters.SPACES:
            return " "
        result = character
        if strips:
            result = "".join(
                part for part in decompose(result) if part not in characters.NONSPACING
            )
        if lowers:
            result = "".join(map(characters.lower, result))
        return f" {result} " if sets_apart and character in characters.IDEOGRAPHS else result


_table = cache(_Table)  # one for each choice of steps


def _replace(given: Normalized, table: _Table) -> Normalized:
    """Replace each character by what the table says: one character, several, or none."""
    text = given.text.translate(table)
    if text == given.text:
        return given
    if len(text) == len(given.text) and given.text.isascii():  # there, none becomes several
        return Normalized(text, given.positions)
    pairs = zip(given.text, given.positions, strict=True)
    # an array takes a tenth of a list's memory
    return Normalized(text, array("q", (at for char, at in pairs for _ in table[ord(char)])))


def _in_canonical_order(given: Normalized) -> Normalized:
    """Decompose, and sort the marks after each letter by their class (Unicode, chapter 3.11).

    As in the library, the first part of a character takes the next place of the original, whichever
    mark the sorting has put there; each further part shares the place of what stands before it.
    """
    parts = [(char, i > 0) for letter in given.text for i, char in enumerate(decompose(letter))]
    text = ""
    positions: list[int] = []
    places = iter(given.positions)
    for _, run in groupby(parts, lambda part: combining_class(part[0]) > 0):
        for char, is_further in sorted(run, key=lambda part: combining_class(part[0])):
            text += char
            positions.append(positions[-1] if is_further else next(places))
    return Normalized(text, positions)


@cache
def _lasting_mark() -> re.Pattern[str]:
    """Match marks that are not dropped, and musical notes that decompose into them."""
    return re.compile(f"[{characters.LASTING_MARKS.pattern()}]")
