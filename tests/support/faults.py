"""Faults of BERTs, to be planted in the engine: what is wrong, where it shows, what names it.

A fault is planted in one layer, where it is one of a layer. ``record`` runs the faulty engine.
"""

import copy
import math
from dataclasses import dataclass, field, replace

import numpy as np

from minibert import Reference, functions
from minibert.runtime.swap import swap
from minibert.runtime.threads import get_num_threads, set_num_threads

A, F, LAYER = "layer.{i}.attention", "layer.{i}.feed_forward", "layer.{i}"
PLAIN = {
    name: getattr(functions, name).__wrapped__
    for name in (
        *("linear", "layer_norm", "softmax", "split_heads", "attention_scores"),
        *("attention_context", "tanh", "gelu", "gelu_new", "quick_gelu", "relu", "silu", "erf"),
    )
}
FAULTS = []


def address(array):
    """Where an array's numbers lie: the same for a view of all of it."""
    return array.__array_interface__["data"][0]


LENGTH = 9  # of the inputs


@dataclass
class Plant:
    """A faulty engine: other layers, other functions, or other inputs."""

    model: object
    i: int = 0  # the layer that the next fault goes into
    norms: dict = field(default_factory=dict)  # place of a norm's weight -> function (x, w, b, eps)
    matrices: dict = field(default_factory=dict)  # place of a matrix -> function (x, w, b)
    by_layer: dict = field(default_factory=dict)  # layer -> functions by name
    everywhere: dict = field(default_factory=dict)  # functions by name
    inputs: dict = field(default_factory=dict)  # in place of the reference's
    seen: dict = field(default_factory=dict)
    now: int = -1  # the layer that runs

    @property
    def swaps(self):
        return self.by_layer.setdefault(self.i, {})

    @property
    def layer(self):
        return self.model.encoder.layers[self.i]

    def change(self, **changes):
        """Change parts of the layer: ``change(attention__query=...)``."""
        for path, value in changes.items():
            self.put(self.i, changed(self.layer, path.split("__"), value))

    def put(self, i, layer):
        layers = list(self.model.encoder.layers)
        layers[i : i + 1] = [] if layer is None else [layer]
        self.model.encoder.layers = tuple(layers)

    def linear(self, x, weight, bias):
        for i, layer in enumerate(self.model.encoder.layers):
            if address(weight) == address(layer.attention.query.weight):
                self.now, self.seen["rows"] = i, x.copy()
            if address(weight) == address(layer.feed_forward.intermediate.weight):
                self.seen["attended"] = x.copy()
        act = self.matrices.get(address(weight), PLAIN["linear"])
        found = act(x, weight, bias)
        self.seen["last"] = found.copy()
        return found

    def layer_norm(self, x, weight, bias, eps):
        act = self.norms.get(address(weight), PLAIN["layer_norm"])
        return act(x, weight, bias, eps)

    def swapped(self, name):
        def call(*args, **kwargs):
            kwargs.pop("record", None)
            return self.by_layer.get(self.now, {}).get(name, PLAIN[name])(*args, **kwargs)

        return call

    def run(self, inputs):
        """Return the trace of the faulty engine."""
        names = {name for swaps in self.by_layer.values() for name in swaps}
        own = {name: self.swapped(name) for name in names}
        trace = {}
        with swap(**own, linear=self.linear, layer_norm=self.layer_norm, **self.everywhere):
            self.model(**{**inputs, **self.inputs}, trace=trace)
        return trace


def changed(part, path, value):
    name, *rest = path
    if isinstance(value, np.ndarray):
        value.setflags(write=False)  # as weights are: the engine's own do not reach a function else
    return replace(part, **{name: changed(getattr(part, name), rest, value) if rest else value})


@dataclass(frozen=True)
class Fault:
    name: str
    stage: str  # the first that is wrong
    words: str | None  # of the cause; None where no list could have it
    plant: object
    where: str = "layer"  # "inner": not the last; "later": not the first; "once"; "head"
    hidden: bool = False  # only hidden states are recorded


