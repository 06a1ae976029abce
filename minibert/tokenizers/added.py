"""Tokens found in a text before it is split into words: [MASK] and its like, and added ones."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from minibert.checkpoint.limits import MAX_ADDED_CHARACTERS
from minibert.tokenizers.characters import ALL_SPACES, OF_WORDS, SPACES
from minibert.tokenizers.fields import require_utf8


@dataclass(frozen=True)
class AddedToken:
    """A token that is never split, with Hugging Face's options.

    single_word: not inside a longer word. lstrip, rstrip: takes the spaces on that side too.
    normalized: looked for in the normalised text, not as written (special tokens: as written).
    special: may be left out when decoding.
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool | None = None  # None becomes: unless it is special
    special: bool = False

    def __post_init__(self) -> None:
        content: object = self.content
        if not isinstance(content, str) or not content:
            raise ValueError(f"a token to add is {self.content!r}; needed: text that is not empty")
        if len(content) > MAX_ADDED_CHARACTERS:
            found = f"{content!r:.60} has {len(content)} characters"
            raise ValueError(f"a token to add, {found}; allowed: {MAX_ADDED_CHARACTERS}")
        require_utf8("a token to add", content)
        if self.normalized is None:
            object.__setattr__(self, "normalized", not self.special)


# start and end of a stretch of a text; the id of an added token, or None for what lies between
Part = tuple[int, int, int | None]


class Finder:
    """Finds tokens, leftmost and longest first; how many there are does not change the time."""

    def __init__(self, tokens: Iterable[tuple[str, int, AddedToken]]) -> None:
        self._tokens: dict[str, tuple[int, AddedToken]] = {}
        for text, number, token in tokens:
            if text:
                self._tokens.setdefault(text, (number, token))
        self._sorted = sorted(self._tokens)
        self._longest = max(map(len, self._sorted), default=0)
        self._shorter = _longest_beginnings(self._sorted)
        first = "".join(sorted({re.escape(text[0]) for text in self._sorted}))
        self._first_character = re.compile(f"[{first}]") if first else None

    def __call__(self, text: str) -> list[Part]:
        """Return the parts of a text, in order."""
        parts: list[Part] = []
        done = 0
        for start, end, number, token in self._matches(text):
            around = text[max(start - 1, 0) : start] + text[end : end + 1]
            if token.single_word and any(character in OF_WORDS for character in around):
                continue
            if token.lstrip:
                start = done + len(text[done:start].rstrip(ALL_SPACES))
            while token.rstrip and end < len(text) and text[end] in SPACES:
                end += 1
            if done < start:
                parts.append((done, start, None))
            parts.append((start, end, number))
            done = end
        return [*parts, (done, len(text), None)] if done < len(text) else parts

    def _matches(self, text: str) -> Iterator[tuple[int, int, int, AddedToken]]:
        """Yield start, end, id and options of each token; they do not overlap."""
        end = 0
        while self._first_character and (match := self._first_character.search(text, end)):
            start = match.start()
            found = self._longest_at(text, start)
            end = start + len(found) if found else start + 1
            if found:
                yield (start, end, *self._tokens[found])

    def _longest_at(self, text: str, start: int) -> str:
        """Return the longest token that begins there; "" if there is none."""
        # all tokens that the text begins with begin the last one that does not sort after it
        place = bisect_right(self._sorted, text[start : start + self._longest])
        token = self._sorted[place - 1] if place else ""
        while not text.startswith(token, start):
            token = self._shorter[token]
        return token


def _longest_beginnings(tokens: list[str]) -> dict[str, str]:
    """Return for each of the sorted tokens the longest other token it begins with, or ""."""
    found: dict[str, str] = {}
    around = [""]  # tokens, each the beginning of the next
    for token in tokens:
        while not token.startswith(around[-1]):
            around.pop()
        found[token] = around[-1]
        around.append(token)
    return found
