"""What a model is used for, each task a function of texts.

``model`` is a folder or a Hub id, or a pair (model, tokenizer) that was loaded before; without it
the embedded checkpoint serves.
"""

from minibert.tasks.answers import answer
from minibert.tasks.embeddings import embed
from minibert.tasks.labels import classify, tag
from minibert.tasks.sentence import POOLINGS
from minibert.tasks.words import fill_mask, next_sentence

__all__ = ["POOLINGS", "answer", "classify", "embed", "fill_mask", "next_sentence", "tag"]
