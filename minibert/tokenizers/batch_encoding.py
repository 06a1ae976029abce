"""What calling a tokenizer returns: named columns, one entry for each row."""

from collections import UserDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.tokenizers.encoding import Encoding


class BatchEncoding(UserDict[str, Any]):
    """A dictionary, after transformers' class of that name; ``model(**batch)`` takes it whole.

    ``batch.input_ids`` is ``batch["input_ids"]``; ``batch[0]`` is the Encoding of the first row.
    """

    def __init__(self, columns: dict[str, Any], rows: Sequence[Encoding]) -> None:
        super().__init__(columns)
        self.encodings = list(rows)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return super().__getitem__(key)
        if isinstance(key, int | slice):
            return self.encodings[key]
        raise KeyError(f"{key!r} is not a key; needed: the name of a column or the number of a row")

    def __getattr__(self, name: str) -> Any:
        columns = vars(self).get("data", {})
        if name in columns:
            return columns[name]
        raise AttributeError(f"this BatchEncoding has no {name!r}; it has {', '.join(columns)}")

    def tokens(self, batch_index: int = 0) -> list[str]:
        """Return the tokens of a row."""
        return self.encodings[batch_index].tokens

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """Return for each token the number of its word in the text; None for special tokens."""
        return self.encodings[batch_index].word_ids

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """Return for each token 0 (the text), 1 (its pair) or None (special tokens, padding)."""
        return self.encodings[batch_index].sequence_ids


def to_batch(
    columns: dict[str, list[Any]], rows: Sequence[Encoding], arrays: bool, is_list: bool
) -> BatchEncoding:
    """Return columns as arrays; or as lists, without the rows if there was only one text."""
    if arrays:
        return BatchEncoding({k: _to_array(k, v) for k, v in columns.items()}, rows)
    return BatchEncoding(columns if is_list else {k: v[0] for k, v in columns.items()}, rows)


def _to_array(name: str, values: list[Any]) -> NDArray[np.int64]:
    """Return a column as an array; ValueError if its rows differ in length."""
    lengths = sorted({len(value) for value in values if isinstance(value, list)})
    if len(lengths) > 1:
        raise ValueError(
            f"{name} is ragged: rows have {lengths[0]} to {lengths[-1]} tokens, and an array needs "
            "one length: pad it with padding=True (and cut what is too long with truncation=True)"
        )
    return np.array(values, np.int64)
