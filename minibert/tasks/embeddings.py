"""Sentence embeddings, as sentence-transformers makes them.

Reimers and Gurevych, "Sentence-BERT", arXiv:1908.10084.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.checkpoint.files import read_json, read_json_list
from minibert.models.bert import BertModel
from minibert.runtime.arrays import Array
from minibert.tasks.common import Source, by_length, encode, folder_of, load, require_texts
from minibert.tokenizers.normalize import Normalizer

POOLINGS = ("mean", "cls", "max")


@dataclass(frozen=True)
class SentenceSettings:
    """How a folder of sentence-transformers wants its texts embedded."""

    pooling: str = "mean"
    normalize: bool = True
    max_tokens: int | None = None
    lowercase: bool = False  # before a tokenizer that keeps the case


def embed(
    texts: str | Sequence[str],
    pooling: str | None = None,
    normalize: bool | None = None,
    batch_size: int = 32,
    model: Source = None,
) -> Array:
    """Return one vector for each text: (len(texts), C); (C,) for a single text.

    pooling: "mean" over the real tokens, "cls", or "max". normalize: to length 1. None means what
    modules.json of a sentence-transformers folder says; elsewhere the mean, normalized. What is too
    long is cut, with a warning (see common.py).
    """
    source = model if isinstance(model, tuple) else folder_of(model)
    embedder, tokenizer, limit = load(source, BertModel)
    settings = SentenceSettings() if isinstance(source, tuple) else read_settings(source)
    pooling = settings.pooling if pooling is None else pooling
    normalize = settings.normalize if normalize is None else normalize
    if pooling not in POOLINGS:
        raise ValueError(f"pooling is {pooling!r}; allowed: {', '.join(POOLINGS)}")
    limit = min(limit, settings.max_tokens or limit)
    single = isinstance(texts, str)
    rows = require_texts([texts] if single else texts)
    if settings.lowercase and not tokenizer.do_lower_case:
        lowered = Normalizer(False, False, False, True)
        rows = [lowered(text).text for text in rows]
    vectors = np.zeros((len(rows), embedder.config.hidden_size), embedder.dtype)
    for places in _progress(list(by_length(list(map(len, rows)), batch_size))):
        inputs = encode(tokenizer, limit, [rows[place] for place in places])
        hidden_states = embedder(**inputs).last_hidden_state
        vectors[places] = _pool(hidden_states, inputs["attention_mask"] != 0, pooling)
    if normalize:
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return vectors[0] if single else vectors


def _pool(hidden_states: Array, real: NDArray[np.bool_], pooling: str) -> Array:
    """(B, T, C) -> (B, C), over real tokens only."""
    pooled: Array
    if pooling == "cls":
        pooled = hidden_states[np.arange(len(real)), real.argmax(axis=1)]
    elif pooling == "max":
        pooled = np.where(real[:, :, None], hidden_states, -np.inf).max(axis=1)
    else:
        pooled = hidden_states.sum(axis=1) / real.sum(axis=1, keepdims=True)  # padding is zeros
    return pooled.astype(hidden_states.dtype, copy=False)


def _progress(batches: list[Any]) -> Any:
    if len(batches) < 10:
        return batches
    utils: Any = import_module("huggingface_hub.utils")  # few need it, and all would wait for it
    return utils.tqdm(batches, desc="embed", unit="batch", disable=None)  # None: on a terminal only


def read_settings(folder: str | os.PathLike[str]) -> SentenceSettings:
    """Read modules.json and what it names; the defaults if there is none.

    ValueError for a module or a pooling that is not known here.
    """
    modules = Path(folder) / "modules.json"
    if not modules.exists():
        return SentenceSettings()
    settings: dict[str, Any] = {"normalize": False}
    for module in read_json_list(modules):
        kind = str(module.get("type", "")).rpartition(".")[2] if isinstance(module, dict) else ""
        if kind == "Transformer":
            settings |= _read_sentence_config(modules.with_name("sentence_bert_config.json"))
        elif kind == "Pooling":
            settings["pooling"] = _read_pooling(modules.parent, module.get("path"))
        elif kind == "Normalize":
            settings["normalize"] = True
        else:
            raise ValueError(f"{str(modules)!r} has the unknown module {module!r:.80}")
    return SentenceSettings(**settings)


def _read_sentence_config(path: Path) -> dict[str, Any]:
    config = read_json(path) if path.exists() else {}
    limit = config.get("max_seq_length")
    if limit is not None and (type(limit) is not int or limit < 3):
        raise ValueError(f"{str(path)!r} has max_seq_length {limit!r:.80}; needed: 3 or more")
    lowercase = config.get("do_lower_case", False)
    if not isinstance(lowercase, bool):
        raise ValueError(f"{str(path)!r} has do_lower_case {lowercase!r:.80}; needed: true, false")
    return {"max_tokens": limit, "lowercase": lowercase}


def _read_pooling(folder: Path, name: Any) -> str:
    if not isinstance(name, str) or name in ("", ".", "..") or any(c in name for c in "/\\:\0"):
        raise ValueError(f"modules.json names the folder {name!r:.80}; allowed: one beside it")
    path = folder / name / "config.json"
    config = read_json(path)
    names = {"mean_tokens": "mean", "cls_token": "cls", "max_tokens": "max"}
    modes = [key for key, on in config.items() if key.startswith("pooling_mode_") and on is True]
    chosen = [mode.removeprefix("pooling_mode_") for mode in modes]
    if "pooling_mode" in config:  # the newer form
        chosen.append(f"{config['pooling_mode']}_tokens".replace("cls_tokens", "cls_token"))
    if len(chosen) != 1 or chosen[0] not in names:
        raise ValueError(f"{str(path)!r} pools by {chosen}; known: one of {', '.join(names)}")
    return names[chosen[0]]
