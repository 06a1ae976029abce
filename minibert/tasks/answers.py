"""Extractive question answering: the span of a context that answers a question."""

from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.functions import softmax
from minibert.models.auto import AutoModelForQuestionAnswering
from minibert.runtime.arrays import Array
from minibert.runtime.spelling import spelled
from minibert.tasks.common import Source, load, require_count, require_text
from minibert.tokenizers import BatchEncoding, PreTrainedTokenizer


@spelled
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
    reader, tokenizer, limit = load(model, AutoModelForQuestionAnswering)
    longest = require_count("max_answer_tokens", max_answer_tokens)
    texts = require_text("question", question), require_text("context", context)
    inputs = _windows(texts, limit, stride, tokenizer)
    offsets = inputs.pop("offset_mapping")
    output = reader(**inputs, return_dict=True)
    spans = []
    for row, places in enumerate(offsets.tolist()):
        in_context = np.array([side == 1 for side in inputs.sequence_ids(row)])
        cls = int(np.argmax(inputs["input_ids"][row] == tokenizer.cls_token_id))
        logits = output.start_logits[row], output.end_logits[row]
        first, last, *scores = _best_span(*logits, in_context, cls, longest)
        spans.append((places[first][0], places[last][1], *scores))
    start, end, score, _ = max(spans, key=itemgetter(2))
    nothing = min(span[3] for span in spans)
    if no_answer and nothing > score:
        start, end, score = 0, 0, nothing
    return {"answer": context[start:end], "score": score, "start": start, "end": end}


def _windows(
    texts: tuple[str, str], length: int, stride: int, tokenizer: PreTrainedTokenizer
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
        return_attention_mask=True,
        return_tensors="np",
    )
    inputs.pop("overflow_to_sample_mapping")
    if 1 not in inputs.sequence_ids(0):
        raise ValueError("the context is empty: there is nothing to look for an answer in")
    return inputs


def _best_span(
    starts: Array, ends: Array, in_context: NDArray[np.bool_], cls: int, longest: int
) -> tuple[int, int, float, float]:
    """Return the first and last token of a window's best span, its score, and that of none."""
    allowed = in_context.copy()
    allowed[cls] = True
    # float64, for these are products of numbers that may be small
    start, end = (softmax(np.where(allowed, x, -np.inf).astype(np.float64)) for x in (starts, ends))
    products = np.triu(np.outer(start, end)) - np.triu(np.outer(start, end), longest)
    products[~in_context] = -1
    products[:, ~in_context] = -1
    first, last = np.unravel_index(products.argmax(), products.shape)
    score, nothing = float(products[first, last]), float(start[cls] * end[cls])
    return int(first), int(last), score, nothing
