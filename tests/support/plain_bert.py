"""BERT as it is usually written: whole rectangles, an additive mask. Computes nothing by ours.

Each step is a method that gets the name of its place first, so that a fault can exchange one step
at one place (``put``), and change weights and inputs. What a step leaves is kept by its name.
"""

import math

import numpy as np

from minibert import BertConfig, BertModel

# a padded batch, the second half of each sequence a second segment
LENGTHS = (9, 5, 7)
COLS = np.arange(9)
MASK = np.array([n > COLS for n in LENGTHS])
SECOND = np.array([(n // 2 <= COLS) & (n > COLS) for n in LENGTHS])
IDS = np.where(MASK, np.random.default_rng(5).integers(3, 40, MASK.shape), 0)
INPUTS = {"input_ids": IDS, "attention_mask": MASK * 1, "token_type_ids": SECOND * 1}
LAST = np.array([n - 1 == COLS for n in LENGTHS])


def erf(x):
    return np.vectorize(math.erf, otypes=[x.dtype])(x)


def weights_of(model, dtype):
    """Return copies of all weights by name, as layer.0.attention.query.weight."""
    parts, weights = model.embeddings, {}
    for name in ("word", "position", "token_type"):
        weights[f"embeddings.{name}"] = getattr(parts, name)
    both = {"embeddings.norm": parts.norm, "pooler.dense": model.pooler.dense}
    for i, layer in enumerate(model.layers):
        own, fed = layer.attention, layer.feed_forward
        for name in ("query", "key", "value", "output"):
            both[f"layer.{i}.attention.{name}"] = getattr(own, name)
        both[f"layer.{i}.attention_norm"], both[f"layer.{i}.norm"] = (
            layer.attention_norm,
            layer.norm,
        )
        both[f"layer.{i}.feed_forward.intermediate"] = fed.intermediate
        both[f"layer.{i}.feed_forward"] = fed.output
    for name, part in both.items():
        weights[f"{name}.weight"], weights[f"{name}.bias"] = part.weight, part.bias
    return {name: np.array(x, dtype) for name, x in weights.items()}


class Bert:
    """One run. inputs: ids, types, positions (B, T), and allowed (B, 1 or T, T)."""

    read = staticmethod(weights_of)

    def __init__(self, model, inputs, dtype=np.float64):
        self.weights, self.inputs, self.dtype = self.read(model, dtype), dict(inputs), dtype
        self.heads, self.eps = model.config.num_attention_heads, model.config.layer_norm_eps
        count = len(model.layers)
        self.order = [(f"layer.{i}", f"layer.{i}") for i in range(count)]  # weights, and told as
        self.told, self.states = "", {}

    def __call__(self):
        """Return all stages by name, padding included."""
        x = self.embed("embeddings")
        for name, told in self.order:
            self.told = told
            x = self.tell(name, self.layer(name, x))
        self.tell("pooler", self.pool("pooler", x))
        return self.states

    def tell(self, name, x):
        """Record a stage; what a layer is called may differ from the layer whose weights it has."""
        assert x.dtype == self.dtype, f"{name} is {x.dtype}"
        own = ".".join(name.split(".")[:2])
        told = name.replace(own, self.told, 1) if name.startswith("layer.") else name
        self.states[told] = x
        return x

    def put(self, step, new, where=lambda name: True):
        """Exchange a step at some places: new(name, ...) in place of step(name, ...)."""
        old = getattr(self, step)
        setattr(self, step, lambda name, *args: (new if where(name) else old)(name, *args))

    # numbers

    def keep(self, name, x):
        return x

    def product(self, name, a, b):
        return a @ b

    def linear(self, name, x):
        w, b = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return self.keep(name, self.product(name, x, w.T) + b)

    def norm(self, name, x):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.dtype(self.eps))
        return self.keep(name, x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"])

    def drop(self, name, x):
        return x

    # embeddings

    def sum(self, name):
        rows = (("word", "ids"), ("token_type", "types"), ("position", "positions"))
        tables = [self.weights[f"embeddings.{table}"][self.inputs[row]] for table, row in rows]
        return self.keep(name, tables[0] + tables[1] + tables[2])

    def embed(self, name):
        x = self.tell("embeddings.sum", self.sum("embeddings.sum"))
        return self.tell(name, self.drop(name, self.norm("embeddings.norm", x)))

    # attention

    def split(self, name, x):
        size, length, width = x.shape
        return x.reshape(size, length, self.heads, width // self.heads).transpose(0, 2, 1, 3)

    def merge(self, name, x):
        size, heads, length, width = x.shape
        return x.transpose(0, 2, 1, 3).reshape(size, length, heads * width)

    def scale(self, name, scores, width):
        return self.keep(name, scores / self.dtype(math.sqrt(width)))

    def mask(self, name, scores):
        lowest = np.finfo(self.dtype).min
        bias = np.where(self.inputs["allowed"], 0, lowest).astype(self.dtype)
        return self.keep(name, scores + bias[:, None])

    def shown(self, scores):
        """Return the scores as a stage tells them."""
        return scores

    def softmax(self, name, scores):
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        return self.keep(name, weights / weights.sum(-1, keepdims=True))

    def attend(self, name, q, k, v):
        q, k, v = (self.split(name, x) for x in (q, k, v))
        at = f"{name}.scores"
        scores = self.scale(at, self.product(at, q, k.swapaxes(-1, -2)), q.shape[-1])
        scores = self.mask(at, scores)
        self.tell(at, self.shown(scores))
        weights = self.softmax(f"{name}.probabilities", scores)
        weights = self.drop(f"{name}.probabilities", self.tell(f"{name}.probabilities", weights))
        at = f"{name}.context"
        return self.merge(at, self.keep(at, self.product(at, weights, v)))

    def roles(self, name, x):
        """Return what asks, by what it is found, and what is averaged."""
        names = (f"{name}.{part}" for part in ("query", "key", "value"))
        return [self.tell(at, self.linear(at, x)) for at in names]

    def attention(self, name, x):
        context = self.tell(f"{name}.context", self.attend(name, *self.roles(name, x)))
        at = f"{name}.output"
        return self.drop(at, self.tell(at, self.linear(at, context)))

    # the rest of a layer

    def activation(self, name, x):
        return self.keep(name, x * (1 + erf(x / math.sqrt(2))) / 2)

    def feed_forward(self, name, x):
        at = f"{name}.intermediate"
        wide = self.tell(at, self.linear(at, x))
        wide = self.tell(f"{name}.activation", self.activation(f"{name}.activation", wide))
        return self.drop(name, self.tell(name, self.linear(name, wide)))

    def join(self, name, x, change):
        """Add what a part makes of x; then the norm of that name."""
        return self.norm(name, self.keep(name, x + change))

    def layer(self, name, x):
        attended = self.attention(f"{name}.attention", x)
        x = self.tell(f"{name}.attention", self.join(f"{name}.attention_norm", x, attended))
        return self.join(f"{name}.norm", x, self.feed_forward(f"{name}.feed_forward", x))

    def pool(self, name, x):
        return self.keep(name, np.tanh(self.linear("pooler.dense", x[:, 0])))


def plain(x):
    return x


def run(model, ids, allowed, types, positions, after_softmax=None, product=plain, dropout=plain):
    """Return all hidden states, padding included.

    allowed: what the queries may look at, (B, 1 or T, T). after_softmax: keys (B, T) whose
    probabilities stay. product, dropout: what is done to each product and before each residual.
    """
    dtype = model.embeddings.word.dtype.type
    inputs = {"ids": ids, "allowed": allowed, "types": types, "positions": positions}
    bert = Bert(model, inputs, dtype)
    if after_softmax is not None:
        seen = after_softmax[:, None, None]
        bert.put("softmax", lambda name, scores: Bert.softmax(bert, name, scores) * seen)
    linear, multiply = bert.linear, bert.product
    bert.linear = lambda name, x: product(linear(name, x))
    bert.product = lambda name, a, b: (
        product(multiply(name, a, b)) if name.endswith((".scores", ".context")) else a @ b
    )
    bert.put("drop", lambda name, x: dropout(x), lambda x: x.endswith(("output", "feed_forward")))
    hidden = ("embeddings", *(told for _, told in bert.order))
    states = bert()
    return {name: states[name] for name in hidden}


def wide_model(folder):
    """Return a model with wide weights, in float64."""
    config = BertConfig(
        vocab_size=41,
        hidden_size=21,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=37,
        max_position_embeddings=13,
        initializer_range=0.4,
    )
    made = BertModel(config, seed=3)
    made.save_pretrained(folder)
    return BertModel.from_pretrained(folder, dtype="float64")


def keys(mask):
    return {"allowed": mask[:, None]}
