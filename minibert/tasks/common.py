"""What the tasks share: a model with its tokenizer, texts that fit it, and batches.

Texts that are too long: a model reads a limited number of tokens, 512 for most. Every task cuts off
the end of what does not fit (of the longer text of a pair), and warns, so that nothing is lost in
silence. ``fill_mask`` refuses to cut off a mask. ``answer`` and ``tag`` read what is long through a
window and lose nothing of it.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.checkpoint.files import visible
from minibert.checkpoint.hub import find_folder
from minibert.data import EMBEDDED_CHECKPOINT
from minibert.models.auto import AutoClass, AutoModel, AutoTokenizer, class_for
from minibert.models.base import PreTrainedModel
from minibert.runtime.spelling import a_kind
from minibert.runtime.warn import warn
from minibert.tokenizers import BatchEncoding, PreTrainedTokenizer
from minibert.tokenizers.batch_encoding import columns_of, pad_columns, to_batch

Pair = tuple[PreTrainedModel, PreTrainedTokenizer]
Source = str | os.PathLike[str] | Pair | None


def load(model: Source, auto: type[AutoClass]) -> tuple[PreTrainedModel, PreTrainedTokenizer, int]:
    """Return a model, its tokenizer, and how many tokens a row of both may have.

    auto: AutoModelFor..., which says what the model has to be for. TypeError if a pair is given
    whose model is for something else; ValueError if there is no such model of this architecture, or
    the checkpoint lacks the head: what it computes would be random.
    """
    if not isinstance(model, tuple):
        folder = folder_of(model)
        model = auto.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    given, tokenizer = _pair(model)
    kind = class_for(given.config.model_type, auto.stands_for)
    if not isinstance(given, kind):
        hint = f"load it with {kind.__name__}.from_pretrained"
        raise TypeError(f"the task needs a {kind.__name__}, found {a_kind(given)}; {hint}")
    _require_head(given, auto)
    return given, tokenizer, min(given.config.max_position_embeddings, tokenizer.model_max_length)


def _pair(model: tuple[Any, ...]) -> Pair:
    kinds = PreTrainedModel, PreTrainedTokenizer
    if len(model) != 2 or not all(map(isinstance, model, kinds)):
        found = ", ".join(type(part).__name__ for part in model)
        raise TypeError(f"model is a tuple of {found or 'nothing'}; needed: (model, tokenizer)")
    return model


def _require_head(model: PreTrainedModel, auto: type[AutoClass]) -> None:
    """Raise ValueError if what the task needs beyond the layers was drawn at random."""
    drawn = model.loading_report.newly_initialized if model.loading_report else ()
    needed = {entry.name for entry in model.names(model.config)}
    missing = [name for name in drawn if name in needed]
    if missing and auto is not AutoModel:  # vectors of words need no pooler
        raise ValueError(
            f"the checkpoint has no such head: {visible(', '.join(missing), 200)} would be random, "
            f"and so the result; choose one that was trained for this task ({type(model).__name__})"
        )


def folder_of(model: str | os.PathLike[str] | PreTrainedModel | None) -> Path:
    """Return the folder of a model, fetched if it is a Hub id; the embedded one for None."""
    if model is None:
        return EMBEDDED_CHECKPOINT
    if isinstance(model, PreTrainedModel):
        raise TypeError(f"model is {a_kind(model)} alone; pass (model, tokenizer)")
    return find_folder(model, ("config", "weights", "tokenizer", "sentence"), {})[0]


def encode(
    tokenizer: PreTrainedTokenizer, limit: int, text: Any, text_pair: Any = None
) -> BatchEncoding:
    """Return the arrays of a text, a pair, or a list of texts, cut to ``limit`` tokens: a warning.

    See ``arrays_of``.
    """
    inputs = arrays_of(tokenizer, text, text_pair, truncation=True, max_length=limit)
    if inputs["input_ids"].shape[1] == limit:  # else there was room to spare
        rows = tokenizer(text, text_pair, truncation=False, max_length=limit).encodings
        if max(map(len, rows)) > limit:
            warn(
                f"a text is longer than the {limit} tokens that can be read at once; what is "
                "beyond them was left out. Pass shorter texts if the end matters"
            )
    return inputs


def arrays_of(
    tokenizer: PreTrainedTokenizer, text: Any, text_pair: Any = None, **options: Any
) -> BatchEncoding:
    """Return the arrays of a call, with the attention_mask, padded to the longest row.

    A tokenizer without a pad_token, as GPT-2's, is no obstacle: any id will do where the mask is 0.
    """
    options["return_attention_mask"] = True  # whatever the files say that a call returns
    called = tokenizer(text, text_pair, **options)
    columns, _, _ = columns_of(called.data, "np")
    pad = 0 if tokenizer.pad_token is None else tokenizer.pad_token_id
    length = max(map(len, columns["input_ids"]))
    if not length:
        raise ValueError("there is no token: the text is empty, and nothing stands around it")
    padded = pad_columns(columns, length, pad, tokenizer.padding_side)
    return to_batch(padded, called.encodings, arrays=True, is_list=True)


def require_text(name: str, value: Any) -> str:
    """Return the value if it is a text; TypeError otherwise."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is {a_kind(value)}; needed: a text")
    return value


def require_texts(values: Any) -> list[str]:
    """Return the values as a list if they are texts; TypeError otherwise."""
    if not isinstance(values, Iterable):
        raise TypeError(f"texts is {a_kind(values)}; needed: a text, or a list of texts")
    return [require_text("a text", value) for value in values]


def require_count(name: str, value: Any) -> int:
    """Return the value if it is a whole number from 1 on, NumPy's too; ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} is {value!r:.80}; allowed: a whole number from 1 on")
    return int(value)


def by_length(lengths: Sequence[int], batch_size: int) -> Iterator[NDArray[np.intp]]:
    """Yield the places of texts of like length, the longest first, in batches."""
    size = require_count("batch_size", batch_size)
    order = np.argsort([-length for length in lengths], kind="stable")
    for start in range(0, len(order), size):
        yield order[start : start + size]
