"""Faults of BERTs, planted in a model: what is wrong, where it shows first, what names it.

A fault changes parts of a model, or the inputs of its call. What changes is written here once more,
by other means than in the package's own list of mistakes.
"""

import copy
import math
from dataclasses import dataclass, field, fields, replace

import numpy as np

from minibert import Reference, functions, swap
from minibert.layers import Embeddings, FeedForward, Layer, LayerNorm
from minibert.models.head_layers import Pooler

A, F, LAYER = "layer.{i}.attention", "layer.{i}.feed_forward", "layer.{i}"
PLAIN = {
    name: getattr(functions, name).__wrapped__
    for name in (
        *("linear", "layer_norm", "softmax", "split_heads", "merge_heads", "attention_scores"),
        *("attention_context", "tanh", "gelu", "gelu_new", "quick_gelu", "relu", "silu", "erf"),
    )
}
FAULTS = []
LENGTH = 9  # of the inputs


class Plant:
    """A copy of a model, to plant faults in; ``i`` is the layer that the next one goes into."""

    def __init__(self, model):
        self.model, self.i, self.inputs = copy.copy(model), 0, {}
        if model.base_model is not model:
            self.model.bert = copy.copy(model.bert)

    @property
    def base(self):
        return self.model.base_model

    @property
    def layer(self):
        return self.base.layers[self.i]

    def put(self, layer):
        """Put a layer in place of layer i; None takes it out."""
        layers = list(self.base.layers)
        layers[self.i : self.i + 1] = [] if layer is None else [layer]
        self.base.layers = tuple(layers)

    def change(self, path, change):
        """Change what lies at a path in layer i."""
        self.put(changed(self.layer, path, change))

    def swap(self, **functions):
        """Swap operations in layer i alone."""
        self.put(Swapping(**parts(self.layer), swaps=functions))

    def embed(self, **changes):
        """Change tables of the embeddings, or their norm."""
        own = self.base.embeddings
        self.base.embeddings = replace(own, **{k: f(getattr(own, k)) for k, f in changes.items()})

    def head(self, name, path, change):
        """Change what lies at a path in a part of the head."""
        setattr(self.model, name, changed(getattr(self.model, name), path, change))


def parts(part):
    return {f.name: getattr(part, f.name) for f in fields(part)}


def changed(part, path, change):
    name, _, rest = path.partition(".")
    own = getattr(part, name)
    value = changed(own, rest, change) if rest else change(own)
    if isinstance(value, np.ndarray):
        value.setflags(write=False)  # as weights are
    return replace(part, **{name: value})


@dataclass(frozen=True, eq=False)
class Swapping(Layer):
    """A layer that runs with other operations."""

    swaps: dict = field(default_factory=dict)

    def __call__(self, x, trace, batch):
        with swap(**self.swaps):
            return super().__call__(x, trace, batch)


@dataclass(frozen=True, eq=False)
class Norm(LayerNorm):
    """A norm that does something else."""

    act: object = None

    def __call__(self, x):
        return self.act(x, self.weight, self.bias, self.eps)


def acting(act):
    return lambda norm: Norm(norm.weight, norm.bias, norm.eps, act)


@dataclass(frozen=True, eq=False)
class Joined(Layer):
    """A layer that joins what its parts compute in another way: how(norm, x, change, input)."""

    first: object = None
    second: object = None
    given: object = None  # what its parts get: given(norm, x)

    def __call__(self, x, trace, batch):
        first, second = self.first or plainly, self.second or plainly
        given = self.given or (lambda norm, x: x)
        inner = trace.within("attention")
        attended = self.attention(given(self.attention_norm, x), inner, batch)
        attended = inner("output", attended)
        y = trace("attention", first(self.attention_norm, x, attended, x))
        inner = trace.within("feed_forward")
        fed = trace("feed_forward", self.feed_forward(given(self.norm, y), inner))
        return second(self.norm, y, fed, x)


def plainly(norm, x, change, _):
    return norm(x + change)


