"""What BERT was trained on: masked words, and whether a sentence follows another."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minibert.functions import softmax
from minibert.models.bert_heads import BertForMaskedLM, BertForNextSentencePrediction
from minibert.runtime.arrays import Array
from minibert.tasks.common import Source, load, require_count, require_text
from minibert.tokenizers import BertTokenizer


def fill_mask(
    text: str, top_k: int = 5, targets: Sequence[str] | None = None, model: Source = None
) -> list[Any]:
    """Return the likeliest words for a [MASK]: score, token, token_str, sequence, best first.

    With several masks, a list of such lists, one a mask; each is filled as if it were alone to be
    filled. targets: compare these words only; each must be one token of the vocabulary.
    Scores are probabilities over the whole vocabulary. ValueError if the text has no mask.
    """
    masked, tokenizer = load(model, BertForMaskedLM)
    assert isinstance(masked, BertForMaskedLM)
    top_k = require_count("top_k", top_k)
    inputs = tokenizer(require_text("text", text), return_tensors="np")
    where = inputs["input_ids"] == tokenizer.mask_token_id
    if not where.any():
        raise ValueError(f"the text has no {tokenizer.mask_token}: {text[:80]!r}")
    scores = softmax(masked.logits_at(where, **inputs))
    allowed = _target_ids(targets, tokenizer)
    places: list[int] = np.flatnonzero(where[0]).tolist()
    ids = inputs["input_ids"][0]
    filled = [
        _best(row, top_k, allowed, ids, place, tokenizer)
        for row, place in zip(scores, places, strict=True)
    ]
    return filled[0] if len(filled) == 1 else filled


def _target_ids(targets: Sequence[str] | None, tokenizer: BertTokenizer) -> list[int] | None:
    if targets is None:
        return None
    ids = []
    for target in [targets] if isinstance(targets, str) else targets:
        pieces = tokenizer.tokenize(require_text("a target", target))
        if len(pieces) != 1 or pieces[0] == tokenizer.unk_token:
            raise ValueError(
                f"the target {target!r} is {pieces or 'nothing'} in this vocabulary; "
                "needed: a word that is one token"
            )
        ids.append(tokenizer.convert_tokens_to_ids(pieces[0]))
    if not ids:
        raise ValueError("targets is empty; needed: at least one word, or None for all")
    return list(dict.fromkeys(ids))


def _best(
    scores: Array,
    top_k: int,
    allowed: list[int] | None,
    ids: Any,
    place: int,
    tokenizer: BertTokenizer,
) -> list[dict[str, Any]]:
    candidates = np.arange(len(scores)) if allowed is None else np.array(allowed)
    order = candidates[np.argsort(-scores[candidates], kind="stable")][:top_k]
    found = []
    for token in order.tolist():
        sequence = [*ids[:place].tolist(), token, *ids[place + 1 :].tolist()]
        kept = [i for i in sequence if i not in _around(tokenizer)]
        found.append(
            {
                "score": float(scores[token]),
                "token": token,
                "token_str": tokenizer.convert_ids_to_tokens(token),
                "sequence": tokenizer.decode(kept),
            }
        )
    return found


def _around(tokenizer: BertTokenizer) -> tuple[int | None, ...]:
    return (tokenizer.cls_token_id, tokenizer.sep_token_id)


def next_sentence(first: str, second: str, model: Source = None) -> dict[str, float]:
    """Return the probabilities that the second text follows the first, and that it is a random one.

    Keys: "is_next", "random".
    """
    judge, tokenizer = load(model, BertForNextSentencePrediction)
    texts = require_text("first", first), require_text("second", second)
    logits = judge(**tokenizer(*texts, return_tensors="np")).logits
    is_next, random = softmax(logits)[0].tolist()
    return {"is_next": is_next, "random": random}
