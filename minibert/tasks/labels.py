"""Labels: of a text, of each word, and of entities."""

from collections.abc import Callable, Iterator
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from minibert.functions import sigmoid, softmax
from minibert.models.auto import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from minibert.runtime.arrays import Array
from minibert.runtime.spelling import spelled
from minibert.tasks.common import Source, encode, folder_of, load, require_count, require_text
from minibert.tasks.sentence_files import score_activation
from minibert.tokenizers import PreTrainedTokenizer
from minibert.tokenizers.encoding import Encoding


@spelled
def classify(text: str, text_pair: str | None = None, model: Source = None) -> list[dict[str, Any]]:
    """Return every label of a text, or of a pair, with its score, best first.

    Scores are probabilities: over all labels; or each by itself, if there is only one label or
    the config's problem_type is multi_label_classification. For regression they are the plain
    numbers. For a cross-encoder of sentence-transformers they are what the activation that its
    files name makes of them. What is too long is cut, with a warning (see common.py).
    """
    source = model if isinstance(model, tuple) else folder_of(model)
    classifier, tokenizer, limit = load(source, AutoModelForSequenceClassification)
    said = score_activation(None if isinstance(source, tuple) else source, classifier.config)
    pair = None if text_pair is None else require_text("text_pair", text_pair)
    inputs = encode(tokenizer, limit, require_text("text", text), pair)
    logits = classifier(**inputs, return_dict=True).logits[0]
    problem = classifier.config.problem_type
    alone = problem == "multi_label_classification" or len(logits) == 1
    usual = _plain if problem == "regression" else sigmoid if alone else softmax
    scores = (said or usual)(logits)
    best = np.argsort(-scores, kind="stable").tolist()
    return [{"label": _label(classifier, i), "score": float(scores[i])} for i in best]


def _plain(logits: Array) -> Array:
    return logits


def _label(model: Any, index: int) -> str:
    return str(model.config.id2label.get(index, f"LABEL_{index}"))


_AGGREGATIONS: dict[str, Callable[[Array], Array]] = {
    "simple": lambda piece: piece[0],
    "first": lambda pieces: pieces[0],
    "average": lambda pieces: pieces.mean(axis=0),
    "max": lambda pieces: pieces[pieces.max(axis=-1).argmax()],
}
Unit = dict[str, Any]  # a word, a piece of one or an entity: word, label, score, start, end


@spelled
def tag(
    text: str,
    aggregation: str = "first",
    model: Source = None,
    entities: bool = False,
    stride: int = 64,
) -> list[Unit]:
    """Return the label of each word: word, label, score, start, end (places in the text).

    A word's pieces are joined. aggregation: whose probabilities count for the word, those of its
    "first" piece, the "average", or those of the piece that is surest ("max"). With ``entities``,
    words are put together as in the pipeline of transformers: B-PER and each I-PER after it are
    one entity, with its entity_group, PER, in place of a label; "O" is none. "simple" does that
    with single pieces.

    A long text is read through a window that overlaps itself by ``stride`` tokens, or by half of
    what fits, if that is less. Of what two windows see, the longer counts, then the surer one.
    """
    tagger, tokenizer, limit = load(model, AutoModelForTokenClassification)
    if aggregation not in _AGGREGATIONS:
        allowed = ", ".join(map(repr, _AGGREGATIONS))
        raise ValueError(f"aggregation is {aggregation!r:.80}; allowed: {allowed}")
    rows = _windows(require_text("text", text), limit, require_count("stride", stride), tokenizer)
    units = [list(_units(row, tagger, aggregation)) for row in rows]
    found = _entities(units) if entities or aggregation == "simple" else _words(units)
    return [shown for unit in found if (shown := _shown(text, unit))["word"]]


def _shown(text: str, unit: Unit) -> Unit:
    """Return a unit with its word, less the spaces around it, which bytes count in."""
    word = text[unit["start"] : unit["end"]]
    start = unit["start"] + len(word) - len(word.lstrip())
    return {"word": word.strip(), **unit, "start": start, "end": start + len(word.strip())}


def _windows(text: str, limit: int, stride: int, tokenizer: PreTrainedTokenizer) -> list[Encoding]:
    """Return a row for each window on the text."""
    half = (limit - tokenizer.num_special_tokens_to_add()) // 2
    options: dict[str, Any] = {"max_length": limit, "stride": max(min(stride, half), 0)}
    return tokenizer(text, truncation=True, return_overflowing_tokens=True, **options).encodings


def _units(row: Encoding, tagger: Any, aggregation: str) -> Iterator[tuple[int, Unit]]:
    """Yield a window's words with their numbers; its pieces if the aggregation is simple."""
    inputs = (row.ids, row.attention_mask, row.type_ids)
    output = tagger(*(np.array([column]) for column in inputs), return_dict=True)
    probabilities = softmax(output.logits)[0]
    units: dict[int, list[int]] = {}
    for place, word in enumerate(row.word_ids):
        if word is not None:
            units.setdefault(place if aggregation == "simple" else word, []).append(place)
    for number, places in units.items():
        scores = _AGGREGATIONS[aggregation](probabilities[places])
        best = int(scores.argmax())
        label = {"label": _label(tagger, best), "score": float(scores[best])}
        start, end = row.offsets[places[0]][0], row.offsets[places[-1]][1]
        yield number, {**label, "start": start, "end": end}


def _size(unit: Unit) -> tuple[int, float]:
    return unit["end"] - unit["start"], unit["score"]


def _words(windows: list[list[tuple[int, Unit]]]) -> list[Unit]:
    """Return each word once, labelled where most of it is seen, the surest of such."""
    seen: dict[int, list[Unit]] = {}
    for number, unit in chain(*windows):
        seen.setdefault(number, []).append(unit)
    spans = [
        {"start": min(u["start"] for u in parts), "end": max(u["end"] for u in parts)}
        for _, parts in sorted(seen.items())
    ]
    best = [max(parts, key=_size) for _, parts in sorted(seen.items())]
    return [unit | span for unit, span in zip(best, spans, strict=True)]


def _entities(windows: list[list[tuple[int, Unit]]]) -> list[Unit]:
    """Return the entities of all windows; of two that overlap one."""
    found = [entity for units in windows for entity in _joined([unit for _, unit in units])]
    if len(windows) == 1:
        return found
    chosen: list[Unit] = []
    for entity in sorted(found, key=itemgetter("start")):
        if chosen and entity["start"] < chosen[-1]["end"]:
            chosen.append(max(chosen.pop(), entity, key=_size))
        else:
            chosen.append(entity)
    return chosen


def _joined(units: list[Unit]) -> list[Unit]:
    """Return entities: units of one kind that follow each other, none but the first a B-."""
    groups: list[list[Unit]] = []
    before = None
    for unit in units:
        kind = unit["label"][2:] if unit["label"].startswith(("B-", "I-")) else unit["label"]
        if kind != before or unit["label"].startswith("B-"):
            groups.append([])
        groups[-1].append(unit)
        before = kind
    found = []
    for group in groups:
        name = group[0]["label"].split("-", 1)[-1]
        entity = {"entity_group": name, "score": float(np.mean([u["score"] for u in group]))}
        if name != "O":
            found.append({**entity, "start": group[0]["start"], "end": group[-1]["end"]})
    return found
