"""Tokenizers: from texts to the ids that a model reads, and back.

Reading order: normalize, wordpiece, text, encoding, settings, bert; characters, added, vocabulary,
lookup.
"""

from minibert.tokenizers.added import AddedToken
from minibert.tokenizers.batch import BatchEncoding
from minibert.tokenizers.bert import BertTokenizer

__all__ = ["AddedToken", "BatchEncoding", "BertTokenizer"]
