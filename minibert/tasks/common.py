"""What the tasks share: a model with its tokenizer, and texts in batches."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.checkpoint.source import EMBEDDED_CHECKPOINT, find_folder
from minibert.models.pretrained import PreTrainedModel
from minibert.tokenizers import BertTokenizer

Pair = tuple[PreTrainedModel, BertTokenizer]
Source = str | os.PathLike[str] | Pair | None


def load(model: Source, kind: type[PreTrainedModel]) -> Pair:
    """Return a model of that class and its tokenizer.

    TypeError if a pair is given whose model is of another class.
    """
    if isinstance(model, tuple):
        given, tokenizer = model
        if not isinstance(given, kind):
            raise TypeError(f"the task needs a {kind.__name__}, found a {type(given).__name__}")
        return given, tokenizer
    folder = folder_of(model)
    return kind.from_pretrained(folder), BertTokenizer.from_pretrained(folder)


def folder_of(model: str | os.PathLike[str] | None) -> Path:
    """Return the folder of a model, fetched if it is a Hub id; the embedded one for None."""
    if model is None:
        return EMBEDDED_CHECKPOINT
    return find_folder(model, ("config", "weights", "tokenizer", "sentence"), {})[0]


def require_text(name: str, value: Any) -> str:
    """Return the value if it is a text; TypeError otherwise."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is a {type(value).__name__}; needed: a text")
    return value


def room(model: PreTrainedModel, tokenizer: BertTokenizer) -> int:
    """Return how many tokens a row may have."""
    positions: int = model.config.max_position_embeddings
    return min(positions, tokenizer.model_max_length)


def by_length(lengths: Sequence[int], batch_size: int) -> Iterator[NDArray[np.intp]]:
    """Yield the places of texts of like length, the longest first, in batches."""
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size is {batch_size!r}; allowed: a whole number from 1 on")
    order = np.argsort([-length for length in lengths], kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