def fault(stage, words, where="layer", hidden=False, name=None):
    def register(plant):
        FAULTS.append(Fault(name or plant.__name__, stage, words, plant, where, hidden))
        return plant

    return register


def record(faults, model, inputs, dtype="float64"):
    """Return what an engine with these faults, each with its layer, says of the inputs.

    It runs in one thread: which layer runs is known by what was called before.
    """
    model = copy.copy(model)
    if model.encoder is not model:
        model.bert = copy.copy(model.bert)
    plant = Plant(model)
    for fault, i in faults:
        plant.i = i
        fault.plant(plant)
    threads = get_num_threads()
    set_num_threads(1)
    try:
        trace = plant.run(inputs)
    finally:
        set_num_threads(threads)
    if any(fault.hidden for fault, _ in faults):
        trace = {name: trace[name] for name in trace if _is_hidden_state(name)}
    return Reference(inputs, {k: np.asarray(v, dtype) for k, v in trace.items()}, {})


def _is_hidden_state(name):
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
        p.change(feed_forward__activation=name)


@fault(f"{F}.activation", "no activation")
def no_activation(p):
    p.swaps["gelu"] = lambda x: x.copy()


@fault(f"{F}.activation", "gelu without the 1/sqrt(2)")
def erf_without_the_root(p):
    p.swaps["gelu"] = lambda x: 0.5 * x * (1 + PLAIN["erf"](x))


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
    "divided by n - 1": lambda x, w, b, e: ln(x, w, b, e, ddof=1),
    "n - 1 and eps": lambda x, w, b, e: ln(x, w, b, 1e-6, ddof=1, outside=True),
    "mean not taken off": lambda x, w, b, e: ln(x, w, b, e, mean=False),
    "no norm": lambda x, w, b, e: x.copy(),
    "no weight of the norm": lambda x, w, b, e: PLAIN["layer_norm"](x, np.ones_like(w), b, e),
    "no bias of the norm": lambda x, w, b, e: PLAIN["layer_norm"](x, w, 0 * b, e),
    "bias of the norm added twice": lambda x, w, b, e: PLAIN["layer_norm"](x, w, 2 * b, e),
    "weight and the bias of the norm swapped": lambda x, w, b, e: PLAIN["layer_norm"](x, b, w, e),
}
PLACES = {
    "embeddings": ("embeddings", lambda p: p.model.encoder.embeddings.norm, "once"),
    "attention": (A, lambda p: p.layer.attention.norm, "layer"),
    "layer": (LAYER, lambda p: p.layer.norm, "layer"),
}
for words, act in NORMS.items():
    for place, (stage, get, where) in PLACES.items():

        @fault(stage, words, where, name=f"{words} ({place})")
        def _(p, act=act, get=get):
            p.norms[address(get(p).weight)] = act


# residuals


def residual(place):
    stage, get, _ = PLACES[place]
    source = "rows" if place == "attention" else "attended"

    def norm(p, how):
        def act(x, w, b, e):
            out, kept = p.seen["last"], p.seen[source]
            return how(lambda y: PLAIN["layer_norm"](y, w, b, e), out, kept)

        p.norms[address(get(p).weight)] = act

    return stage, norm


for place in ("attention", "layer"):
    stage, norm = residual(place)
    for words, how in {
        "the residual missing": lambda norm, out, kept: norm(out),
        "the residual doubled": lambda norm, out, kept: norm(out + 2 * kept),
        "the norm before the residual": lambda norm, out, kept: norm(out) + kept,
    }.items():

        @fault(stage, words, name=f"{words} ({place})")
        def _(p, norm=norm, how=how):
            norm(p, how)


@fault(LAYER, "the residual taken from the layer's input")
def residual_from_the_input(p):
    p.norms[address(p.layer.norm.weight)] = lambda x, w, b, e: PLAIN["layer_norm"](
        p.seen["last"] + p.seen["rows"], w, b, e
    )


