"""Inputs of a model, in all forms, and the batches that they make."""

import numpy as np

from minibert import BertConfig
from minibert.batch import make_batch

CONFIG = BertConfig(
    vocab_size=70_001,  # more than int16, uint16 and all narrower ones can hold
    hidden_size=15,
    num_hidden_layers=3,
    num_attention_heads=5,
    intermediate_size=19,
    max_position_embeddings=11,
    type_vocab_size=7,
)
IDS = [[3, 5, 9], [8, 70_000, 0]]
EMBEDDED = np.arange(2 * 3 * 15, dtype=np.float64).reshape(2, 3, 15)


class Tensor:
    """What is not an array but can become one, as torch's tensors."""

    def __init__(self, values):
        self.values = np.array(values)

    def __array__(self, dtype=None, copy=None):
        return self.values.astype(dtype or self.values.dtype)


def batch(dtype=np.float32, **inputs):
    return make_batch(CONFIG, dtype, **inputs)


def padded(mask, ids=None):
    """Return a batch of this mask, of any length."""
    mask = np.asarray(mask)
    ids = np.zeros(mask.shape, int) if ids is None else ids
    positions = np.broadcast_to(np.arange(mask.shape[1]) % 11, mask.shape)
    return batch(input_ids=ids, attention_mask=mask, position_ids=positions)
