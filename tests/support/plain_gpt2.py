"""GPT-2 as it is usually written: a causal mask, one matrix for query, key and value.

Its matrices are (in, out), as in the files. Everything else is as in plain_bert.py.
"""

import math

import numpy as np
from plain_bert import Bert


def weights_of(model, dtype):
    """Return copies of all weights by name, matrices as (in, out), query, key and value as one."""
    weights = {f"embeddings.{x}": getattr(model.embeddings, x) for x in ("word", "position")}
    for i, layer in enumerate(model.layers):
        own, fed = layer.attention, layer.feed_forward
        fused = [own.query, own.key, own.value]
        matrices = {
            "attention.fused": [np.concatenate([getattr(x, n) for x in fused]) for n in ARRAYS],
            "attention.output": [own.output.weight, own.output.bias],
            "feed_forward.intermediate": [fed.intermediate.weight, fed.intermediate.bias],
            "feed_forward": [fed.output.weight, fed.output.bias],
        }
        for name, (weight, bias) in matrices.items():
            weights |= {f"layer.{i}.{name}.weight": weight.T, f"layer.{i}.{name}.bias": bias}
        for name in ("attention_norm", "norm"):
            part = getattr(layer, name)
            weights |= {f"layer.{i}.{name}.{x}": getattr(part, x) for x in ARRAYS}
    weights |= {f"norm.{x}": getattr(model.norm, x) for x in ARRAYS}
    return {name: np.array(x, dtype) for name, x in weights.items()}


ARRAYS = ("weight", "bias")


class Gpt2(Bert):
    """One run. inputs: ids, positions (B, T), and allowed (B, T, T)."""

    read = staticmethod(weights_of)

    def __call__(self):
        x = self.tell("embeddings", self.embed("embeddings"))
        for name, told in self.order:
            self.told = told
            x = self.tell(name, self.layer(name, x))
        self.tell("norm", self.norm("norm", x))
        return self.states

    def embed(self, name):
        words = self.weights["embeddings.word"][self.inputs["ids"]]
        places = self.weights["embeddings.position"][self.inputs["positions"]]
        return self.keep(name, words + places)

    def linear(self, name, x):
        w, b = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return self.keep(name, self.product(name, x, w) + b)

    def mask(self, name, scores):
        lowest = np.finfo(self.dtype).min
        return np.where(self.inputs["allowed"][:, None], scores, lowest)

    def shown(self, scores):
        return np.where(scores > np.finfo(self.dtype).min, scores, 0)

    def cut(self, name, x):
        """Return query, key and value of what one matrix made."""
        return np.split(x, 3, axis=-1)

    def roles(self, name, x):
        parts = self.cut(name, self.linear(f"{name}.fused", x))
        names = ("query", "key", "value")
        return [self.tell(f"{name}.{n}", part) for n, part in zip(names, parts, strict=True)]

    def activation(self, name, x):
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        return self.keep(name, x * (1 + np.tanh(inner)) / 2)

    def join(self, name, x, change):
        """Add what a part makes of x. The name is the part's."""
        return self.keep(name, x + change)

    def layer(self, name, x):
        for part, norm in (("attention", "attention_norm"), ("feed_forward", "norm")):
            at = f"{name}.{part}"
            given = self.tell(f"{at}.norm", self.norm(f"{name}.{norm}", x))
            x = self.join(at, x, getattr(self, part)(at, given))
            if part == "attention":
                self.tell(at, x)
        return x