@dataclass(frozen=True)
class Fault:
    name: str
    stage: str  # the first that is wrong
    words: str | None  # of the cause; None where no list could have it
    plant: object
    where: str = "layer"  # "inner": not the last; "later": not the first; "once"; "head"; "engine"
    hidden: bool = False  # only hidden states are recorded


def fault(stage, words, where="layer", hidden=False, name=None):
    def register(plant):
        FAULTS.append(Fault(name or plant.__name__, stage, words, plant, where, hidden))
        return plant

    return register


def planted(faults, model):
    """Return a model with these faults, each with its layer, and what it changes of the inputs."""
    plant = Plant(model)
    for one, i in faults:
        plant.i = i
        one.plant(plant)
    return plant.model, plant.inputs


def record(faults, model, inputs, dtype="float64"):
    """Return what an engine with these faults, each with its layer, says of the inputs."""
    faulty, other = planted(faults, model)
    trace = {}
    faulty(**{**inputs, **other}, trace=trace)
    if any(one.hidden for one, _ in faults):
        trace = {name: trace[name] for name in trace if is_hidden_state(name)}
    return Reference(inputs, {k: np.asarray(v, dtype) for k, v in trace.items()}, {})


def is_hidden_state(name):
    return name in ("embeddings", "pooler") or (name.startswith("layer.") and name.count(".") == 1)


