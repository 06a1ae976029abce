"""Byte-level tokenizers that are small: every byte, and a few words."""

from minibert.tokenizers import GPT2Tokenizer
from minibert.tokenizers.byte_level import CHARACTERS

PAIRS = "t h, th e, Ġ the, Ġ a, Ġ c, a t, Ġc at, Ġ s, Ġs at"
MERGES = [tuple(pair.split(" ")) for pair in PAIRS.split(", ")]


def small_tokenizer(kind=GPT2Tokenizer, special=("<|endoftext|>",), **settings):
    """Return a tokenizer of 256 bytes, what nine merges make of them, and special tokens."""
    tokens = [*CHARACTERS.values(), *("".join(pair) for pair in MERGES), *special]
    return kind({token: i for i, token in enumerate(tokens)}, MERGES, **settings)
