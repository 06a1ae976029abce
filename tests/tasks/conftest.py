"""A small tokenizer, and models that do not know anything but whose numbers are known."""

import pytest

from minibert import BertConfig
from minibert.tokenizers import BertTokenizer

WORDS = "the a cat dog sat lay on mat rug who where is it ? . , in house red blue un ##hap ##py ##s"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture
def tokenizer():
    words = [*SPECIAL, *WORDS.split()]
    return BertTokenizer({word: i for i, word in enumerate(words)}, model_max_length=31)


@pytest.fixture
def config(tokenizer):
    return BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=21,
        num_attention_heads=3,
        intermediate_size=37,
        num_hidden_layers=2,
        max_position_embeddings=31,
        initializer_range=0.3,
    )
