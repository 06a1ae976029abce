"""What the modules of sentence-transformers do to the states of a text's tokens.

Each reads and writes features by name: token_embeddings (B, T, C), sentence_embedding (B, D).
Reimers and Gurevych, "Sentence-BERT", arXiv:1908.10084.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minibert.functions import linear
from minibert.runtime.arrays import Array

POOLINGS = ("mean", "cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
TOKENS, SENTENCE = "token_embeddings", "sentence_embedding"
Features = dict[str, Any]  # these two, and "places" and "prompt_length" for the Pooling


@dataclass(frozen=True)
class Pooling:
    """One vector of the states of a text's tokens; of several modes, one beside the other."""

    modes: tuple[str, ...] = ("mean",)
    include_prompt: bool = True

    def __call__(self, features: Features) -> None:
        """places: (B, T), 1, 2, 3 ... for the real tokens of each text and 0 for padding."""
        places = features["places"]
        kept = places > (0 if self.include_prompt else features["prompt_length"])
        pooled = [_pool(features[TOKENS], places, kept, mode) for mode in self.modes]
        features[SENTENCE] = np.concatenate(pooled, axis=-1)


def _pool(states: Array, places: Array, kept: Array, mode: str) -> Array:
    """(B, T, C) -> (B, C), over the tokens that are kept."""
    pooled: Array
    weights = (places * kept if mode == "weightedmean" else kept)[..., None]
    total = np.maximum(weights.sum(axis=1), 1e-9)
    if mode in ("cls", "lasttoken"):
        last = kept.shape[1] - 1 - kept[:, ::-1].argmax(axis=1)
        pooled = states[np.arange(len(kept)), kept.argmax(axis=1) if mode == "cls" else last]
    elif mode == "max":
        pooled = np.where(weights, states, -np.inf).max(axis=1)
    else:
        pooled = (states * weights).sum(axis=1)
        pooled /= np.sqrt(total) if mode == "mean_sqrt_len_tokens" else total
    return pooled.astype(states.dtype, copy=False)


@dataclass(frozen=True)
class Normalize:
    """Vectors of length 1."""

    reads: str = SENTENCE

    def __call__(self, features: Features) -> None:
        """Divide by the length."""
        features[self.reads] = _unit(features[self.reads])


def _unit(vectors: Array) -> Array:
    lengths: Array = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-12)


@dataclass(frozen=True, eq=False)
class Dense:
    """A matrix, a bias and an activation; perhaps what came in is added."""

    reads: str
    weight: Array  # (out, in)
    bias: Array
    activation: Callable[[Array], Array]
    residual: Array | None = None  # (out, in)

    def __call__(self, features: Features) -> None:
        """Multiply, add, activate; ValueError for vectors of another size."""
        x, size = features[self.reads], self.weight.shape[1]
        if x.shape[-1] != size:
            found = f"gets {self.reads} of {x.shape[-1]} numbers"
            raise ValueError(f"a Dense module of modules.json {found}, and its matrix needs {size}")
        y = self.activation(linear(x, self.weight, self.bias))
        features[self.reads] = y if self.residual is None else y + x @ self.residual.T


Module = Pooling | Normalize | Dense


@dataclass(frozen=True)
class SentenceSettings:
    """How a folder of sentence-transformers wants its texts embedded."""

    modules: tuple[Module, ...] = (Pooling(), Normalize())
    folder: Path | None = None  # of the Transformer
    max_tokens: int | None = None
    lowercase: bool = False  # before a tokenizer that keeps the case
    prompt: str = ""  # before every text
    truncate_dim: int | None = None  # how many numbers of a vector are kept
    normalize: bool = False  # to length 1, after all that

    def vectors_of(self, states: Array, mask: Array, prompt_length: int) -> Array:
        """Return one vector for each row of states: (B, T, C), mask (B, T) -> (B, D)."""
        places = np.cumsum(mask != 0, axis=1) * (mask != 0)
        features = {TOKENS: states, "places": places, "prompt_length": prompt_length}
        for module in self.modules:
            module(features)
        vectors: Array = features[SENTENCE][:, : self.truncate_dim]
        return _unit(vectors) if self.normalize else vectors
