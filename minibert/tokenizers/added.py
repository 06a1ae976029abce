"""Tokens found in a text before it is split into words: [MASK] and its like, and added ones."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from minibert.tokenizers.characters import SPACES, is_of_words


@dataclass(frozen=True)
class AddedToken:
    """A token that is never split, with Hugging Face's options.

    single_word: not inside a longer word. lstrip, rstrip: swallows the spaces on that side.
    normalized: looked for in the normalised text, not as written (special tokens: as written).
    special: may be left out when decoding.
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool | None = None  # None becomes: those that are not special
    special: bool = False

    def __post_init__(self) -> None:
        content: object = self.content
        if not isinstance(content, str) or not content:
            raise ValueError(f"a token to add is {self.content!r}; needed: text that is not empty")
        if self.normalized is None:
            object.__setattr__(self, "normalized", not self.special)


class Part(NamedTuple):
    """A stretch of a text: the id of an added token, or None for what lies between them."""

    start: int
    end: int
    id: int | None


class Finder:
    """Finds added tokens in a text: the leftmost first, of those the longest."""

    def __init__(self, tokens: Iterable[tuple[str, int, AddedToken]]) -> None:
        self._tokens: dict[str, tuple[int, AddedToken]] = {}
        for text, number, token in tokens:
            if text:
                self._tokens.setdefault(text, (number, token))
        longest_first = sorted(self._tokens, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def __call__(self, text: str) -> list[Part]:
        """Return the parts of a text, in order."""
        if not self._tokens:
            return [Part(0, len(text), None)]
        parts: list[Part] = []
        done = 0
        for match in self._pattern.finditer(text):
            number, token = self._tokens[match[0]]
            start, end = match.span()
            if token.single_word and _in_a_word(text, start, end):
                continue
            if token.lstrip:
                start = max(done, _start_of_spaces(text, start))
            if token.rstrip:
                end = _end_of_spaces(text, end)
            if done < start:
                parts.append(Part(done, start, None))
            parts.append(Part(start, end, number))
            done = end
        return [*parts, Part(done, len(text), None)] if done < len(text) else parts


def _in_a_word(text: str, start: int, end: int) -> bool:
    return (start > 0 and is_of_words(text[start - 1])) or (
        end < len(text) and is_of_words(text[end])
    )


def _start_of_spaces(text: str, end: int) -> int:
    while end and text[end - 1] in SPACES:
        end -= 1
    return end


def _end_of_spaces(text: str, start: int) -> int:
    while start < len(text) and text[start] in SPACES:
        start += 1
    return start
