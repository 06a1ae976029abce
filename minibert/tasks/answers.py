"""Extractive question answering: the span of a context that answers a question."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.functions import Array, softmax
from minibert.models.heads import BertForQuestionAnswering
from minibert.tasks.common import Source, load, require_text, room


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
    probabilities of start and end among the window's context tokens. With ``no_answer``, [CLS]
    competes, as in SQuAD 2: where it wins in every window, the answer is "" with its score there.
    """
    reader, tokenizer = load(model, BertForQuestionAnswering)
    texts = require_text("question", question), require_text("context", context)
    length = room(reader, tokenizer)
    asked = len(tokenizer.tokenize(texts[0])) + tokenizer.num_special_tokens_to_add(pair=True)
    if asked >= length or not texts[1].strip():
        problem = "leaves no room for the context" if texts[1].strip() else "has an empty context"
        raise ValueError(f"the question {question[:80]!r} {problem}")
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
    offsets = inputs.pop("offset_mapping")
    inputs.pop("overflow_to_sample_mapping")
    output = reader(**inputs)
    best: dict[str, Any] = {"answer": "", "score": -1.0, "start": 0, "end": 0}
    nothing = 1.0
    for row, places in enumerate(offsets):
        in_context = np.array([side == 1 for side in inputs.sequence_ids(row)])
        starts, ends = output.start_logits[row], output.end_logits[row]
        span = _best_span(starts, ends, in_context, no_answer, max_answer_tokens)
        nothing = min(nothing, span.pop("nothing"))
        if span["score"] > best["score"]:
            begin, end = int(places[span["first"]][0]), int(places[span["last"]][1])
            best = {
                "answer": context[begin:end],
                "score": span["score"],
                "start": begin,
                "end": end,
            }
    if no_answer and nothing > best["score"]:
        return {"answer": "", "score": nothing, "start": 0, "end": 0}
    return best


def _best_span(
    starts: Array, ends: Array, in_context: NDArray[np.bool_], no_answer: bool, longest: int
) -> dict[str, Any]:
    """Return the best span of a window, and the probability that there is none."""
    allowed = in_context.copy()
    allowed[0] = no_answer  # [CLS]
    start, end = (softmax(np.where(allowed, x, -np.inf)) for x in (starts, ends))
    products = np.triu(np.outer(start, end)) - np.triu(np.outer(start, end), longest)
    products[~in_context] = 0
    products[:, ~in_context] = 0
    first, last = np.unravel_index(products.argmax(), products.shape)
    score = float(products[first, last])
    nothing = float(start[0] * end[0])
    return {"first": int(first), "last": int(last), "score": score, "nothing": nothing}
