"""What a recording with gradients needs besides the inputs: a head, and labels for its loss."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.checkpoint.load import read_config
from minibert.losses import IGNORED
from minibert.models.auto import MODELS
from minibert.models.heads import ModelWithHead
from minibert.verification.names import Arrays
from minibert.verification.shapes import masks_of, words_of

HEADS: dict[str, type[ModelWithHead]] = {
    kind.__name__: kind for kind in MODELS if issubclass(kind, ModelWithHead)
}
OF_WORDS = "BertForMaskedLM", "BertForPreTraining", "GPT2LMHeadModel"  # that say ids
OF_TOKENS = "BertForTokenClassification", "GPT2ForTokenClassification"
WRITES = "BartForConditionalGeneration"


def of_its_class(folder: Path) -> type[ModelWithHead]:
    """Return the class with a head that a checkpoint was saved from; ValueError without one."""
    given = read_config(folder).get("architectures")
    names = list(map(str, given)) if isinstance(given, list) else []
    found = next((HEADS[name] for name in names if name in HEADS), None)
    if found is None:
        said = f"says {', '.join(names)!r:.80}" if names else "says none"
        raise ValueError(
            "gradients need a loss, and so a head: 'architectures' in config.json "
            f"{said}; allowed: {', '.join(HEADS)}. A model in memory is recorded by record_model"
        )
    return found


def labels_of(kind: type[ModelWithHead], config: Any, inputs: Mapping[str, Any]) -> Arrays:
    """Return labels that are made up: of words the words themselves, of others all in turn.

    inputs: of a call, whole arrays. Each sequence and each real token has one, where it can.
    """
    mask, source = masks_of(inputs)
    size, length = mask.shape
    pairs, name = np.arange(size) % 2, kind.__name__
    if kind.targets == ("start_positions", "end_positions"):
        first = mask.argmax(axis=1)
        last = length - 1 - mask[:, ::-1].argmax(axis=1)
        return {"start_positions": first, "end_positions": last}
    if name in (*OF_WORDS, WRITES):
        labels = _words(inputs, config.vocab_size, mask if name != WRITES else source)
        if name == "GPT2LMHeadModel":  # a word is told from the token before it
            labels[:, 1:][~mask[:, :-1]] = IGNORED
    elif name in OF_TOKENS:
        labels = np.where(mask, np.cumsum(mask, axis=1) % config.num_labels, IGNORED)
    elif name == "BertForNextSentencePrediction":
        labels = pairs
    elif config.problem_type in (None, "single_label_classification") and config.num_labels > 1:
        labels = np.arange(size) % config.num_labels
    else:
        shape = (size, config.num_labels) if config.num_labels > 1 else (size,)
        labels = np.resize([0.0, 1.0], shape)
    return dict(zip(kind.targets, (labels, pairs), strict=False))  # a second one is of pairs


def _words(inputs: Mapping[str, Any], count: int, real: Any) -> NDArray[np.int64]:
    words = words_of(inputs)
    if words.ndim > 2:  # vectors in place of words
        words = np.arange(words.shape[0] * words.shape[1]).reshape(words.shape[:2]) % count
    return np.where(real, words, IGNORED)
