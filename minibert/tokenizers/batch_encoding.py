"""What calling a tokenizer returns: named columns, one entry for each row."""

from collections import UserDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minibert.runtime.spelling import a_kind, spelled_methods
from minibert.tokenizers.encoding import Encoding, Side
from minibert.tokenizers.options import check_tensors


class Span(NamedTuple):
    """From start to end, the end not included: characters of a text, or tokens of a row."""

    start: int
    end: int


@spelled_methods
class BatchEncoding(UserDict[str, Any]):
    """A dictionary, after transformers' class of that name; ``model(**batch)`` takes it whole.

    ``batch.input_ids`` is ``batch["input_ids"]``; ``batch[0]`` is the Encoding of the first row.
    """

    def __init__(self, columns: dict[str, Any], rows: Sequence[Encoding]) -> None:
        super().__init__(columns)
        self.encodings = list(rows)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str) and key in self.data:
            return self.data[key]
        if isinstance(key, slice):
            return self.encodings[key]
        if isinstance(key, int):
            return self._row(key)
        needed = f"a column ({', '.join(self.data)}), or the number of a row"
        raise KeyError(f"{key!r:.80} is not a key; needed: {needed}")

    def __getattr__(self, name: str) -> Any:
        columns = vars(self).get("data", {})
        if name in columns:
            return columns[name]
        raise AttributeError(f"this BatchEncoding has no {name!r}; it has {', '.join(columns)}")

    def tokens(self, batch_index: int = 0) -> list[str]:
        """Return the tokens of a row."""
        return self._row(batch_index).tokens

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """Return for each token the number of its word in the text; None for special tokens."""
        return self._row(batch_index).word_ids

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """Return for each token 0 (the text), 1 (its pair) or None (special tokens, padding)."""
        return self._row(batch_index).sequence_ids

    # Of the methods below, each takes a place in the first row, or a row and a place in it. A place
    # is that of a token in its row, of a character in its text, or of a word in its text.

    def token_to_sequence(self, batch_or_token: int, token: int | None = None) -> int | None:
        """Return 0 or 1, the text that a token is from; None for special tokens, padding."""
        row, at = self._place(batch_or_token, token)
        return row.sequence_ids[at] if -len(row) <= at < len(row) else None

    def token_to_word(self, batch_or_token: int, token: int | None = None) -> int | None:
        """Return the number of the word that a token is from; None for special tokens."""
        row, at = self._place(batch_or_token, token)
        return row.word_ids[at] if -len(row) <= at < len(row) else None

    def token_to_chars(self, batch_or_token: int, token: int | None = None) -> Span | None:
        """Return where in its text a token stands; None for special tokens."""
        row, at = self._place(batch_or_token, token)
        is_of_text = self.token_to_sequence(batch_or_token, token) is not None
        return Span(*row.offsets[at]) if is_of_text else None

    def word_to_tokens(
        self, batch_or_word: int, word: int | None = None, sequence_index: int = 0
    ) -> Span | None:
        """Return the first token of a word and the one after its last; None if it has none."""
        row, number = self._place(batch_or_word, word)
        pairs = zip(row.sequence_ids, row.word_ids, strict=True)
        found = [at for at, pair in enumerate(pairs) if pair == (sequence_index, number)]
        return Span(found[0], found[-1] + 1) if found else None

    def word_to_chars(
        self, batch_or_word: int, word: int | None = None, sequence_index: int = 0
    ) -> Span | None:
        """Return where in its text a word stands; None if it has no token."""
        tokens = self.word_to_tokens(batch_or_word, word, sequence_index)
        offsets = self._place(batch_or_word, word)[0].offsets
        return tokens and Span(offsets[tokens.start][0], offsets[tokens.end - 1][1])

    def char_to_token(
        self, batch_or_char: int, char: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """Return the first token that covers a character; None if none does, as for spaces."""
        row, place = self._place(batch_or_char, char)
        pairs = enumerate(zip(row.sequence_ids, row.offsets, strict=True))
        found = (i for i, (n, (a, b)) in pairs if n == sequence_index and a <= place < b)
        return next(found, None)

    def char_to_word(
        self, batch_or_char: int, char: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """Return the number of the word that a character is in; None if it is in none."""
        row, _ = self._place(batch_or_char, char)
        token = self.char_to_token(batch_or_char, char, sequence_index)
        return None if token is None else row.word_ids[token]

    def _place(self, batch_or_place: int, place: int | None) -> tuple[Encoding, int]:
        """Return the row and the place in it."""
        if place is None:
            return self._row(0), batch_or_place
        return self._row(batch_or_place), place

    def _row(self, index: int) -> Encoding:
        if not self.encodings:
            raise ValueError("only what a call returns knows its texts; pad() returns ids alone")
        if not -len(self.encodings) <= index < len(self.encodings):
            found = f"there is no row {index}"
            raise IndexError(f"{found}; this batch has {len(self.encodings)}, counted from 0")
        return self.encodings[index]


def as_lists(values: Any) -> Any:
    """Return arrays as lists, inside lists too, and all else as it is."""
    if hasattr(values, "tolist"):
        return values.tolist()
    return [as_lists(value) for value in values] if isinstance(values, list | tuple) else values


def columns_of(given: Any, return_tensors: Any) -> tuple[dict[str, list[Any]], bool, bool]:
    """Return columns of rows, whether rows or one alone were given, and whether arrays are due.

    ValueError if there are no rows, no input_ids, or rows with different columns.
    """
    rows = given if isinstance(given, list | tuple) else [given]
    names = [*rows[0]] if rows and isinstance(rows[0], Mapping) else []
    if not all(isinstance(row, Mapping) and {*row} == {*names} for row in rows):
        raise ValueError("the rows to pad are no dictionaries, or have different columns")
    if "input_ids" not in names:
        raise ValueError(f"the rows to pad need input_ids; found: {', '.join(map(str, names))}")
    first = rows[0]["input_ids"]
    first = first[0] if isinstance(first, list | tuple) and first else first
    if return_tensors is None and hasattr(first, "tolist"):  # as what was given
        return_tensors = "np" if isinstance(first, np.ndarray | np.generic) else "pt"
    are_arrays = check_tensors(return_tensors)
    columns = {name: [as_lists(row[name]) for row in rows] for name in names}
    if wrong := [ids for ids in columns["input_ids"] if not isinstance(ids, list)]:
        raise TypeError(f"input_ids of the rows to pad is {a_kind(wrong[0])}; needed: a list")
    if rows is given:
        return columns, True, are_arrays
    columns = {name: column[0] for name, column in columns.items()}
    if any(isinstance(value, list) for value in columns["input_ids"]):
        return columns, True, are_arrays
    return {name: [value] for name, value in columns.items()}, False, are_arrays


def pad_columns(
    columns: dict[str, list[Any]], length: int, pad_id: int, side: Side
) -> dict[str, list[Any]]:
    """Return the columns that a tokenizer makes padded to a length, and others as they are."""
    fillers = {"input_ids": pad_id, "attention_mask": 0}
    fillers |= {"token_type_ids": 0, "special_tokens_mask": 1}
    padded = dict(columns)
    missing = [length - len(row) for row in columns["input_ids"]]
    for name in fillers.keys() & columns.keys():
        added = [[fillers[name]] * count for count in missing]
        pairs = zip(columns[name], added, strict=True)
        padded[name] = [row + new if side == "right" else new + row for row, new in pairs]
    return padded


def to_batch(
    columns: dict[str, list[Any]], rows: Sequence[Encoding], arrays: bool, is_list: bool
) -> BatchEncoding:
    """Return columns as arrays; or as lists, without the rows if there was only one text."""
    if arrays:
        return BatchEncoding({k: _to_array(k, v) for k, v in columns.items()}, rows)
    return BatchEncoding(columns if is_list else {k: _only(v) for k, v in columns.items()}, rows)


def _only(column: list[Any]) -> Any:
    """Return the one row of a column; of numbers, the list stays, as in transformers."""
    return column[0] if isinstance(column[0], list) else column


def _to_array(name: str, values: list[Any]) -> NDArray[Any]:
    """Return a column as an array; ValueError if its rows differ in length."""
    lengths = sorted({len(value) for value in values if isinstance(value, list)})
    if len(lengths) > 1:
        raise ValueError(
            f"{name} is ragged: rows have {lengths[0]} to {lengths[-1]} tokens, and an array needs "
            "one length: pad it with padding=True (and cut what is too long with truncation=True)"
        )
    array = np.array(values)
    return array.astype(np.int64) if array.dtype.kind in "biu" or not array.size else array
