"""The tokens of a word, remembered: what WordPiece and byte pairs have in common."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

REMEMBERED_PIECES = 2**14
REMEMBERED_LENGTH = 2**8  # of a word; hardly any longer one comes again


class Piece(NamedTuple):
    """A token of a word, and which part of the word it covers: characters, or bytes."""

    id: int
    token: str
    start: int
    end: int


class Pieces(dict[str, tuple[Piece, ...]], ABC):
    """The pieces of each word.

    Words are remembered, and all forgotten when there are too many. Threads may share them.
    """

    def __init__(self) -> None:
        self._room = REMEMBERED_PIECES

    def __missing__(self, word: str) -> tuple[Piece, ...]:
        pieces = tuple(self._split(word))
        if len(word) > REMEMBERED_LENGTH:
            return pieces
        if len(pieces) > self._room:
            self.clear()
            self._room = REMEMBERED_PIECES
        self._room -= len(pieces)
        self[word] = pieces
        return pieces

    @abstractmethod
    def _split(self, word: str) -> Iterable[Piece]:
        """Return the pieces of a word."""
