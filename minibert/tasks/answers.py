"""Extractive question answering: the span of a context that answers a question."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minibert.functions import softmax
from minibert.models.bert_heads import BertForQuestionAnswering
from minibert.runtime.arrays import Array
from minibert.tasks.common import Source, load, require_count, require_text, room
from minibert.tokenizers import BatchEncoding, BertTokenizer


def answer(
    question: str,
    context: str,
    no_answer: bool = False,
    max_answer_tokens: int = 30,
    stride: int = 64,
    model: Source = None,
) -> dict[str, Any]:
    """Return the likeliest span of the context: answer, score, start, end (places in the context).

    A context that is longer than the model is read through a window that overlaps itself by
    ``stride`` tokens, or by half of what fits, if that is less. The score is the product of the
    probabilities of start and end among the window's context tokens and [CLS], where models point
    if a window holds no answer. With ``no_answer``, as in SQuAD 2, that may be the outcome: where
    [CLS] wins in every window, the answer is "" with its lowest score.
    """
    reader, tokenizer = load(model, BertForQuestionAnswering)
    longest = require_count("max_answer_tokens", max_answer_tokens)
    texts = require_text("question", question), require_text("context", context)
    inputs = _windows(texts, room(reader, tokenizer), stride, tokenizer)
    offsets = inputs.pop("offset_mapping")
    output = reader(**inputs)
    best: dict[str, Any] = {"answer": "", "score": -1.0, "start": 0, "end": 0}
    nothing = 1.0
    for row, places in enumerate(offsets):
        in_context = np.array([side == 1 for side in inputs.sequence_ids(row)])
        starts, ends = output.start_logits[row], output.end_logits[row]
        cls = int(np.argmax(inputs["input_ids"][row] == tokenizer.cls_token_id))
        span = _best_span(starts, ends, in_context, cls, longest)
        nothing = min(nothing, span.nothing)
        if span.score > best["score"]:
            start, end = int(places[span.first][0]), int(places[span.last][1])
            answer = context[start:end]
            best = {"answer": answer, "score": span.score, "start": start, "end": end}
    if no_answer and nothing > best["score"]:
        return {"answer": "", "score": nothing, "start": 0, "end": 0}
    return best


def _windows(
    texts: tuple[str, str], length: int, stride: int, tokenizer: BertTokenizer
) -> BatchEncoding:
    """Return a row of ids for each window on the context, the question before it."""
    question = tokenizer.tokenize(texts[0], truncation=False, max_length=length)
    asked = len(question) + tokenizer.num_special_tokens_to_add(pair=True)
    if asked >= length:
        raise ValueError(
            f"the question {texts[0][:80]!r} takes {asked} tokens with what stands around it, and "
            f"the model has room for {length}: none is left for the context"
        )
    inputs = tokenizer(
        *texts,
        padding=True,
        truncation="only_second",
        max_length=length,
        stride=min(stride, (length - asked) // 2),
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_tensors="np",
    )
    inputs.pop("overflow_to_sample_mapping")
    if 1 not in inputs.sequence_ids(0):
        raise ValueError("the context is empty: there is nothing to look for an answer in")
    return inputs


class _Span(NamedTuple):
    first: int  # place in the row
    last: int
    score: float
    nothing: float  # the probability that there is no answer


def _best_span(
    starts: Array, ends: Array, in_context: NDArray[np.bool_], cls: int, longest: int
) -> _Span:
    """Return the best span of a window; ``cls`` is the place of [CLS]."""
    allowed = in_context.copy()
    allowed[cls] = True
    # float64, for these are products of numbers that may be small
    start, end = (softmax(np.where(allowed, x, -np.inf).astype(np.float64)) for x in (starts, ends))
    products = np.triu(np.outer(start, end)) - np.triu(np.outer(start, end), longest)
    products[~in_context] = -1
    products[:, ~in_context] = -1
    first, last = np.unravel_index(products.argmax(), products.shape)
    score, nothing = float(products[first, last]), float(start[cls] * end[cls])
    return _Span(int(first), int(last), score, nothing)
