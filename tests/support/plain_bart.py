"""BART as it is usually written: two stacks, whole rectangles, an additive mask.

Each stack is a plain_bert.Bert whose places begin with ``encoder.`` or ``decoder.``; the decoder's
layers have cross-attention besides.
"""

import numpy as np
from plain_bert import Bert

ARRAYS = ("weight", "bias")


def weights_of(model, dtype):
    """Return copies of all weights by name, as encoder.layer.0.attention.query.weight."""
    weights, parts = {}, {}
    for stack, own in model.stacks.items():
        table = own.embeddings
        weights |= {f"{stack}embeddings.{x}": getattr(table, x) for x in ("word", "position")}
        parts[f"{stack}embeddings.norm"] = table.norm
        for i, layer in enumerate(own.layers):
            at, fed = f"{stack}layer.{i}", layer.feed_forward
            names = ("attention", "cross_attention") if layer.cross_attention else ("attention",)
            for name in names:
                for x in ("query", "key", "value", "output"):
                    parts[f"{at}.{name}.{x}"] = getattr(getattr(layer, name), x)
                parts[f"{at}.{name}_norm"] = getattr(layer, f"{name}_norm")
            parts[f"{at}.feed_forward.intermediate"] = fed.intermediate
            parts[f"{at}.feed_forward"], parts[f"{at}.norm"] = fed.output, layer.norm
    weights["lm_head"], weights["logits.bias"] = model.lm_head.weight, model.final_logits_bias
    weights |= {f"{name}.{x}": getattr(part, x) for name, part in parts.items() for x in ARRAYS}
    return {name: np.array(x, dtype) for name, x in weights.items()}


class Bart(Bert):
    """One run. inputs: ids, positions, mask of the decoder; source_ids, ... of the encoder.

    allowed, source_allowed, across: (B, 1 or queries, keys), who looks at whom.
    """

    read, eps = staticmethod(weights_of), 1e-5

    def __init__(self, model, inputs, dtype=np.float64):
        self.weights, self.inputs, self.dtype = self.read(model, dtype), dict(inputs), dtype
        self.counts = {stack: len(own.layers) for stack, own in model.stacks.items()}
        self.head_counts = {
            stack: own.layers[0].attention.num_heads for stack, own in model.stacks.items()
        }
        self.embedding_scale = {stack: own.embeddings.scale for stack, own in model.stacks.items()}
        self.states = {}

    def __call__(self):
        for stack in self.counts:
            self.heads = self.head_counts[stack]
            x = self.embed(f"{stack}embeddings")
            for i in range(self.counts[stack]):
                x = self.tell(f"{stack}layer.{i}", self.layer(f"{stack}layer.{i}", x))
        scores = self.product("lm_head", x, self.weights["lm_head"].T)
        scores = self.tell("lm_head", self.keep("lm_head", scores))
        self.tell("logits", self.keep("logits", scores + self.weights["logits.bias"]))
        return self.states

    def tell(self, name, x):
        assert x.dtype == self.dtype, f"{name} is {x.dtype}"
        self.states[name] = x
        return x

    def given(self, name, what):
        """Return an input of a place's stack."""
        prefix = "source_" if name.startswith("encoder.") else ""
        return self.inputs[prefix + what]

    def words(self, name):
        scale = self.dtype(self.embedding_scale[f"{name.split('.')[0]}."])
        return self.keep(name, self.weights[f"{name}.word"][self.given(name, "ids")] * scale)

    def sum(self, name):
        at = name.removesuffix(".sum")
        rows = self.given(name, "positions") + 2
        return self.keep(name, self.words(at) + self.weights[f"{at}.position"][rows])

    def embed(self, name):
        x = self.tell(f"{name}.sum", self.sum(f"{name}.sum"))
        return self.tell(name, self.norm(f"{name}.norm", x))

    def mask(self, name, scores):
        lowest = np.finfo(self.dtype).min
        allowed = self.inputs["across"] if ".cross_attention" in name else None
        allowed = self.given(name, "allowed") if allowed is None else allowed
        return np.where(allowed[:, None], scores, lowest)

    def shown(self, scores):
        return np.where(scores > np.finfo(self.dtype).min, scores, 0)

    def source(self, name, x):
        """Return what cross-attention looks at."""
        return self.states[f"encoder.layer.{self.counts['encoder.'] - 1}"]

    def roles(self, name, x):
        seen = self.source(name, x) if name.endswith("cross_attention") else x
        given = {"query": x, "key": seen, "value": seen}
        return [self.tell(f"{name}.{n}", self.linear(f"{name}.{n}", y)) for n, y in given.items()]

    def layer(self, name, x):
        for part in ("attention", "cross_attention"):
            at = f"{name}.{part}"
            if f"{at}_norm.bias" in self.weights:
                x = self.tell(at, self.join(f"{at}_norm", x, self.attention(at, x)))
        return self.join(f"{name}.norm", x, self.feed_forward(f"{name}.feed_forward", x))
