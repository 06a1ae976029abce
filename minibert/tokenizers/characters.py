"""The classes of characters that tokenizers ask for.

They are those of the tokenizers library, which mixes versions of Unicode, as Python's releases do.
So data/characters.txt, which tests/tools/record_tokenizer.py writes, has the classes in full.
"""

import re
import unicodedata
from bisect import bisect_right
from pathlib import Path


class CodePoints:
    """A set of characters, from a text of ranges such as "9-D 20" (hexadecimal)."""

    def __init__(self, ranges: str) -> None:
        pairs = [part.split("-") for part in ranges.split()]
        self._starts = [int(pair[0], 16) for pair in pairs]
        self._ends = [int(pair[-1], 16) for pair in pairs]

    def __contains__(self, character: str) -> bool:
        code = ord(character)
        at = bisect_right(self._starts, code) - 1
        return at >= 0 and code <= self._ends[at]

    def pattern(self) -> str:
        """Return the set as it stands between the brackets of a regular expression."""
        pairs = zip(self._starts, self._ends, strict=True)
        return "".join(f"{re.escape(chr(start))}-{re.escape(chr(end))}" for start, end in pairs)


def _read_classes() -> dict[str, str]:
    text = (Path(__file__).parents[1] / "data" / "characters.txt").read_text("ascii")
    _, *paragraphs = text.split("\n\n")  # the first is a comment
    return {name: ranges for name, _, ranges in (part.partition(" ") for part in paragraphs)}


def _read_lower(shifts: str) -> dict[str, str]:
    """Return capitals and their small letters, from "41-5A>61"."""
    small = {"İ": "i\u0307"}  # the only one that becomes two characters
    for shift in shifts.split():
        capitals, _, target = shift.partition(">")
        first, _, last = capitals.partition("-")
        for code in range(int(first, 16), int(last or first, 16) + 1):
            small[chr(code)] = chr(code - int(first, 16) + int(target, 16))
    return small


_CLASSES = _read_classes()
_LOWER = _read_lower(_CLASSES["lower"])

SPACES = CodePoints(_CLASSES["spaces"])  # Unicode's White_Space
REMOVED = CodePoints(_CLASSES["removed"])  # control, format, private use, surrogates, U+FFFD
PUNCTUATION = CodePoints(_CLASSES["punctuation"])  # all signs of ASCII are, "$" and "+" too
IDEOGRAPHS = CodePoints(_CLASSES["ideographs"])  # of Chinese; kana and hangul are not
NONSPACING = CodePoints(_CLASSES["nonspacing"])  # accents, and other marks of the category Mn
LASTING_MARKS = CodePoints(_CLASSES["lasting-marks"])  # not in NONSPACING, yet they are reordered
OF_WORDS = CodePoints(_CLASSES["of-words"])  # Rust's \w: letters, marks, digits, joiners
LETTERS = CodePoints(_CLASSES["letters"])  # Unicode's L, as GPT-2's splitting takes them
NUMBERS = CodePoints(_CLASSES["numbers"])  # Unicode's N, which has fractions and circled digits too
_MARKS = CodePoints(_CLASSES["marks"])
_DECOMPOSED = CodePoints(_CLASSES["decomposed"])
ALL_SPACES = "".join(chr(code) for code in range(0x3001) if chr(code) in SPACES)  # for str.strip


def lower(character: str) -> str:
    """Return one character in lower case, wherever in a word it stands (a sigma stays one)."""
    return _LOWER.get(character, character)


def decompose(character: str) -> str:
    """Return one character's canonical decomposition (NFD): a letter, then its marks."""
    return unicodedata.normalize("NFD", character) if character in _DECOMPOSED else character


def combining_class(character: str) -> int:
    """Return a mark's rank in canonical order; 0 for a character that is not a mark."""
    return unicodedata.combining(character) if character in _MARKS else 0
