"""Faults of a GPT-2: what may go wrong where it differs from BERT."""

# ruff: noqa: E501 - tables are read by their columns
# fmt: off
import math
import re
from itertools import permutations

import numpy as np
from plain_bert import erf
from plain_gpt2 import Gpt2
from planted_layers import merge_plainly, normed, split_interleaved, split_plainly
from planting import Fault, Planting, given, step, weights, widened

from minibert import GPT2Config, GPT2Model

FAULTS = []
LAYERS = 3


def fault(kind, name, stage, words, plant, **others):
    FAULTS.append(Fault(kind, name, stage, words, plant, **others))


def wide_gpt2(folder, dtype="float64", **options):
    """Return a model of wide weights, all of its sizes odd and different."""
    sizes = {"vocab_size": 41, "n_embd": 21, "n_layer": LAYERS, "n_head": 3, "n_inner": 37, "n_positions": 19}
    config = GPT2Config(**{**sizes, "initializer_range": 0.4, "bos_token_id": 1, "eos_token_id": 2, **options})
    return widened(GPT2Model(config, seed=3), folder, dtype)


def texts(vocab_size, left=False, seed=5):
    """Draw texts of different lengths."""
    random, shape = np.random.default_rng(seed), (3, 11)
    ids, mask = random.integers(5, vocab_size - 1, shape), np.zeros(shape, int)
    for row, n in enumerate((11, 6, 9)):
        mask[row, shape[1] - n if left else 0 :][:n] = 1
    return {"input_ids": ids * mask, "attention_mask": mask}


def as_plain(inputs):
    mask = inputs["attention_mask"] != 0
    length = mask.shape[1]
    positions = np.broadcast_to(np.arange(length), mask.shape)
    return {"ids": inputs["input_ids"], "positions": positions, "mask": mask, "allowed": mask[:, None] & np.tri(length, dtype=bool)}


WAYS = {
    "all": lambda stage: True,
    "hidden": lambda stage: re.fullmatch(r"embeddings|layer\.\d|norm", stage),
    "last": lambda stage: stage == "norm",
    "ends": lambda stage: stage in ("embeddings", "norm"),
}


class PlantingGpt2(Planting):
    plain, as_plain, draw = Gpt2, staticmethod(as_plain), staticmethod(texts)
    ways, last = WAYS, "norm"


SCORES, EMBEDDED = r"layer\.0\.attention\.(scores|probabilities)", "embeddings"
A, F, L = "layer.{i}.attention", "layer.{i}.feed_forward", "layer.{i}"
PLACES = (("", r"layer\.\d", 0), (" in layer.1", r"layer\.1", 1))


def planted(kind, name, stage, words, operation, new, *partly, at=r".*"):
    """Plant in all layers, and in one alone. ``at``: the places within a layer."""
    for where, layer, i in PLACES:
        fault(kind, f"{name}{where}", stage.format(i=i), words.format(i=i), step(operation, new, rf"{layer}{at}"), partly=partly[0] if partly else None)


# who looks at whom


def looking(change):
    def plant(bert):
        mask = bert.inputs["mask"]
        bert.inputs["allowed"] = np.broadcast_to(change(mask, mask.shape[1]), bert.inputs["allowed"].shape)

    return plant


def up_to(offset):
    return lambda mask, length: mask[:, None] & np.tri(length, k=offset, dtype=bool)


for name, words, change, left in (
    ("missing", r"no causal mask", lambda mask, _: mask[:, None], False),
    ("one too long", r"causal mask one token too long", up_to(1), False),
    ("one short", r"causal mask one token short", up_to(-1), False),
    ("missing, and no padding mask", r"no causal mask|no mask: tokens look at later ones and at padding", lambda mask, _: np.ones_like(mask)[:, None], False),
    ("padding attended", r"padding that is attended", lambda mask, n: np.tri(n, dtype=bool)[None], True),
    ("turned round", r"turned round|earlier|before", lambda mask, n: mask[:, None] & np.tri(n, dtype=bool).T, False),
):
    fault("causal", f"causal mask {name}", SCORES, words, looking(change), left=left)
fault("causal", "no causal mask in layer.1", r"layer\.1\.attention\.(scores|probabilities)", "no causal mask", step("mask", lambda bert, old, at, scores: np.where(bert.inputs["mask"][:, None, None], scores, np.finfo(bert.dtype).min), r"layer\.1.*"))