def pre_norm(p):
    first, second = p.layer.attention.norm, p.layer.norm
    for matrix in (p.layer.attention.query, p.layer.attention.key, p.layer.attention.value):
        p.matrices[address(matrix.weight)] = lambda x, w, b: PLAIN["linear"](
            PLAIN["layer_norm"](x, first.weight, first.bias, first.eps), w, b
        )
    p.matrices[address(p.layer.feed_forward.intermediate.weight)] = lambda x, w, b: PLAIN["linear"](
        PLAIN["layer_norm"](x, second.weight, second.bias, second.eps), w, b
    )
    p.norms[address(first.weight)] = p.norms[address(second.weight)] = lambda x, w, b, e: x.copy()


fault(f"{A}.query", "pre-norm")(pre_norm)
fault(LAYER, "pre-norm", hidden=True, name="pre_norm (hidden states)")(pre_norm)

# matrices

MATRICES = {
    f"{A}.query": "attention__query",
    f"{A}.key": "attention__key",
    f"{A}.value": "attention__value",
    f"{A}.output": "attention__output",
    f"{F}.intermediate": "feed_forward__intermediate",
    F: "feed_forward__output",
}
for stage, path in MATRICES.items():

    @fault(stage, "weight matrix transposed", name=f"transposed ({path})")
    def _(p, path=path):
        p.change(**{f"{path}__weight": turned(part(p.layer, path).weight)})

    @fault(stage, "no bias", name=f"no bias ({path})")
    def _(p, path=path):
        p.change(**{f"{path}__bias": 0 * part(p.layer, path).bias})

    @fault(stage, "bias added twice", name=f"bias twice ({path})")
    def _(p, path=path):
        p.change(**{f"{path}__bias": 2 * part(p.layer, path).bias})


def part(layer, path):
    for name in path.split("__"):
        layer = getattr(layer, name)
    return layer


def turned(weight):
    return np.ascontiguousarray(weight.reshape(weight.shape[::-1]).T)


@fault(f"{A}.query", "weights of the key")
def query_and_key_swapped(p):
    a = p.layer.attention
    p.change(attention__query=a.key, attention__key=a.query)


@fault(f"{A}.key", "weights of the value")
def key_and_value_swapped(p):
    a = p.layer.attention
    p.change(attention__key=a.value, attention__value=a.key)


@fault(LAYER, "keys and values swapped", hidden=True)
def key_and_value_swapped_hidden(p):
    key_and_value_swapped(p)


# attention


def plain_scores(q, k, scale):
    return (q @ k.transpose(0, 2, 1)) * scale


@fault(f"{A}.scores", "not divided")
def scale_missing(p):
    p.swaps["attention_scores"] = lambda q, k: plain_scores(q, k, 1.0)


@fault(f"{A}.scores", "divided by D")
def scale_1_over_d(p):
    p.swaps["attention_scores"] = lambda q, k: plain_scores(q, k, 1 / q.shape[-1])


@fault(f"{A}.scores", "root of the hidden size")
def scale_by_the_hidden_size(p):
    size = p.model.config.hidden_size
    p.swaps["attention_scores"] = lambda q, k: plain_scores(q, k, 1 / math.sqrt(size))


@fault(f"{A}.scores", "queries and keys swapped")
def queries_and_keys_swapped(p):
    p.swaps["attention_scores"] = lambda q, k: PLAIN["attention_scores"](k, q)


@fault(f"{A}.scores", "heads split as (B, T, D, H)")
def heads_split_wrongly(p):
    p.swaps["split_heads"] = lambda x, n: x.reshape(len(x), -1, n).transpose(2, 0, 1)


@fault(f"{A}.probabilities", "softmax over the queries")
def softmax_over_the_queries(p):
    p.swaps["softmax"] = lambda x: PLAIN["softmax"](x.swapaxes(1, 2)).swapaxes(1, 2)