def draw_inputs(config, random, size=3, length=LENGTH):
    mask = np.ones((size, length), int)
    mask[1:2, 2 * length // 3 :] = 0
    types = np.zeros((size, length), int)
    types[:, length // 2 :] = 1
    ids = random.integers(5, config.vocab_size, (size, length))
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


# the activation

for name, words in {
    "gelu_new": "gelu_new (tanh)",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "tanh": "tanh",
}.items():

    @fault(f"{F}.activation", words, name=f"activation_{name}")
    def _(p, name=name):
        p.change("feed_forward.activation", lambda _: name)


@fault(f"{F}.activation", "no activation")
def no_activation(p):
    p.swap(gelu=lambda x: x.copy())


@fault(f"{F}.activation", "gelu without the 1/sqrt(2)")
def erf_without_the_root(p):
    p.swap(gelu=lambda x: 0.5 * x * (1 + PLAIN["erf"](x)))


# norms


def ln(x, w, b, eps, ddof=0, outside=False, mean=True):
    c = x - x.mean(-1, keepdims=True)
    v = (c**2).sum(-1, keepdims=True) / (x.shape[-1] - ddof)
    root = np.sqrt(v) + eps if outside else np.sqrt(v + eps)
    return (c if mean else x) / root * w + b


NORMS = {
    "eps 1e-06": lambda x, w, b, e: PLAIN["layer_norm"](x, w, b, 1e-6),
    "eps 1e-05": lambda x, w, b, e: PLAIN["layer_norm"](x, w, b, 1e-5),
    "eps 0.001": lambda x, w, b, e: PLAIN["layer_norm"](x, w, b, 1e-3),
    "eps 0.001 outside": lambda x, w, b, e: ln(x, w, b, 1e-3, outside=True),
    "divided by n - 1": lambda x, w, b, e: ln(x, w, b, e, ddof=1),
    "n - 1 and eps": lambda x, w, b, e: ln(x, w, b, 1e-6, ddof=1, outside=True),
    "mean not taken off": lambda x, w, b, e: ln(x, w, b, e, mean=False),
    "no norm": lambda x, w, b, e: x.copy(),
    "no weight of the norm": lambda x, w, b, e: PLAIN["layer_norm"](x, np.ones_like(w), b, e),
    "no bias of the norm": lambda x, w, b, e: PLAIN["layer_norm"](x, w, 0 * b, e),
    "bias of the norm added twice": lambda x, w, b, e: PLAIN["layer_norm"](x, w, 2 * b, e),
    "weight and the bias of the norm swapped": lambda x, w, b, e: PLAIN["layer_norm"](x, b, w, e),
}
PLACES = {"attention": (A, "attention_norm"), "layer": (LAYER, "norm")}
for words, act in NORMS.items():
    for place, (stage, path) in PLACES.items():

        @fault(stage, words, name=f"{words} ({place})")
        def _(p, act=act, path=path):
            p.change(path, acting(act))


@dataclass(frozen=True, eq=False)
class Normed(Embeddings):
    """Embeddings with a norm of their own."""

    act: object = None

    def __call__(self, batch, trace):
        with swap(layer_norm=self.act):
            return super().__call__(batch, trace)


def norm_embeddings(p, act):
    p.base.embeddings = Normed(**parts(p.base.embeddings), act=act)


for words, act in NORMS.items():

    @fault("embeddings", words, "once", name=f"{words} (embeddings)")
    def _(p, act=act):
        norm_embeddings(p, act)


@fault("embeddings", "the input of the norm added to its result", "once")
def norm_added_to_its_input(p):
    norm_embeddings(p, lambda x, w, b, e: x + PLAIN["layer_norm"](x, w, b, e))


@fault(LAYER, "the norm of the attention in place of the layer's own")
def norm_of_the_attention_after_the_feed_forward(p):
    p.change("norm", lambda _: p.layer.attention_norm)


# residuals

for words, how in {
    "the residual missing": lambda norm, x, change, _: norm(change),
    "the residual doubled": lambda norm, x, change, _: norm(change + 2 * x),
    "the norm before the residual": lambda norm, x, change, _: norm(change) + x,
    "nothing but the residual": lambda norm, x, change, _: x,
}.items():
    for place in PLACES:

        @fault(PLACES[place][0], words, name=f"{words} ({place})")
        def _(p, how=how, place=place):
            p.put(Joined(**parts(p.layer), **{"first" if place == "attention" else "second": how}))


@fault(LAYER, "the residual taken from the layer's input")
def residual_from_the_input(p):
    p.put(Joined(**parts(p.layer), second=lambda norm, x, change, start: norm(change + start)))


def pre_norm(p):
    def add(norm, x, change, _):
        return x + change

    def given(norm, x):
        return norm(x)

    p.put(Joined(**parts(p.layer), first=add, second=add, given=given))


fault(f"{A}.query", "pre-norm")(pre_norm)
fault(LAYER, "pre-norm", hidden=True, name="pre_norm (hidden states)")(pre_norm)

# matrices

MATRICES = {
    f"{A}.query": "attention.query",
    f"{A}.key": "attention.key",
    f"{A}.value": "attention.value",
    f"{A}.output": "attention.output",
    f"{F}.intermediate": "feed_forward.intermediate",
    F: "feed_forward.output",
}


def turned(weight):
    return np.ascontiguousarray(weight.reshape(weight.shape[::-1]).T)


for stage, path in MATRICES.items():
    for words, array, change in (
        ("weight matrix transposed", "weight", turned),
        ("no bias", "bias", lambda b: 0 * b),
        ("bias added twice", "bias", lambda b: 2 * b),
    ):

        @fault(stage, words, name=f"{words} ({path})")
        def _(p, path=path, array=array, change=change):
            p.change(f"{path}.{array}", change)


@fault(f"{A}.query", "weights of the key")
def query_and_key_swapped(p):
    p.change("attention", lambda a: replace(a, query=a.key, key=a.query))


@fault(f"{A}.key", "weights of the value")
def key_and_value_swapped(p):
    p.change("attention", lambda a: replace(a, key=a.value, value=a.key))


@fault(LAYER, "keys and values swapped", hidden=True)
def key_and_value_swapped_hidden(p):
    key_and_value_swapped(p)


# attention


def plain_scores(q, k, scale):
    return (q @ k.transpose(0, 2, 1)) * scale


for words, scale in {
    "divided by D": lambda q: 1 / q.shape[-1],
    "root of the hidden size": lambda q: 1 / math.sqrt(q.shape[0] * q.shape[-1]),
}.items():

    @fault(f"{A}.scores", words, name=f"scores {words}")
    def _(p, scale=scale):
        p.swap(attention_scores=lambda q, k: plain_scores(q, k, scale(q)))


@fault(f"{A}.scores", "not divided")
def scale_missing(p):
    p.swap(attention_scores=lambda q, k: plain_scores(q, k, 1.0))


@fault(f"{A}.scores", "queries and keys swapped")
def queries_and_keys_swapped(p):
    p.swap(attention_scores=lambda q, k: PLAIN["attention_scores"](k, q))


@fault(f"{A}.scores", "heads split as (B, T, D, H)")
def heads_split_wrongly(p):
    p.swap(split_heads=lambda x, n: x.reshape(len(x), -1, n).transpose(2, 0, 1))


@fault(f"{A}.scores", "without transposing")
def heads_split_without_transposing(p):
    p.swap(split_heads=lambda x, n: x.reshape(n, len(x), -1).copy())


@fault(f"{A}.probabilities", "softmax over the queries")
def softmax_over_the_queries(p):
    p.swap(softmax=lambda x: PLAIN["softmax"](x.swapaxes(1, 2)).swapaxes(1, 2))


@fault(f"{A}.probabilities", None, "engine")  # a recording of it would look like half precision
def softmax_in_half_precision(p):
    p.swap(softmax=lambda x: PLAIN["softmax"](x.astype(np.float16)).astype(x.dtype))


@fault(f"{A}.probabilities", "causal mask")
def causal(p):
    p.swap(
        softmax=lambda x: PLAIN["softmax"](
            np.where(np.triu(np.ones(x.shape[-2:], bool), 1), -1e30, x).astype(x.dtype)
        )
    )


@fault(f"{A}.probabilities", "dropout", name="dropout of the probabilities")
def _(p):
    p.swap(softmax=lambda x: dropout(PLAIN["softmax"](x)))


@fault(f"{A}.context", "dropout", name="dropout before the context")
def _(p):
    p.swap(attention_context=lambda x, v: PLAIN["attention_context"](dropout(x), v))


@dataclass(frozen=True, eq=False)
class Dropping(FeedForward):
    """A feed-forward network with dropout after it."""

    def __call__(self, x, trace):
        return dropout(super().__call__(x, trace))


@fault(F, "dropout", name="dropout after the feed-forward")
def _(p):
    p.change("feed_forward", lambda f: Dropping(**parts(f)))


@fault("embeddings", "dropout", "once", name="dropout of the embeddings")
def _(p):
    norm_embeddings(p, lambda x, w, b, e: dropout(PLAIN["layer_norm"](x, w, b, e)))


def dropout(x):
    kept = np.random.default_rng(7).random(x.shape) > 0.1
    return (x * kept / 0.9).astype(x.dtype)


@fault(f"{A}.context", "heads put together as (B, H, T, D)")
def heads_merged_wrongly(p):
    p.swap(merge_heads=lambda x: np.ascontiguousarray(x).reshape(x.shape[1], -1))


@fault(f"{A}.context", "probabilities transposed")
def probabilities_transposed(p):
    p.swap(attention_context=lambda x, v: x.swapaxes(1, 2) @ v)


@fault("layer.0.attention.probabilities", "padding that is attended", "once")
def mask_missing(p):
    p.inputs["attention_mask"] = None


# the embeddings


@fault("embeddings.sum", "no token types", "once")
def token_types_missing(p):
    p.embed(token_type=np.zeros_like)


@fault("embeddings.sum", "all 0", "once")
def token_types_zero(p):
    p.inputs["token_type_ids"] = None


@fault("embeddings.sum", "0 and 1 swapped", "once")
def token_types_swapped(p):
    p.embed(token_type=lambda t: t[[1, 0, *range(2, len(t))]])


for words, change in {
    "positions from 1": lambda t: np.roll(t, -1, axis=0),
    "positions from 2": lambda t: np.roll(t, -2, axis=0),
    "no positions added": np.zeros_like,
    "table of positions reversed": lambda t: t[::-1].copy(),
    "positions that are all 0": lambda t: np.broadcast_to(t[:1], t.shape).copy(),
}.items():

    @fault("embeddings.sum", words, "once", name=words)
    def _(p, change=change):
        p.embed(position=change)


@fault("embeddings.sum", "positions reversed", "once")
def positions_reversed(p):
    p.inputs["position_ids"] = np.arange(LENGTH)[::-1]


@fault("embeddings.sum", "multiplied by sqrt(C)", "once")
def words_scaled(p):
    p.embed(word=lambda t: (t * math.sqrt(t.shape[1])).astype(t.dtype))


# layers


def order(p, numbers):
    p.base.layers = tuple(p.base.layers[j] for j in numbers)


@fault(f"{A}.query", "as if layer.{i} were skipped", "inner")
def layer_skipped(p):
    p.put(None)


@fault(LAYER, "as if layer.{i} were skipped", "inner", hidden=True)
def layer_skipped_hidden(p):
    layer_skipped(p)


@fault(f"{A}.query", "as if layer.{before} were repeated", "later")
def layer_repeated(p):
    order(p, [p.i - 1 if j == p.i else j for j in range(len(p.base.layers))])


@fault(LAYER, "as if layer.{before} were repeated", "later", hidden=True)
def layer_repeated_hidden(p):
    layer_repeated(p)


@fault("layer.0.attention.query", "the layers in reverse", "once")
def layers_reversed(p):
    order(p, range(len(p.base.layers) - 1, -1, -1))


for words, how in {
    "gelu_new (tanh)": lambda p: p.change("feed_forward.activation", lambda _: "gelu_new"),
    "not divided": scale_missing,
    "eps 1e-05": lambda p: [
        p.change(path, acting(NORMS["eps 1e-05"])) for path in ("attention_norm", "norm")
    ],
    "the residual missing": lambda p: p.put(
        Joined(**parts(p.layer), second=lambda norm, x, change, _: norm(change))
    ),
}.items():
    fault(LAYER, words, hidden=True, name=f"{words} (hidden states)")(how)


# the pooler


@dataclass(frozen=True, eq=False)
class Pooling(Pooler):
    """A pooler that does something else: act(x, batch, w, b)."""

    act: object = None

    def __call__(self, x, batch):
        return self.act(x, batch, self.dense.weight, self.dense.bias)


def last_tokens(x, batch, w, b):
    return np.tanh(PLAIN["linear"](x[[s.rows.stop - 1 for s in batch.sequences]], w, b))


def of_first(act):
    return lambda x, batch, w, b: act(x[batch.first_rows()], w, b)


for words, act in {
    "the last token": last_tokens,
    "no tanh": of_first(lambda x, w, b: PLAIN["linear"](x, w, b)),
    "no dense layer": of_first(lambda x, w, b: x.copy()),
    "weight matrix transposed": of_first(lambda x, w, b: np.tanh(PLAIN["linear"](x, turned(w), b))),
    "no bias": of_first(lambda x, w, b: np.tanh(PLAIN["linear"](x, w, 0 * b))),
    "bias added twice": of_first(lambda x, w, b: np.tanh(PLAIN["linear"](x, w, 2 * b))),
}.items():

    @fault("pooler", words, "once", name=f"{words} (pooler)")
    def _(p, act=act):
        p.base.pooler = Pooling(p.base.pooler.dense, act)


# the heads

for stage, words, head, path, change in (
    ("predictions.intermediate", "weight matrix transposed", "predictions", "dense.weight", turned),
    ("predictions.intermediate", "no bias", "predictions", "dense.bias", lambda b: 0 * b),
    ("predictions.activation", "relu", "predictions", "activation", lambda _: "relu"),
    (
        "predictions.activation",
        "gelu_new (tanh)",
        "predictions",
        "activation",
        lambda _: "gelu_new",
    ),
    ("predictions", "eps 1e-05", "predictions", "norm.eps", lambda _: 1e-5),
    ("logits", "bias added twice", "decoder", "bias", lambda b: 2 * b),
    ("logits", "no bias", "decoder", "bias", lambda b: 0 * b),
    ("seq_relationship", "bias added twice", "seq_relationship", "bias", lambda b: 2 * b),
):

    @fault(stage, words, "head", name=f"{words} ({stage})")
    def _(p, head=head, path=path, change=change):
        p.head(head, path, change)