# positions and words


def counted(mask):
    return np.maximum(np.cumsum(mask, 1) - 1, 0)


def shifted(by):
    return given(lambda positions, **_: {"positions": positions + by})


for name, words, plant, left in (
    ("from 1", r"positions from 1", shifted(1), False),
    ("from 2", r"positions from 2", shifted(2), False),
    ("one too low", r"positions one too low", weights(r"embeddings\.position", lambda x: np.roll(x, 1, 0)), False),
    ("all 0", r"positions.*all 0", given(lambda positions, **_: {"positions": positions * 0}), False),
    ("absent", r"no positions", weights(r"embeddings\.position", np.zeros_like), False),
    ("reversed", r"positions reversed", given(lambda positions, **_: {"positions": positions[:, ::-1]}), False),
    ("over real tokens alone", r"positions.*real tokens", given(lambda mask, **_: {"positions": counted(mask)}), True),
):
    fault("positions", f"positions {name}", EMBEDDED, words, plant, left=left)
for name, words, plant, partly in (
    ("scaled", r"word.*sqrt\(C\)", weights(r"embeddings\.word", lambda x: x * math.sqrt(x.shape[1])), None),
    ("absent", r"no words", weights(r"embeddings\.word", np.zeros_like), None),
    ("shifted", r"word.*(next|before|shift|row)", weights(r"embeddings\.word", lambda x: np.roll(x, 1, 0)), None),
    ("reversed", r"tokens.*revers", given(lambda ids, mask, **_: {"ids": np.array([[*row[real][::-1], *row[~real]] for row, real in zip(ids, mask, strict=True)])}), None),
    ("one other", r"other words.*\[0, 3\]", given(lambda ids, **_: {"ids": np.where(np.arange(ids.size).reshape(ids.shape) == 3, 7, ids)}), "other (words|tokens)"),
):
    fault("words", f"words {name}", EMBEDDED, words, plant, partly=partly)

# norms and residuals


def post_norm(bert, old, at, x):
    for part, norm in (("attention", "attention_norm"), ("feed_forward", "norm")):
        x = bert.norm(f"{at}.{norm}", x + getattr(bert, part)(f"{at}.{part}", x))
        if part == "attention":
            bert.tell(f"{at}.attention", x)
    return x


for where, layer, i in PLACES:
    fault("norm", f"post-norm{where}", rf"layer\.{i}\.attention\.(query|norm)", "post-norm", step("layer", post_norm, layer))
fault("norm", "no last norm", "norm", "no last norm", step("norm", lambda bert, old, at, x: x, "norm"))
fault("norm", "the last norm twice", "norm", "norm applied twice", step("norm", lambda bert, old, at, x: old(at, old(at, x)), "norm"))
for name, words, new in (
    ("eps 1e-3", "eps 0.001", normed(eps=1e-3)),
    ("eps 1e-12", "eps 1e-12", normed(eps=1e-12)),
    ("eps 1e-6", "eps 1e-06", normed(eps=1e-6)),
    ("n - 1", "n - 1", normed(ddof=1, eps=1e-5)),
    ("RMS", "RMS|mean not", normed(mean=False, eps=1e-5)),
    ("missing", "no norm|no last norm|all norms left out", lambda bert, old, at, x: x),
):
    for where, at, stage in (("of the attention of layer.1", r"layer\.1\.attention_norm", "layer.1.attention.norm"), ("of the feed-forward of layer.2", r"layer\.2\.norm", "layer.2.feed_forward.norm"), ("at the end", "norm", "norm"), ("everywhere", ".*", "layer.0.attention.norm")):
        fault("norm", f"{name} {where}", stage, words, step("norm", new, at))
for part, stage in (("attention", A), ("feed_forward", L)):
    planted("residual", f"missing after the {part}", stage, "residual missing", "join", lambda bert, old, at, x, change: change, at=rf"\.{part}")
    planted("residual", f"doubled after the {part}", stage, "residual doubled", "join", lambda bert, old, at, x, change: 2 * x + change, at=rf"\.{part}")
    planted("residual", f"{part} left out", stage, rf"nothing but the residual|{part.replace('_', '-')}.*left out", "join", lambda bert, old, at, x, change: x, at=rf"\.{part}")
planted("residual", "both missing", A, "residuals? missing", "join", lambda bert, old, at, x, change: change)