@fault(f"{A}.probabilities", "causal mask")
def causal(p):
    p.swaps["softmax"] = lambda x: PLAIN["softmax"](
        np.where(np.triu(np.ones(x.shape[-2:], bool), 1), -1e30, x).astype(x.dtype)
    )


@fault(f"{A}.probabilities", "dropout", name="dropout of the probabilities")
def _(p):
    p.swaps["softmax"] = lambda x: dropout(PLAIN["softmax"](x))


@fault(f"{A}.context", "dropout", name="dropout before the context")
def _(p):
    p.swaps["attention_context"] = lambda x, v: PLAIN["attention_context"](dropout(x), v)


@fault(F, "dropout", name="dropout after the feed-forward")
def _(p):
    out = p.layer.feed_forward.output.weight
    p.matrices[address(out)] = lambda x, w, b: dropout(PLAIN["linear"](x, w, b))


@fault("embeddings", "dropout", "once", name="dropout of the embeddings")
def _(p):
    norm = p.model.encoder.embeddings.norm.weight
    p.norms[address(norm)] = lambda *x: dropout(PLAIN["layer_norm"](*x))


def dropout(x):
    kept = np.random.default_rng(7).random(x.shape) > 0.1
    return (x * kept / 0.9).astype(x.dtype)


@fault(f"{A}.context", "heads put together as (B, H, T, D)")
def heads_merged_wrongly(p):
    p.swaps["attention_context"] = lambda x, v: _mixed(x @ v)


def _mixed(context):
    """What is put together as (T, H, D) shall hold (H, T, D)."""
    return (
        np.ascontiguousarray(context)
        .reshape(context.shape[1], context.shape[0], context.shape[2])
        .transpose(1, 0, 2)
    )


@fault(f"{A}.context", "probabilities transposed")
def probabilities_transposed(p):
    p.swaps["attention_context"] = lambda x, v: x.swapaxes(1, 2) @ v


@fault("layer.0.attention.probabilities", "padding that is attended", "once")
def mask_missing(p):
    p.inputs["attention_mask"] = None


# the embeddings


@fault("embeddings.sum", "no token types", "once")
def token_types_missing(p):
    table(p, "token_type", np.zeros_like)


@fault("embeddings.sum", "all 0", "once")
def token_types_zero(p):
    p.inputs["token_type_ids"] = None


@fault("embeddings.sum", "0 and 1 swapped", "once")
def token_types_swapped(p):
    table(p, "token_type", lambda t: t[[1, 0, *range(2, len(t))]])


def table(p, name, change):
    e = p.model.encoder.embeddings
    p.model.encoder.embeddings = replace(e, **{name: change(getattr(e, name))})


for words, change in {
    "positions from 1": lambda t: np.roll(t, -1, axis=0),
    "positions from 2": lambda t: np.roll(t, -2, axis=0),
    "no positions added": np.zeros_like,
    "table of positions reversed": lambda t: t[::-1].copy(),
    "positions that are all 0": lambda t: np.broadcast_to(t[:1], t.shape).copy(),
}.items():

    @fault("embeddings.sum", words, "once", name=words)
    def _(p, change=change):
        table(p, "position", change)


@fault("embeddings.sum", "positions reversed", "once")
def positions_reversed(p):
    p.inputs["position_ids"] = np.arange(LENGTH)[::-1]


@fault("embeddings.sum", "multiplied by sqrt(C)", "once")
def words_scaled(p):
    table(p, "word", lambda t: (t * math.sqrt(t.shape[1])).astype(t.dtype))


# layers


def renamed(layer, i):
    name = f"layer.{i}"
    attention = replace(layer.attention, name=f"{name}.attention")
    return replace(
        layer,
        name=name,
        attention=attention,
        feed_forward=replace(layer.feed_forward, name=f"{name}.feed_forward"),
    )


def order(p, numbers):
    layers = p.model.encoder.layers
    p.model.encoder.layers = tuple(renamed(layers[j], i) for i, j in enumerate(numbers))


