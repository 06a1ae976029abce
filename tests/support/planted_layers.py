"""Faults of the operations: attention, norms, residuals, activations, the pooler, dropout, layers."""

# ruff: noqa: E501 - tables are read by their columns
# fmt: off
import math

import numpy as np
from plain_bert import erf
from planted_weights import KEYS, moved
from planting import LAST, LAYERS, OTHER_HEADS, fault, step

A = "layer.{i}.attention"
PLACES = (("", r"layer\.\d", 0), (" in layer.1", r"layer\.1", 1))


def planted(kind, name, stage, words, operation, new, *partly, at=r".*"):
    """Plant in all layers, and in one alone. ``at``: the places within a layer."""
    for where, layer, i in PLACES:
        fault(kind, f"{name}{where}", stage.format(i=i), words.format(i=i), step(operation, new, rf"{layer}{at}"), partly=partly[0] if partly else None)


# attention


def with_heads(bert, old, at, *qkv):
    before, bert.heads = bert.heads, OTHER_HEADS[bert.heads]
    try:
        return old(at, *qkv)
    finally:
        bert.heads = before


def split_plainly(bert, old, at, x):
    size, length, width = x.shape
    return x.reshape(size, bert.heads, length, width // bert.heads)


def split_interleaved(bert, old, at, x):
    size, length, width = x.shape
    return x.reshape(size, length, width // bert.heads, bert.heads).transpose(0, 3, 1, 2)


def merge_plainly(bert, old, at, x):
    size, heads, length, width = x.shape
    return x.reshape(size, length, heads * width)


def along(axis):
    def softmax(bert, old, at, scores):
        weights = np.exp(scores - scores.max(axis, keepdims=True))
        return weights / weights.sum(axis, keepdims=True)

    return softmax


def base_2(bert, old, at, scores):
    return old(at, scores * bert.dtype(math.log(2)))


def one_below(bert, old, at, scores):
    weights = np.exp(scores)
    return weights / (1 + weights.sum(-1, keepdims=True))


def pruned(bert, old, at, x):
    x = x.copy()
    x[:, 1] = 0
    return old(at, x)


def roles(*order):
    def new(bert, old, at, x):
        found = old(at, x)
        return [found[i] for i in order]

    return new


def dropout(p=0.1):
    def drop(bert, old, at, x):
        seed = sum(map(ord, at))  # each place by itself
        return x * (np.random.default_rng(seed).random(x.shape) > p) / bert.dtype(1 - p)

    return drop


SCORES, CONTEXT, PROBABILITIES = f"{A}.scores", f"{A}.context", f"{A}.probabilities"
for line in (
    ("heads", "heads reversed when merged", CONTEXT, r"heads.*(revers|order|exchang)", "merge", lambda bert, old, at, x: old(at, x[:, ::-1])),
    ("heads", "heads reversed when split", SCORES, r"heads.*(revers|order|exchang)", "split", lambda bert, old, at, x: old(at, x)[:, ::-1]),
    ("heads", "another number of heads", SCORES, r"\b[78] heads|number of heads", "attend", with_heads),
    ("heads", "split without transposing", SCORES, r"split.*(without transposing|\(B, H, T, D\))", "split", split_plainly),
    ("heads", "split as (B, T, D, H)", SCORES, r"split.*\(B, T, D, H\)|interleav", "split", split_interleaved),
    ("heads", "merged without transposing", CONTEXT, r"(put together|merged).*(without transposing|\(B, H, T, D\))", "merge", merge_plainly),
    ("heads", "a head pruned", CONTEXT, r"pruned|heads?\b.*(missing|zero|left out)", "merge", pruned),
    ("softmax", "over the heads", PROBABILITIES, r"softmax over the heads", "softmax", along(1)),
    ("softmax", "over the queries", PROBABILITIES, r"softmax over the queries", "softmax", along(-2)),
    ("softmax", "base 2", PROBABILITIES, r"powers of 2|base 2", "softmax", base_2),
    ("softmax", "one added below", PROBABILITIES, r"(1|one) added", "softmax", one_below),
    ("scale", "not scaled", SCORES, r"not (divided|scaled)", "scale", lambda bert, old, at, scores, width: scores),
    ("scale", "by the root of the hidden size", SCORES, r"root of the hidden size|sqrt\(C\)", "scale", lambda bert, old, at, scores, width: old(at, scores, width * bert.heads)),
    ("scale", "twice", SCORES, r"divided by D|scaled twice", "scale", lambda bert, old, at, scores, width: scores / width),
    ("scale", "multiplied", SCORES, r"multiplied by sqrt\(D\)", "scale", lambda bert, old, at, scores, width: scores * bert.dtype(math.sqrt(width))),
    ("roles", "queries and keys swapped", SCORES, r"queries and keys swapped", "roles", roles(1, 0, 2)),
    ("roles", "keys and values swapped", SCORES, r"keys and values swapped", "roles", roles(0, 2, 1)),
    ("roles", "queries and values swapped", SCORES, r"queries and values swapped", "roles", roles(2, 1, 0)),
    ("roles", "queries for keys", SCORES, r"queries in place of the keys", "roles", roles(0, 0, 2)),
    ("roles", "keys for values", CONTEXT, r"keys in place of the values", "roles", roles(0, 1, 1), KEYS),
):
    planted(*line, at=r"\.attention.*")

# residuals and norms


def pre_norm(bert, old, at, x):
    x = x + bert.attention(f"{at}.attention", bert.norm(f"{at}.attention_norm", x))
    bert.tell(f"{at}.attention", x)
    return x + bert.feed_forward(f"{at}.feed_forward", bert.norm(f"{at}.norm", x))


def parallel(bert, old, at, x):
    attended = bert.attention(f"{at}.attention", x)
    return bert.join(f"{at}.norm", x, attended + bert.feed_forward(f"{at}.feed_forward", x))


L, FIRST, SECOND = "layer.{i}", r"\.attention_norm", r"\.norm"
for half, stage, at in (("attention", A, FIRST), ("feed-forward", L, SECOND)):
    planted("residual", f"missing after the {half}", stage, r"residual.*missing", "join", lambda bert, old, at, x, change: bert.norm(at, change), at=at)
    planted("residual", f"doubled after the {half}", stage, r"residual.*doubled", "join", lambda bert, old, at, x, change: old(at, 2 * x, change), at=at)
    planted("residual", f"after the norm of the {half}", stage, r"norm before the residual", "join", lambda bert, old, at, x, change: x + bert.norm(at, change), at=at)
    planted("residual", f"{half} left out", stage, rf"{half}.*(left out|missing|skipped)|nothing but the residual", "join", lambda bert, old, at, x, change: bert.norm(at, x), at=at)
planted("residual", "both missing", A, r"residuals?\b.*missing", "join", lambda bert, old, at, x, change: bert.norm(at, change), at=r"\..*norm")
planted("residual", "pre-norm", f"{A}.query", r"pre-norm", "layer", pre_norm, at="")
planted("residual", "parallel", "layer.{i}.feed_forward.intermediate", r"parallel|the layer's input", "layer", parallel, at="")


def normed(axis=-1, eps=1e-12, ddof=0, mean=True, power=0.5, outside=0.0):
    """Plant a norm of its own."""

    def norm(bert, old, at, x):
        off = x - x.mean(axis, keepdims=True)
        variance = (off * off).sum(axis, keepdims=True) / bert.dtype(np.prod(np.take(x.shape, axis)) - ddof)
        if not mean:
            off, variance = x, (x * x).mean(axis, keepdims=True)
        made = off / ((variance + bert.dtype(eps)) ** bert.dtype(power) + bert.dtype(outside))
        return made * bert.weights[f"{at}.weight"] + bert.weights[f"{at}.bias"]

    return norm


NORMED = (("of the embeddings", r"embeddings\.norm", "embeddings"), ("after the attention of layer.1", r"layer\.1\.attention_norm", "layer.1.attention"), ("of layer.2", r"layer\.2\.norm", "layer.2"), ("everywhere", ".*", "embeddings"))
for name, words, new in (
    ("over tokens", r"norm over (columns|tokens)|over the tokens|wrong axis", normed(axis=1)),
    ("over the whole sequence", r"one mean and one variance", normed(axis=(1, 2))),
    ("without the mean (RMS)", r"mean (is )?not|\bRMS", normed(mean=False)),
    ("n - 1", r"n - 1", normed(ddof=1)),
    ("n - 1, eps 1e-6 outside of the root", r"n - 1", normed(ddof=1, eps=0, outside=1e-6)),  # which shows in the embeddings alone, if there
    ("eps 1e-5", r"eps 1e-0?5", normed(eps=1e-5)),
    ("eps 1e-6", r"eps 1e-0?6", normed(eps=1e-6)),
    ("eps 1e-3", r"eps (1e-0?3|0\.001)", normed(eps=1e-3)),
    ("no eps", r"no eps", normed(eps=0)),
    ("eps outside of the root", r"outside|after the root", normed(eps=0, outside=1e-12)),
    ("divided by the variance", r"variance, not by its root", normed(power=1)),
    ("missing", r"no norm", lambda bert, old, at, x: x),
    ("twice", r"norm.* twice", lambda bert, old, at, x: old(at, old(at, x))),
):
    for where, at, stage in NORMED:
        fault("norm", f"norm {name}, {where}", stage, words, step("norm", new, at))


def exchanged(*layers):
    def plant(bert):
        for i in layers:
            for array in ("weight", "bias"):
                names = [f"layer.{i}.{norm}.{array}" for norm in ("attention_norm", "norm")]
                values = [bert.weights[name] for name in names]
                bert.weights |= dict(zip(names, values[::-1], strict=True))

    return plant


EXCHANGED = r"norms?\b.*(exchanged|swapped)"
fault("norm", "norms of layer.1 exchanged", "layer.1.attention", EXCHANGED, exchanged(1))
fault("norm", "norms exchanged in all layers", "layer.0.attention", EXCHANGED, exchanged(*range(LAYERS)))
fault("norm", "the attention's norm for both", "layer.1", r"norm of the attention", moved("layer.1.norm", "layer.1.attention_norm"))

# activations


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


for name, words, new in (
    ("gelu_new", r"gelu_new", lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2),
    ("quick_gelu", r"quick_gelu", lambda x: x * sigmoid(1.702 * x)),
    ("relu", r"(?<![a-z])relu\b(?!6)", lambda x: np.maximum(x, 0)),
    ("relu6", r"relu", lambda x: np.clip(x, 0, 6)),  # no number reaches 6
    ("relu2", r"relu2|squared", lambda x: np.maximum(x, 0) ** 2),
    ("leaky relu", r"leaky", lambda x: np.where(x > 0, x, 0.01 * x)),
    ("silu", r"silu|swish", lambda x: x * sigmoid(x)),
    ("mish", r"mish", lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    ("tanh", r"(with|of|is) tanh", np.tanh),
    ("sigmoid", r"(with|a|is) sigmoid", sigmoid),
    ("gelu with its tail cut", r"\btails?\b|\bcut\b|clip", lambda x: np.where(x < -2, 0, np.where(x > 2, x, x * (1 + erf(x / math.sqrt(2))) / 2))),
    ("gelu without the root", r"without the 1/sqrt\(2\)", lambda x: x * (1 + erf(x)) / 2),
    ("none", r"no activation", lambda x: x),
):
    planted("activation", name, "layer.{i}.feed_forward.activation", words, "activation", lambda bert, old, at, x, new=new: new(x).astype(x.dtype), at=".*")

# the pooler


def pooled(choose):
    return step("pool", lambda bert, old, at, x: np.tanh(bert.linear("pooler.dense", choose(x, bert.inputs["mask"]))))


def last_token(x, mask):
    return x[np.arange(len(x)), mask.sum(1) - 1]


def mean(x, mask):
    return (x * mask[..., None]).sum(1) / mask.sum(1)[:, None].astype(x.dtype)


for name, words, plant in (
    ("on the second token", r"second token", pooled(lambda x, mask: x[:, 1])),
    ("on the last token", r"last (real )?token", pooled(last_token)),
    ("on the last column", r"last column|last.*padding", pooled(lambda x, mask: x[:, -1])),
    ("mean over padding", r"mean.*padding|padding.*mean|mean of all columns", pooled(lambda x, mask: x.mean(1))),
    ("mean over tokens", r"mean of the (real )?tokens", pooled(mean)),
    ("no tanh", r"no tanh", step("pool", lambda bert, old, at, x: bert.linear("pooler.dense", x[:, 0]))),
    ("no dense", r"no dense|no matrix", step("pool", lambda bert, old, at, x: x[:, 0])),
    ("tanh, no dense", r"no matrix|no dense", step("pool", lambda bert, old, at, x: np.tanh(x[:, 0]))),
):
    fault("pooler", f"pooler {name}", "pooler", words, plant)

# dropout


for name, stage, at in (
    ("on probabilities", CONTEXT, r"\.attention\.probabilities"),
    ("on the attention's output", A, r"\.attention\.output"),
    ("on the feed-forward", L, r"\.feed_forward"),
    ("before both residuals", A, r"\.(attention\.output|feed_forward)"),
    ("wherever a layer has it", CONTEXT, ".*"),
):
    planted("dropout", f"dropout {name}", stage, "dropout", "drop", dropout(), at=at)
fault("dropout", "dropout on the embeddings", "embeddings", "dropout", step("drop", dropout(), "embeddings"))
fault("dropout", "dropout everywhere", "embeddings", "dropout", step("drop", dropout()))

# layers


def order(*numbers):
    """Run these layers; each is told by the place where it runs."""
    return lambda bert: setattr(bert, "order", [(f"layer.{j}", f"layer.{i}") for i, j in enumerate(numbers)])


def twice(*numbers):
    """Run these layers twice: the second run is told."""

    def plant(bert):
        bert.order = [line for i, line in enumerate(bert.order) for _ in range(1 + (i in numbers))]

    return plant


SKIPPED = r"layer\.1\b.*skipped|skipped.*layer\.1"
for name, stage, words, plant in (
    ("layer.1 twice", "layer.1.attention.query", r"layer.*(twice|repeated)", twice(1)),
    ("the last layer twice", f"{LAST}.attention.query", r"layer.*(twice|repeated)", twice(LAYERS - 1)),
    ("each layer twice", "layer.0.attention.query", r"layers?\b.*(twice|repeated)", twice(*range(LAYERS))),
    ("layer.1 skipped", "layer.1", SKIPPED, step("layer", lambda bert, old, at, x: x, r"layer\.1")),
    ("layer.1 skipped, the next has its number", "layer.1.attention.query", SKIPPED, order(0, 2, 3)),
    ("the first layer skipped", "layer.0.attention.query", r"layer\.0\b.*skipped|skipped.*layer\.0", order(1, 2, 3)),
    # where it is not recorded
    ("the last layer skipped", rf"{LAST}|pooler", r"layer\.3\b.*skipped|skipped.*layer\.3|layer before the last|last layer", order(0, 1, 2)),
    ("layer.1 and layer.2 swapped", "layer.1.attention.query", r"swapped|exchanged|order", order(0, 2, 1, 3)),
    ("the first and the last swapped", "layer.0.attention.query", r"swapped|exchanged|order", order(3, 1, 2, 0)),
    ("layers reversed", "layer.0.attention.query", r"revers", order(3, 2, 1, 0)),
    ("layer.1 in place of layer.2", "layer.2.attention.query", r"layer\.1 were repeated|weights of layer\.1|layer\.1 .*(twice|in place)", order(0, 1, 1, 3)),
):
    fault("layers", name, stage, words, plant)
