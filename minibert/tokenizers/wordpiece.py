"""WordPiece: a text into words, and each word into the longest pieces that the vocabulary has.

Schuster & Nakajima 2012, "Japanese and Korean voice search"; greedy from the left, as in
Devlin et al. 2018 (tokenization.py, WordpieceTokenizer).
"""

import re
from collections.abc import Mapping
from functools import cache

from minibert.tokenizers.characters import PUNCTUATION, SPACES
from minibert.tokenizers.pieces import Piece, Pieces


@cache
def word_pattern() -> re.Pattern[str]:
    """Match the words of a normalised text: punctuation marks, and what stands between them."""
    space, mark = SPACES.pattern(), PUNCTUATION.pattern()
    return re.compile(f"[^{space}{mark}]+|[{mark}]")


class WordPiece(Pieces):
    """The pieces of each word; a word of which some part has no piece is the unknown token alone.

    The places of pieces count characters.
    """

    def __init__(
        self, vocab: Mapping[str, int], unk: str = "[UNK]", prefix: str = "##", max_chars: int = 100
    ) -> None:
        super().__init__()
        self.vocab = vocab
        self.unk_token = unk
        self.prefix = prefix
        self.max_chars = max_chars

    def _split(self, word: str) -> list[Piece]:
        found = self._longest_pieces(word) if len(word) <= self.max_chars else []
        return found or [Piece(self.vocab[self.unk_token], self.unk_token, 0, len(word))]

    def _longest_pieces(self, word: str) -> list[Piece]:
        pieces: list[Piece] = []
        start = 0
        while start < len(word):
            prefix = self.prefix if start else ""
            for end in range(len(word), start, -1):  # the longest first
                token = prefix + word[start:end]
                if token in self.vocab:
                    break
            else:
                return []
            pieces.append(Piece(self.vocab[token], token, start, end))
            start = end
        return pieces
