"""From arrays, known by field, to layers; and drawn arrays for what no checkpoint gives."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from minibert.checkpoint.names import Parameter
from minibert.layers import (
    Embeddings,
    FeedForward,
    Layer,
    LayerNorm,
    Linear,
    PredictionHead,
    SelfAttention,
)
from minibert.runtime.arrays import Array


@dataclass(frozen=True, eq=False)
class Builder:
    """Puts arrays together to layers. A layer's name is the beginning of its arrays' fields."""

    config: Any
    arrays: dict[str, Array]

    def linear(self, name: str) -> Linear:
        """Return the matrix and the bias of that name."""
        return Linear(self.arrays[f"{name}.weight"], self.arrays[f"{name}.bias"])

    def norm(self, name: str) -> LayerNorm:
        """Return the norm of that name, with the model's eps."""
        weight, bias = self.arrays[f"{name}.weight"], self.arrays[f"{name}.bias"]
        return LayerNorm(weight, bias, self.config.layer_norm_eps)

    def embeddings(self) -> Embeddings:
        """Return the three tables and their norm."""
        return Embeddings(
            word=self.arrays["embeddings.word"],
            position=self.arrays["embeddings.position"],
            token_type=self.arrays["embeddings.token_type"],
            norm=self.norm("embeddings.norm"),
        )

    def layer(self, name: str) -> Layer:
        """Return a whole layer."""
        return Layer(
            name,
            attention=self.attention(f"{name}.attention"),
            feed_forward=self.feed_forward(f"{name}.feed_forward"),
            norm=self.norm(f"{name}.norm"),
        )

    def attention(self, name: str) -> SelfAttention:
        """Return the attention half of a layer."""
        return SelfAttention(
            name,
            query=self.linear(f"{name}.query"),
            key=self.linear(f"{name}.key"),
            value=self.linear(f"{name}.value"),
            output=self.linear(f"{name}.output"),
            norm=self.norm(f"{name}.norm"),
            num_heads=self.config.num_attention_heads,
        )

    def feed_forward(self, name: str) -> FeedForward:
        """Return the other half, without its norm."""
        return FeedForward(
            name,
            intermediate=self.linear(f"{name}.intermediate"),
            output=self.linear(f"{name}.output"),
            activation=self.config.hidden_act,
        )

    def predictions(self, name: str) -> PredictionHead:
        """Return the head over the vocabulary; without a matrix of its own, the words' serves."""
        matrix = self.arrays.get(f"{name}.decoder.weight", self.arrays["embeddings.word"])
        return PredictionHead(
            name,
            dense=self.linear(f"{name}.dense"),
            norm=self.norm(f"{name}.norm"),
            decoder=Linear(matrix, self.arrays[f"{name}.decoder.bias"]),
            activation=self.config.hidden_act,
        )


def initializer(config: Any, seed: int, dtype: "np.dtype[Any]") -> Callable[[Parameter], Array]:
    """Return what draws a parameter as transformers does, one after the other."""

    @cache
    def random() -> "np.random.Generator":  # numpy.random is slow to import, and seldom needed
        return np.random.default_rng(seed)

    def initialize(parameter: Parameter) -> Array:
        if parameter.field.endswith("norm.weight"):
            array = np.ones(parameter.shape, dtype)
        elif parameter.field.endswith(".bias"):
            array = np.zeros(parameter.shape, dtype)
        else:
            array = random().standard_normal(parameter.shape, np.float32).astype(dtype, copy=False)
            array *= config.initializer_range
        if parameter.field == "embeddings.word" and config.pad_token_id is not None:
            array[config.pad_token_id] = 0
        array.setflags(write=False)
        return array

    return initialize
