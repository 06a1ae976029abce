"""Tokenizers: from texts to the ids that a model reads, and back.

Reading order: normalize, wordpiece, fields, added, vocabulary, encoding, options, batch_encoding,
bert; then the files: tokenizer_json, config_json, files.
"""

from minibert.tokenizers.added import AddedToken
from minibert.tokenizers.batch_encoding import BatchEncoding
from minibert.tokenizers.bert import BertTokenizer

__all__ = ["AddedToken", "BatchEncoding", "BertTokenizer"]
