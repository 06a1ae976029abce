"""Tokenizers: from texts to the ids that a model reads, and back.

Reading order: normalize, wordpiece, added, vocabulary, encoding, options, files, bert.
"""

from minibert.tokenizers.added import AddedToken
from minibert.tokenizers.batch_encoding import BatchEncoding
from minibert.tokenizers.bert import BertTokenizer

__all__ = ["AddedToken", "BatchEncoding", "BertTokenizer"]
