"""Lines of a table of names, layers from arrays by field, drawn arrays where there are none."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from minibert.checkpoint.names import Entry, Parameter
from minibert.layers import Attention, FeedForward, Layer, LayerNorm, Linear
from minibert.runtime.arrays import Array


def pair(name: str, field: str, *shape: str | int) -> tuple[Entry, Entry]:
    """Return the lines of a table of names for a weight of this shape and for its bias."""
    weight = Entry(f"{name}.weight", f"{field}.weight", shape)
    return weight, Entry(f"{name}.bias", f"{field}.bias", shape[:1])


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

    def attention(self, name: str, num_heads: int, **options: Any) -> Attention:
        """Return the attention of that name. options: its other fields."""
        parts = ("query", "key", "value", "output")
        query, key, value, output = (self.linear(f"{name}.{part}") for part in parts)
        return Attention(query, key, value, output, num_heads, **options)

    def layer(self, name: str, num_heads: int, pre_norm: bool = False, **options: Any) -> Layer:
        """Return a whole layer, with cross-attention if it has one. options: of its Attention."""
        wide, narrow = (self.linear(f"{name}.feed_forward.{x}") for x in ("intermediate", "output"))
        looks_across = f"{name}.cross_attention_norm.bias" in self.arrays
        return Layer(
            self.attention(f"{name}.attention", num_heads, **options),
            self.norm(f"{name}.attention_norm"),
            FeedForward(wide, narrow, self.config.hidden_act),
            self.norm(f"{name}.norm"),
            pre_norm,
            self.attention(f"{name}.cross_attention", num_heads) if looks_across else None,
            self.norm(f"{name}.cross_attention_norm") if looks_across else None,
        )


def initializer(config: Any, seed: int, dtype: "np.dtype[Any]") -> Callable[[Parameter], Array]:
    """Return what draws a parameter as transformers does, one after the other."""
    if isinstance(seed, int) and seed < 0:
        raise ValueError(f"seed is {seed}; allowed: whole numbers from 0 on")

    @cache
    def random() -> "np.random.Generator":  # numpy.random is slow to import, and seldom needed
        return np.random.default_rng(seed)

    def initialize(parameter: Parameter) -> Array:
        if parameter.field.endswith("norm.weight"):
            array = np.ones(parameter.shape, dtype)
        elif parameter.field.endswith("bias"):
            array = np.zeros(parameter.shape, dtype)
        else:
            array = random().standard_normal(parameter.shape, np.float32).astype(dtype, copy=False)
            is_last = parameter.field.endswith(".output.weight")  # before a residual
            array *= config.initializer_range * (config.residual_scale if is_last else 1)
        if parameter.field.endswith("embeddings.word") and config.blank_token_id is not None:
            array[config.blank_token_id] = 0
        array.setflags(write=False)
        return array

    return initialize
