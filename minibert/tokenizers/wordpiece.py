"""WordPiece: a text into words, and each word into the longest pieces the vocabulary has.

Schuster & Nakajima 2012, "Japanese and Korean voice search"; greedy from the left, as in
Devlin et al. 2018 (tokenization.py, WordpieceTokenizer).
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from minibert.tokenizers.characters import PUNCTUATION, SPACES

REMEMBERED_WORDS = 2**16


@cache
def word_pattern() -> re.Pattern[str]:
    """Match the words of a normalised text: a punctuation mark is one, and so is all between."""
    space, mark = SPACES.pattern(), PUNCTUATION.pattern()
    return re.compile(f"[^{space}{mark}]+|[{mark}]")


class Piece(NamedTuple):
    """A token of a word, and which characters of the word it covers."""

    id: int
    token: str
    start: int
    end: int


class WordPiece(dict[str, tuple[Piece, ...]]):
    """The pieces of each word; filled as words are met, and safe to share between threads.

    A word of which some part has no piece is the unknown token alone.
    """

    def __init__(
        self,
        vocab: Mapping[str, int],
        unk_token: str = "[UNK]",
        prefix: str = "##",
        max_chars: int = 100,
    ) -> None:
        self.vocab = vocab
        self.unk_token = unk_token
        self.prefix = prefix
        self.max_chars = max_chars

    def __missing__(self, word: str) -> tuple[Piece, ...]:
        unknown = Piece(self.vocab[self.unk_token], self.unk_token, 0, len(word))
        if len(word) > self.max_chars:
            return (unknown,)
        if len(self) >= REMEMBERED_WORDS:
            self.clear()
        self[word] = pieces = tuple(self._split(word)) or (unknown,)
        return pieces

    def _split(self, word: str) -> list[Piece]:
        pieces: list[Piece] = []
        start = 0
        while start < len(word):
            piece = self._longest(word, start)
            if piece is None:
                return []
            pieces.append(piece)
            start = piece.end
        return pieces

    def _longest(self, word: str, start: int) -> Piece | None:
        prefix = self.prefix if start else ""
        for end in range(len(word), start, -1):
            token = prefix + word[start:end]
            if token in self.vocab:
                return Piece(self.vocab[token], token, start, end)
        return None