# matrices

ROLE = r"weights of the (query|key|value)|queries|keys|values"
NAMES = "query", "key", "value"
for order in list(permutations(range(3)))[1:]:
    first = next(i for i in range(3) if order[i] != i)
    said = " ".join(NAMES[j] for j in order)
    planted("fused", f"cut as {said}", f"{A}.{NAMES[first]}", ROLE, "cut", lambda bert, old, at, x, order=order: [old(at, x)[i] for i in order])
planted("fused", "cut head by head", f"{A}.query", "head by head", "cut", lambda bert, old, at, x: [y.reshape(*x.shape[:2], -1) for y in np.moveaxis(x.reshape(*x.shape[:2], bert.heads, 3, -1), 3, 0)])
planted("fused", "cut column by column", f"{A}.query", "column by column", "cut", lambda bert, old, at, x: list(np.moveaxis(x.reshape(*x.shape[:2], -1, 3), 3, 0)))


def square(x):
    return np.concatenate([part.T for part in np.split(x, 3, axis=1)], axis=1) if x.shape[0] != x.shape[1] else x.T


for m, stage in (("attention.output", "attention.output"), ("attention.fused", "attention.query")):
    for where, layer, i in PLACES:
        fault("Conv1D", f"{m} untransposed{where}", f"layer.{i}.{stage}", "transposed", weights(rf"{layer}\.{m}\.weight", square))
for m, stage in (("attention.output", "attention.output"), ("attention.fused", "attention.query"), ("feed_forward", "feed_forward"), ("feed_forward.intermediate", "feed_forward.intermediate")):
    fault("bias", f"no bias of {m} in layer.1", f"layer.1.{stage}", r"no bias|bias.*missing", weights(rf"layer\.1\.{m}\.bias", np.zeros_like), partly=r"bias|row|column|matrix")

# attention


def by_layer(bert, old, at, scores, width):
    return old(at, scores, width) / (int(at.split(".")[1]) + 1)


S, P, C = f"{A}.scores", f"{A}.probabilities", f"{A}.context"
for line in (
    ("scale", "not scaled", S, "not divided", "scale", lambda bert, old, at, scores, width: scores),
    ("scale", "by D", S, "divided by D", "scale", lambda bert, old, at, scores, width: scores / width),
    ("scale", "by the root of the hidden size", S, "root of the hidden size", "scale", lambda bert, old, at, scores, width: old(at, scores, width * bert.heads)),
    ("heads", "split without transposing", S, r"split.*without transposing", "split", split_plainly),
    ("heads", "split as (B, T, D, H)", S, r"\(B, T, D, H\)", "split", split_interleaved),
    ("heads", "merged without transposing", C, r"put together.*without transposing", "merge", merge_plainly),
    ("softmax", "over the queries", P, "softmax over the queries", "softmax", lambda bert, old, at, x: old(at, x.swapaxes(-1, -2)).swapaxes(-1, -2)),
    ("softmax", "base 2", P, "powers of 2", "softmax", lambda bert, old, at, x: old(at, x * math.log(2))),
):
    planted(*line)
fault("scale", "by the number of the layer, too", "layer.1.attention.scores", "divided by the number of the layer", step("scale", by_layer))

# activations

for name, words, new in (
    ("gelu with erf", r"gelu \(erf\)", lambda bert, old, at, x: x * (1 + erf(x / math.sqrt(2))) / 2),
    ("relu", "relu", lambda bert, old, at, x: np.maximum(x, 0)),
    ("quick gelu", "quick_gelu", lambda bert, old, at, x: x / (1 + np.exp(-1.702 * x))),
    ("missing", "no activation", lambda bert, old, at, x: x),
):
    planted("activation", name, f"{F}.activation", words, "activation", new)

# layers


def order(*numbers):
    return lambda bert: setattr(bert, "order", [(f"layer.{j}", f"layer.{i}") for i, j in enumerate(numbers)])


fault("layers", "layer.1 skipped", "layer.1", "skipped", step("layer", lambda bert, old, at, x: x, r"layer\.1"))
fault("layers", "layer.0 and layer.1 swapped", "layer.0.attention.norm", "swapped|exchanged|order", order(1, 0, 2))
fault("layers", "layers reversed", "layer.0.attention.norm", "revers|exchanged", order(2, 1, 0))