@fault(f"{A}.query", "as if layer.{i} were skipped", "inner")
def layer_skipped(p):
    order(p, [j for j in range(len(p.model.encoder.layers)) if j != p.i])


@fault(LAYER, "as if layer.{i} were skipped", "inner", hidden=True)
def layer_skipped_hidden(p):
    layer_skipped(p)


@fault(f"{A}.query", "as if layer.{before} were repeated", "later")
def layer_repeated(p):
    count = len(p.model.encoder.layers)
    order(p, [p.i - 1 if j == p.i else j for j in range(count)])


@fault(LAYER, "as if layer.{before} were repeated", "later", hidden=True)
def layer_repeated_hidden(p):
    layer_repeated(p)


@fault("layer.0.attention.query", "the weights of layer.{last}", "once")
def layers_reversed(p):
    order(p, range(len(p.model.encoder.layers) - 1, -1, -1))


for words, how in {
    "gelu_new (tanh)": lambda p: p.change(feed_forward__activation="gelu_new"),
    "not divided": scale_missing,
    "eps 1e-05": lambda p: [
        p.norms.__setitem__(address(norm.weight), NORMS["eps 1e-05"])
        for norm in (p.layer.attention.norm, p.layer.norm)
    ],
    "weights of the key": query_and_key_swapped,
    "the residual missing": lambda p: residual("layer")[1](p, lambda norm, out, kept: norm(out)),
}.items():
    if words != "weights of the key":  # which equals scores with queries and keys swapped
        fault(LAYER, words, hidden=True, name=f"{words} (hidden states)")(how)


# the pooler


def pooler(change):
    def plant(p):
        p.everywhere["pooler"] = change

    return plant


def last_tokens(p):
    batch = p.model.encoder.pooler
    p.model.encoder.pooler = LastPooler(batch.dense)


class LastPooler:
    def __init__(self, dense):
        self.dense = dense

    def __call__(self, rows, batch, trace):
        last = rows[[s.rows.stop - 1 for s in batch.sequences]]
        pooled = functions.pooler(last, self.dense.weight, self.dense.bias)
        trace.pooled("pooler", pooled)
        return pooled


fault("pooler", "the last token", "once")(last_tokens)
for words, change in {
    "no tanh": lambda x, w, b: PLAIN["linear"](x, w, b),
    "no dense layer": lambda x, w, b: x.copy(),
    "weight matrix transposed": lambda x, w, b: np.tanh(PLAIN["linear"](x, turned(w), b)),
    "no bias": lambda x, w, b: np.tanh(PLAIN["linear"](x, w, 0 * b)),
    "bias added twice": lambda x, w, b: np.tanh(PLAIN["linear"](x, w, 2 * b)),
}.items():
    fault("pooler", words, "once", name=f"{words} (pooler)")(pooler(change))

# the heads


def predictions(**changes):
    def plant(p):
        head = p.model.predictions
        for path, change in changes.items():
            head = changed(head, path.split("__"), change(part(head, path)))
        p.model.predictions = head

    return plant


for stage, words, changes in (
    ("predictions.intermediate", "weight matrix transposed", {"dense__weight": turned}),
    ("predictions.intermediate", "no bias", {"dense__bias": lambda b: 0 * b}),
    ("predictions.activation", "relu", {"activation": lambda _: "relu"}),
    ("predictions.activation", "gelu_new (tanh)", {"activation": lambda _: "gelu_new"}),
    ("predictions", "eps 1e-05", {"norm__eps": lambda _: 1e-5}),
    ("logits", "bias added twice", {"decoder__bias": lambda b: 2 * b}),
    ("logits", "no bias", {"decoder__bias": lambda b: 0 * b}),
):
    fault(stage, words, "head", name=f"{words} ({stage})")(predictions(**changes))


@fault("seq_relationship", "bias added twice", "head")
def bias_of_the_next_sentence_twice(p):
    p.model.seq_relationship = replace(
        p.model.seq_relationship, bias=2 * p.model.seq_relationship.bias
    )
