"""What BERT was trained on: masked words, and whether a sentence follows another."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.functions import softmax
from minibert.models.auto import AutoModelForMaskedLM, AutoModelForNextSentencePrediction
from minibert.models.bert_heads import BertForMaskedLM
from minibert.runtime.arrays import Array
from minibert.runtime.spelling import spelled
from minibert.tasks.common import Source, encode, load, require_count, require_text
from minibert.tokenizers import PreTrainedTokenizer


@spelled
def fill_mask(
    text: str, top_k: int = 5, targets: Sequence[str] | None = None, model: Source = None
) -> list[Any]:
    """Return the likeliest words for a [MASK]: score, token, token_str, sequence, best first.

    With several masks, a list of such lists, one a mask; each is filled as if it were alone to be
    filled. targets: compare these words only; each must be one token of the vocabulary.
    Scores are probabilities over all rows of the model's vocabulary. Rows without a token, with
    which models are padded, are not ranked. ValueError if the text has no mask, or if the text is
    too long and a mask would be cut off (see common.py).
    """
    masked, tokenizer, limit = load(model, AutoModelForMaskedLM)
    assert isinstance(masked, BertForMaskedLM)
    top_k = require_count("top_k", top_k)
    inputs = encode(tokenizer, limit, require_text("text", text))
    where = inputs["input_ids"] == tokenizer.mask_token_id
    _require_masks(text, int(where.sum()), limit, tokenizer)
    scores = softmax(masked.logits_at(where, **inputs))
    candidates = _candidates(targets, scores.shape[-1], tokenizer)
    ids = inputs["input_ids"][0].tolist()
    filled = []
    for place, row in zip(np.flatnonzero(where[0]).tolist(), scores, strict=True):
        best = candidates[np.argsort(-row[candidates], kind="stable")][:top_k].tolist()
        filled.append([_word(token, row, ids, place, tokenizer) for token in best])
    return filled[0] if len(filled) == 1 else filled


def _require_masks(text: str, kept: int, limit: int, tokenizer: PreTrainedTokenizer) -> None:
    """Raise ValueError if the text has no mask, or more of them than were kept."""
    if tokenizer.mask_token is None:
        raise ValueError("this tokenizer has no mask_token, so there is nothing to fill in")
    # by its id: as a token it may have the spaces before it
    ids = tokenizer.encode(text, truncation=False, max_length=limit)
    count = ids.count(tokenizer.mask_token_id)
    if count == 0:
        raise ValueError(f"the text has no {tokenizer.mask_token}: {text[:80]!r}")
    if kept < count:
        raise ValueError(
            f"{count - kept} of the text's {tokenizer.mask_token} stand beyond the {limit} tokens "
            "that can be read at once; shorten the text before them"
        )


def _candidates(
    targets: Sequence[str] | None, rows: int, tokenizer: PreTrainedTokenizer
) -> NDArray[np.intp]:
    """Return the ids to compare: of the targets, or of all tokens that the model has a row for."""
    if targets is None:
        return np.array(sorted(i for i in tokenizer.get_vocab().values() if i < rows))
    ids = []
    for target in [targets] if isinstance(targets, str) else targets:
        pieces = tokenizer.tokenize(require_text("a target", target))
        if len(pieces) != 1 or pieces[0] == tokenizer.unk_token:
            raise ValueError(
                f"the target {target!r} is {pieces or 'nothing'} in this vocabulary; "
                "needed: a word that is one token"
            )
        ids.append(tokenizer.convert_tokens_to_ids(pieces[0]))
        if ids[-1] >= rows:
            raise ValueError(
                f"the target {target!r} has the id {ids[-1]}, and the model's vocabulary ends at "
                f"{rows - 1}: the token was added to the tokenizer alone"
            )
    if not ids:
        raise ValueError("targets is empty; needed: at least one word, or None for all")
    return np.array(list(dict.fromkeys(ids)))


def _word(
    token: int, scores: Array, ids: list[int], place: int, tokenizer: PreTrainedTokenizer
) -> Any:
    sequence = [*ids[:place], token, *ids[place + 1 :]]
    around = (tokenizer.cls_token_id, tokenizer.sep_token_id)
    return {
        "score": float(scores[token]),
        "token": token,
        "token_str": tokenizer.convert_ids_to_tokens(token),
        "sequence": tokenizer.decode([i for i in sequence if i not in around]),
    }


@spelled
def next_sentence(first: str, second: str, model: Source = None) -> dict[str, float]:
    """Return the probabilities that the second text follows the first, and that it is a random one.

    Keys: "is_next", "random". What is too long is cut, with a warning (see common.py).
    """
    judge, tokenizer, limit = load(model, AutoModelForNextSentencePrediction)
    texts = require_text("first", first), require_text("second", second)
    inputs = encode(tokenizer, limit, *texts)
    is_next, random = softmax(judge(**inputs, return_dict=True).logits)[0].tolist()
    return {"is_next": is_next, "random": random}
