"""Labels: of a text, and of each word."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minibert.functions import sigmoid, softmax
from minibert.models.bert_heads import BertForSequenceClassification, BertForTokenClassification
from minibert.runtime.arrays import Array
from minibert.tasks.common import Source, encode, load, require_text


def classify(text: str, text_pair: str | None = None, model: Source = None) -> list[dict[str, Any]]:
    """Return every label of a text, or of a pair, with its score, best first.

    Scores are probabilities: over all labels; or each by itself, if there is only one label or
    the config's problem_type is multi_label_classification. For regression they are the plain
    numbers. What is too long is cut, with a warning (see common.py).
    """
    classifier, tokenizer, limit = load(model, BertForSequenceClassification)
    pair = None if text_pair is None else require_text("text_pair", text_pair)
    inputs = encode(tokenizer, limit, require_text("text", text), pair)
    logits = classifier(**inputs).logits[0]
    problem = classifier.config.problem_type
    alone = problem == "multi_label_classification" or len(logits) == 1
    scores = logits if problem == "regression" else (sigmoid if alone else softmax)(logits)
    best = np.argsort(-scores, kind="stable").tolist()
    return [{"label": _label(classifier, i), "score": float(scores[i])} for i in best]


def _label(model: Any, index: int) -> str:
    return str(model.config.id2label.get(index, f"LABEL_{index}"))


_AGGREGATIONS: dict[str, Callable[[Array], Array]] = {
    "first": lambda pieces: pieces[0],
    "average": lambda pieces: pieces.mean(axis=0),
    "max": lambda pieces: pieces[pieces.max(axis=-1).argmax()],
}


def tag(text: str, aggregation: str = "first", model: Source = None) -> list[dict[str, Any]]:
    """Return the label of each word: word, label, score, start, end (places in the text).

    A word's pieces are joined. aggregation: whose probabilities count for the word, those of its
    "first" piece, the "average", or those of the piece that is surest ("max"). What is too long is
    cut, with a warning (see common.py), and has no labels.
    """
    tagger, tokenizer, limit = load(model, BertForTokenClassification)
    if aggregation not in _AGGREGATIONS:
        raise ValueError(f"aggregation is {aggregation!r}; allowed: 'first', 'average', 'max'")
    inputs = encode(tokenizer, limit, require_text("text", text), return_offsets_mapping=True)
    offsets = inputs.pop("offset_mapping")[0].tolist()
    probabilities = softmax(tagger(**inputs).logits)[0]
    words: dict[int, list[int]] = {}
    for place, word in enumerate(inputs.word_ids(0)):
        if word is not None:
            words.setdefault(word, []).append(place)
    found = []
    for places in words.values():
        scores = _AGGREGATIONS[aggregation](probabilities[places])
        best = int(scores.argmax())
        start, end = offsets[places[0]][0], offsets[places[-1]][1]
        label = {"label": _label(tagger, best), "score": float(scores[best])}
        found.append({"word": text[start:end], **label, "start": start, "end": end})
    return found
