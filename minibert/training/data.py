"""From a file of texts and labels to examples: CSV, TSV or JSON lines."""

import csv
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minibert.checkpoint.files import lines_of, require_file, visible
from minibert.losses import IGNORED
from minibert.runtime.progress import progress
from minibert.tokenizers import PreTrainedTokenizer
from minibert.training.batches import Example

Row = dict[str, Any]
FORMATS = {".csv": ",", ".tsv": "\t", ".jsonl": "", ".json": "", ".txt": ""}
TEXTS = "text", "sentence", "sentence1", "premise", "question"  # the first column that is there
PAIRS = "text_pair", "sentence2", "hypothesis", "context"
LABELS = "label", "labels", "tags", "score"


class Labelled(NamedTuple):
    """Examples, and the names of their labels: none where labels are numbers, or words."""

    examples: Sequence[Example]
    names: list[str]


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file. ValueError with the line for what cannot be read."""
    if path.suffix not in FORMATS:
        raise ValueError(f"{str(path)!r} ends with {path.suffix!r}; known: {', '.join(FORMATS)}")
    lines = lines_of(require_file(path).read_bytes(), str(path))
    if path.suffix == ".txt":
        rows: list[Row] = [{"text": line} for line in lines if line.strip()]
    elif path.suffix in (".jsonl", ".json"):
        rows = [_of_json(path, i, line) for i, line in enumerate(lines, 1) if line.strip()]
    else:
        rows = [*_of_table(path, lines)]
    if not rows:
        raise ValueError(f"{str(path)!r} has no rows")
    return rows


def _of_json(path: Path, number: int, line: str) -> Row:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{str(path)!r}, line {number}: {visible(error, 200)}") from None
    if not isinstance(row, dict):
        found = type(row).__name__
        raise ValueError(f"{str(path)!r}, line {number}, is a {found}; needed: an object a line")
    return row


def _of_table(path: Path, lines: list[str]) -> Iterator[Row]:
    ended = (f"{line}\n" for line in lines)  # a text in quotes may have several
    table = csv.DictReader(ended, delimiter=FORMATS[path.suffix], strict=True)
    try:
        for row in table:
            if None in row or None in row.values():
                columns = len(table.fieldnames or [])
                what = f"{str(path)!r}, line {table.line_num}, has other than {columns} columns"
                raise ValueError(f"{what}, which the first line names")
            yield row
    except csv.Error as error:
        raise ValueError(f"{str(path)!r}, line {table.line_num}: {visible(error, 200)}") from None


@dataclass(frozen=True)
class Reader:
    """Makes examples of rows for a task, with a checkpoint's tokenizer."""

    tokenizer: PreTrainedTokenizer
    limit: int  # tokens of an example; longer ones are cut

    def encode(self, row: Row, path: Path) -> dict[str, list[int]]:
        """Return the ids of a row's text, or pair of texts."""
        text, pair = row[column(row, TEXTS, path)], None
        if name := next((name for name in PAIRS if name in row), None):
            pair = row[name]
        for name, value in (("text", text), ("text_pair", pair)):
            if not isinstance(value, str) and (name == "text" or value is not None):
                raise ValueError(f"{str(path)!r}: {name} is {value!r:.80}; needed: a string")
        return _inputs(self.tokenizer(text, pair, truncation=True, max_length=self.limit))

    def classify(self, path: Path, names: Sequence[str] = ()) -> Labelled:
        """Return examples with a label each; names: those that are known, in order."""
        rows = read_rows(path)
        told = [str(row[column(row, LABELS, path)]) for row in rows]
        known = [*names] or sorted({*told})
        number_of = _numbering(known, path)
        labels = ({"labels": number_of(name)} for name in told)
        return Labelled([*self._examples(path, zip(rows, labels, strict=True))], known)

    def regress(self, path: Path, names: Sequence[str] = ()) -> Labelled:
        """Return examples with a number each."""
        rows = read_rows(path)
        labels = ((row, {"labels": _number(row, path)}) for row in rows)
        return Labelled([*self._examples(path, labels)], ["score"])

    def tag(self, path: Path, names: Sequence[str] = ()) -> Labelled:
        """Return examples with a label for each word: of its first piece, and of no other."""
        rows = read_rows(path)
        told = [_words(row, path) for row in rows]
        known = [*names] or sorted({str(tag) for _, tags in told for tag in tags})
        number_of, examples = _numbering(known, path), []
        for words, tags in told:
            options = {"truncation": True, "max_length": self.limit}
            found = self.tokenizer(words, is_split_into_words=True, **options)
            places, labels = found.word_ids(), []
            for i, word in enumerate(places):
                is_first = i == 0 or places[i - 1] != word
                has_label = word is not None and is_first
                labels.append(number_of(tags[word or 0]) if has_label else IGNORED)
            if {*labels} - {IGNORED}:
                examples.append(Example(_inputs(found), {"labels": labels}))
        _refuse_none(examples, path)
        return Labelled(examples, known)

    def mask(self, path: Path, names: Sequence[str] = ()) -> Labelled:
        """Return texts of which words are hidden, others in each epoch."""
        texts, special = read_rows(path), {*self.tokenizer.all_special_ids}
        rows = [x for x in (self.encode(row, path) for row in texts) if {*x["input_ids"]} - special]
        _refuse_none(rows, path)
        return Labelled(Masked(rows, self.tokenizer), [])

    def _examples(self, path: Path, labelled: Any) -> Iterator[Example]:
        for i, (row, labels) in enumerate(labelled):
            progress(f"row {i + 1}")
            yield Example(self.encode(row, path), labels)


