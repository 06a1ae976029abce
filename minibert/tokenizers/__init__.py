"""Tokenizers: from texts to the ids that a model reads, and back.

Reading order: normalize, pieces, wordpiece, fields, added, vocabulary, encoding, options, settings,
batch_encoding, base, bert; byte_level, bpe, gpt2; then the files: forms, bert_form,
byte_level_form, templates, tokenizer_json, config_json, files.
"""

from minibert.tokenizers.added import AddedToken
from minibert.tokenizers.base import PreTrainedTokenizer
from minibert.tokenizers.batch_encoding import BatchEncoding
from minibert.tokenizers.bert import BertTokenizer
from minibert.tokenizers.gpt2 import BartTokenizer, GPT2Tokenizer, RobertaTokenizer

__all__ = [
    "AddedToken",
    "BartTokenizer",
    "BatchEncoding",
    "BertTokenizer",
    "GPT2Tokenizer",
    "PreTrainedTokenizer",
    "RobertaTokenizer",
]
