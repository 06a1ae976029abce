"""Sentence embeddings, as sentence-transformers makes them."""

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np

from minibert.models.auto import AutoModel
from minibert.runtime.arrays import Array
from minibert.runtime.spelling import a_kind, spelled
from minibert.tasks.common import Source, by_length, encode, folder_of, load, require_texts
from minibert.tasks.sentence import POOLINGS, Module, Normalize, Pooling, SentenceSettings
from minibert.tasks.sentence_files import read_settings
from minibert.tokenizers import BertTokenizer, PreTrainedTokenizer
from minibert.tokenizers.normalize import Normalizer


@spelled
def embed(
    texts: str | Sequence[str],
    pooling: str | None = None,
    normalize: bool | None = None,
    batch_size: int = 32,
    model: Source = None,
    prompt: str | None = None,
) -> Array:
    """Return one vector for each text: (len(texts), D); (D,) for a single text.

    pooling: one of POOLINGS, "mean" over the real tokens, "cls", "max" ... normalize: to length 1.
    prompt: put before every text. None means what the files of a sentence-transformers folder say,
    all of whose modules are applied; elsewhere the mean, normalized, and no prompt. What is too
    long is cut, with a warning (see common.py).
    """
    source = model if isinstance(model, tuple) else folder_of(model)
    settings = SentenceSettings() if isinstance(source, tuple) else read_settings(source)
    embedder, tokenizer, limit = load(settings.folder or source, AutoModel)
    settings = _chosen(settings, pooling, normalize, prompt)
    # max_seq_length stands above what the tokenizer's files say
    limit = min(settings.max_tokens or limit, embedder.config.max_position_embeddings)
    single = isinstance(texts, str)
    given = [settings.prompt + text for text in require_texts([texts] if single else texts)]
    before, *rows = _lowered([settings.prompt, *given], settings, tokenizer)
    skipped = _prompt_length(before, tokenizer, limit)
    none = np.zeros((0, 1, embedder.config.hidden_size), embedder.dtype)
    size = settings.vectors_of(none, np.zeros((0, 1)), skipped).shape[1]
    vectors = np.zeros((len(rows), size), embedder.dtype)
    for places in _progress(list(by_length(list(map(len, rows)), batch_size))):
        inputs = encode(tokenizer, limit, [rows[place] for place in places])
        states = embedder(**inputs, return_dict=True).last_hidden_state
        vectors[places] = settings.vectors_of(states, inputs["attention_mask"], skipped)
    return vectors[0] if single else vectors


def _chosen(
    settings: SentenceSettings, pooling: Any, normalize: bool | None, prompt: Any
) -> SentenceSettings:
    """Return the settings with what the call says in place of what the files say."""
    modules: list[Module] = list(settings.modules)
    if pooling is not None:
        if pooling not in POOLINGS:
            raise ValueError(f"pooling is {pooling!r:.80}; allowed: {', '.join(POOLINGS)}")
        modules = [replace(m, modes=(pooling,)) if isinstance(m, Pooling) else m for m in modules]
    while normalize is False and isinstance(modules[-1], Normalize):
        modules.pop()
    if prompt is not None and not isinstance(prompt, str):
        raise TypeError(f"prompt is {a_kind(prompt)}; needed: a text, or None")
    prompt = settings.prompt if prompt is None else prompt
    return replace(settings, modules=tuple(modules), prompt=prompt, normalize=bool(normalize))


def _lowered(
    texts: list[str], settings: SentenceSettings, tokenizer: PreTrainedTokenizer
) -> list[str]:
    lowers = isinstance(tokenizer, BertTokenizer) and tokenizer.do_lower_case
    if not settings.lowercase or lowers:
        return texts
    lowered = Normalizer(False, False, False, True)
    return [lowered(text).text for text in texts]


def _prompt_length(prompt: str, tokenizer: PreTrainedTokenizer, limit: int) -> int:
    """Return how many tokens of a row are those of the prompt and what stands before it."""
    if not prompt:
        return 0
    (row,) = tokenizer(prompt, truncation=True, max_length=limit).encodings
    return len(row) - row.special_tokens_mask[-1]


def _progress(batches: list[Any]) -> Any:
    if len(batches) < 10:
        return batches
    utils: Any = import_module("huggingface_hub.utils")  # few need it, and all would wait for it
    return utils.tqdm(batches, desc="embed", unit="batch", disable=None)  # None: on a terminal only