class Masked(Sequence[Example]):
    """Texts for masked language modelling, by BERT's rule: drawn anew in each epoch.

    15 in 100 tokens are to be guessed: of these 8 in 10 are hidden, 1 becomes another, 1 stays.
    Devlin et al., "BERT", arXiv:1810.04805, section 3.1.
    """

    def __init__(
        self, rows: Sequence[dict[str, list[int]]], tokenizer: Any, seed: tuple[int, ...] = (0,)
    ) -> None:
        if tokenizer.mask_token_id is None:
            raise ValueError("the tokenizer has no mask_token: this task needs a BERT")
        self.rows, self.seed, self.mask_id = rows, seed, tokenizer.mask_token_id
        self.special = {*tokenizer.all_special_ids}
        self.words = [i for i in range(len(tokenizer)) if i not in self.special]
        self.tokenizer = tokenizer

    def __len__(self) -> int:
        return len(self.rows)

    def of_epoch(self, seed: tuple[int, ...]) -> "Masked":
        """Return the same texts with other words hidden."""
        return Masked(self.rows, self.tokenizer, seed)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row, random = self.rows[index], np.random.default_rng([*self.seed, index])
        ids, labels = [*row["input_ids"]], [IGNORED] * len(row["input_ids"])
        places = [i for i, token in enumerate(ids) if token not in self.special]
        for i in [i for i in places if random.random() < 0.15] or [int(random.choice(places))]:
            labels[i], chance = ids[i], random.random()
            other = self.mask_id if chance < 0.8 else int(random.choice(self.words))
            ids[i] = ids[i] if chance >= 0.9 else other
        return Example({**row, "input_ids": ids}, {"labels": labels})


READERS: dict[str, Callable[..., Labelled]] = {
    "classify": Reader.classify,
    "regress": Reader.regress,
    "tag": Reader.tag,
    "mask": Reader.mask,
}


def column(row: Row, names: Sequence[str], path: Path) -> str:
    """Return the first of some names that a row has; ValueError if it has none."""
    if name := next((name for name in names if name in row), None):
        return name
    found = ", ".join(visible(name, 40) for name in [*row][:8])
    raise ValueError(f"{str(path)!r} has the columns {found}; needed: one of {', '.join(names)}")


def _number(row: Row, path: Path) -> float:
    value = row[column(row, LABELS, path)]
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{str(path)!r} has the label {value!r:.80}; needed: a number")
    return number


def _words(row: Row, path: Path) -> tuple[list[str], list[Any]]:
    words, tags = row[column(row, ("tokens", "words"), path)], row[column(row, LABELS, path)]
    if not isinstance(words, list) or not isinstance(tags, list) or len(words) != len(tags):
        what = "tokens and labels are to be lists of the same length"
        raise ValueError(f"{str(path)!r}: {what}, as JSON lines have them")
    return words, tags


def _numbering(known: Sequence[str], path: Path) -> Callable[[Any], int]:
    numbers = {name: i for i, name in enumerate(known)}

    def number_of(label: Any) -> int:
        if str(label) not in numbers:
            some = ", ".join(map(repr, known[:5]))
            raise ValueError(f"{str(path)!r} has the label {str(label)!r:.80}; known: {some}")
        return numbers[str(label)]

    return number_of


def _refuse_none(examples: Sequence[Any], path: Path) -> None:
    if not examples:
        raise ValueError(f"{str(path)!r} has texts without words: there is nothing to learn")


def _inputs(found: Any) -> dict[str, list[int]]:
    return {name: [*found[name]] for name in found if name != "attention_mask"}
