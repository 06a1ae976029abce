"""Bytes as GPT-2 writes them in its vocabulary, and the words that it splits a text into.

Radford et al. 2019, "Language models are unsupervised multitask learners" (encoder.py). Each of the
256 bytes has a printable character of its own, so any text can be spelt and no token has a space.
"""

import codecs
import re
from collections.abc import Iterable, Iterator

from minibert.tokenizers.characters import LETTERS, NUMBERS, SPACES

REMEMBERED_CHARACTERS = 2**12


def _characters_of_bytes() -> dict[int, str]:
    """Return the character of each byte: its own in Latin-1 if that can be seen, or a later one."""
    seen = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in seen)
    return {byte: chr(byte) for byte in seen} | {b: chr(256 + i) for i, b in enumerate(others)}


CHARACTERS = _characters_of_bytes()  # of byte 32, a space: "Ġ"
SPACE = CHARACTERS[ord(" ")]
_BYTES = {character: byte for byte, character in CHARACTERS.items()}


def spell(text: str) -> str:
    """Return a text as tokens spell it: one character for each byte of its UTF-8."""
    return text.encode().decode("latin-1").translate(CHARACTERS)


def bytes_of(token: str) -> bytes:
    """Return the bytes that a token spells; of an added one with other characters, its UTF-8."""
    try:
        return bytes([_BYTES[character] for character in token])
    except KeyError:
        return token.encode()


class ByteDecoder:
    """Turns tokens into text as they come: a character appears when its last byte is there."""

    def __init__(self, errors: str = "replace") -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors)

    def __call__(self, tokens: Iterable[str], final: bool = False) -> str:
        """Return the text that the next tokens complete; with ``final``, what was held back too.

        Bytes that are no UTF-8 become U+FFFD, unless errors says otherwise.
        """
        return self._decoder.decode(b"".join(map(bytes_of, tokens)), final)


class _Kinds(dict[int, str]):
    """What stands for a character while splitting; ASCII for itself. Threads may share it.

    It begins anew when full: a text with all of Unicode would leave hundreds of megabytes behind.
    """

    def __missing__(self, code: int) -> str:
        if len(self) >= REMEMBERED_CHARACTERS:
            self.clear()
        self[code] = kind = self._kind(chr(code))
        return kind

    @staticmethod
    def _kind(character: str) -> str:
        if character.isascii():
            return character
        kinds = {"A": LETTERS, "0": NUMBERS, "\t": SPACES}
        return next((kind for kind, members in kinds.items() if character in members), "!")


_KINDS = _Kinds()
# GPT-2's: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
_WORD = re.compile(
    r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+| ?[0-9]+| ?[^A-Za-z0-9\t-\r ]+"
    r"|[\t-\r ]+(?![^\t-\r ])|[\t-\r ]+"
)


def words(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each word: letters, numbers, signs or spaces; " a" is one word."""
    kinds = text if text.isascii() else text.translate(_KINDS)
    return (match.span() for match in _WORD.finditer(kinds))
