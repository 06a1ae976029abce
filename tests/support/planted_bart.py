"""Faults of a BART: what may go wrong where it differs from BERT."""

# ruff: noqa: E501 - tables are read by their columns
# fmt: off
import math
import re

import numpy as np
from plain_bart import Bart
from planted_layers import normed, split_interleaved
from planting import Fault, Planting, step, weights, widened

from minibert import BartConfig, BartForConditionalGeneration

FAULTS = []
LAYERS = 3


def fault(kind, name, stage, words, plant, **others):
    FAULTS.append(Fault(kind, name, stage, words, plant, **others))


def wide_bart(folder, dtype="float64", **options):
    """Return a model of wide weights, all of its sizes odd and different."""
    sizes = {"vocab_size": 41, "d_model": 21, "encoder_layers": LAYERS, "decoder_layers": 2, "encoder_attention_heads": 3}
    sizes |= {"decoder_attention_heads": 7, "encoder_ffn_dim": 37, "decoder_ffn_dim": 35, "max_position_embeddings": 17}
    config = BartConfig(**{**sizes, "scale_embedding": True, "init_std": 0.4, **options})
    return widened(BartForConditionalGeneration(config, seed=3), folder, dtype)


def texts(vocab_size, left=False, seed=5):
    """Draw texts to read and others to write, of different lengths."""
    random, shape = np.random.default_rng(seed), (3, 11)
    inputs = {}
    for prefix, lengths in (("", (11, 6, 9)), ("decoder_", (8, 11, 5))):
        ids, mask = random.integers(5, vocab_size - 1, shape), np.zeros(shape, int)
        for row, n in enumerate(lengths):
            mask[row, shape[1] - n if left else 0 :][:n] = 1
        inputs |= {f"{prefix}input_ids": np.where(mask, ids, 1), f"{prefix}attention_mask": mask}
    ids = inputs["decoder_input_ids"]
    ids[:, 0] = 2
    return inputs


def as_plain(inputs):
    found = {}
    for prefix, name in (("", "source_"), ("decoder_", "")):
        mask = inputs[f"{prefix}attention_mask"] != 0
        positions = np.broadcast_to(np.arange(mask.shape[1]), mask.shape)
        found |= {f"{name}ids": inputs[f"{prefix}input_ids"], f"{name}positions": positions, f"{name}mask": mask, f"{name}allowed": mask[:, None]}
    causal = np.tri(found["mask"].shape[1], dtype=bool)
    return found | {"allowed": found["allowed"] & causal, "across": found["source_mask"][:, None]}


LAST = "decoder.layer.1"
WAYS = {
    "all": lambda stage: True,
    "hidden": lambda stage: re.fullmatch(r"(en|de)coder\.(embeddings|layer\.\d)", stage),
    "last": lambda stage: stage in (LAST, f"encoder.layer.{LAYERS - 1}"),
    "ends": lambda stage: stage in (LAST, "encoder.embeddings"),
}


class PlantingBart(Planting):
    plain, as_plain, draw = Bart, staticmethod(as_plain), staticmethod(texts)
    ways, last = WAYS, LAST


A, X, F = "{layer}.attention", "{layer}.cross_attention", "{layer}.feed_forward"
PLACES = ((" of the encoder", r"encoder\.layer\.\d", "encoder.layer.0"), (" of the decoder", r"decoder\.layer\.\d", "decoder.layer.0"), (" of decoder.layer.1", r"decoder\.layer\.1", "decoder.layer.1"))


def planted(kind, name, stage, words, operation, new, *partly, at=r".*", places=PLACES):
    """Plant in a whole stack, and in one layer alone. ``at``: the places within a layer."""
    for where, layer, first in places:
        fault(kind, f"{name}{where}", stage.format(layer=first), words, step(operation, new, rf"{layer}{at}"), partly=partly[0] if partly else None)


def given(change):
    """Plant other inputs: change(inputs) returns those that differ."""
    return lambda bert: bert.inputs.update(change(bert.inputs))


# positions, words, scale

for side in ("encoder", "decoder"):
    at, ids = rf"{side}\.embeddings", "source_ids" if side == "encoder" else "ids"
    places = ids.replace("ids", "positions")
    for name, words, plant in (
        ("without the offset", r"positions without the offset of 2", weights(rf"{at}\.position", lambda x: np.roll(x, 2, 0))),
        ("from 1", r"positions from 1", given(lambda x, p=places: {p: x[p] + 1})),
        ("one too low", r"positions one too low", given(lambda x, p=places: {p: x[p] - 1})),
        ("all 0", r"positions.*all 0", given(lambda x, p=places: {p: 0 * x[p]})),
        ("absent", r"no positions", weights(rf"{at}\.position", np.zeros_like)),
    ):
        fault("positions", f"positions {name}, {side}", rf"{at}\.sum", words, plant)
    scale = {f"{side}.": 1.0}
    fault("scale", f"embeddings not scaled, {side}", rf"{at}\.sum", r"not multiplied by sqrt\(C\)", lambda bert, scale=scale: bert.embedding_scale.update(scale))
    scale = {f"{side}.": 21.0}
    fault("scale", f"embeddings scaled twice, {side}", rf"{at}\.sum", r"multiplied by sqrt\(C\)", lambda bert, scale=scale: bert.embedding_scale.update(scale))
    fault("words", f"words shifted, {side}", rf"{at}\.sum", r"word.*(next|before|shift|row)", weights(rf"{at}\.word", lambda x: np.roll(x, 1, 0)))
    for name, new in (("eps 1e-12", normed()), ("eps 1e-3", normed(eps=1e-3)), ("missing", lambda bert, old, at, x: x)):
        words = {"eps 1e-12": "eps 1e-12", "eps 1e-3": "eps 0.001", "missing": "no norm"}[name]
        fault("norm", f"norm of the embeddings {name}, {side}", at, words, step("norm", new, rf"{at}\.norm"))


def unshifted(ids, last):
    return np.concatenate([ids[:, 1:], last], axis=1)


LABELS = np.array([[9], [4], [12]])
fault("words", "inputs not shifted", r"decoder\.embeddings\.sum", "not shifted", given(lambda x: {"ids": unshifted(x["ids"], LABELS)}), partly="not shifted|other words|other (weights|tokens)")
fault("words", "the source's words in the decoder", r"decoder\.embeddings\.sum", "words of the source|encoder's words", given(lambda x: {"ids": x["source_ids"]}), partly=None)
fault("words", "one other word to write", r"decoder\.embeddings\.sum", r"other words.*\[0, 3\]", given(lambda x: {"ids": np.where(np.arange(33).reshape(3, 11) == 3, 7, x["ids"])}), partly="other words")

# who looks at whom

LOOK = r"\.layer\.0\.attention\.(scores|probabilities)"


def looking(name, change):
    def plant(bert):
        mask = bert.inputs[name.replace("allowed", "mask") if name != "across" else "source_mask"]
        bert.inputs[name] = np.broadcast_to(change(mask, bert.inputs["mask"]), (3, 11, 11))

    return plant


def tri(offset=0):
    return np.tri(11, k=offset, dtype=bool)


CROSS = r"decoder\.layer\.0\.cross_attention\.(scores|probabilities)"
for name, stage, words, which, change, left in (
    ("missing in the decoder", f"decoder{LOOK}", "no causal mask", "allowed", lambda mask, _: mask[:, None], False),
    ("one too long in the decoder", f"decoder{LOOK}", "one token too long", "allowed", lambda mask, _: mask[:, None] & tri(1), False),
    ("one short in the decoder", f"decoder{LOOK}", "one token short", "allowed", lambda mask, _: mask[:, None] & tri(-1), False),
    ("in the encoder", f"encoder{LOOK}", "causal mask", "source_allowed", lambda mask, _: mask[:, None] & tri(), False),
    ("of padding missing in the encoder", f"encoder{LOOK}", "padding that is attended", "source_allowed", lambda mask, _: np.ones((1, 1, 1), bool), False),
    ("of padding missing in the decoder", f"decoder{LOOK}", "padding that is attended", "allowed", lambda mask, _: tri()[None], True),
    ("of padding missing across", CROSS, "padding that is attended", "across", lambda mask, _: np.ones((1, 1, 1), bool), False),
    ("the decoder's across", CROSS, "decoder's mask", "across", lambda mask, own: own[:, None], False),
    ("causal across", CROSS, "cross-attention with a causal mask", "across", lambda mask, _: mask[:, None] & tri(), False),
    ("inverted across", CROSS, "inverted", "across", lambda mask, _: ~mask[:, None], False),
):
    fault("mask", f"mask {name}", stage, words, looking(which, change), left=left)

# what the decoder looks at

KEY = r"decoder\.layer\.{i}\.cross_attention\.key"
for where, layer, i in (("", r"decoder\.layer\.\d", 0), (" in layer.1", r"decoder\.layer\.1", 1)):
    for name, words, new in (
        ("the encoder's embeddings", r"cross-attention on encoder\.embeddings", lambda bert, old, at, x: bert.states["encoder.embeddings"]),
        ("the encoder's layer before the last", rf"cross-attention on encoder\.layer\.{LAYERS - 2}", lambda bert, old, at, x: bert.states[f"encoder.layer.{LAYERS - 2}"]),
        ("the encoder's first layer", r"cross-attention on encoder\.layer\.0", lambda bert, old, at, x: bert.states["encoder.layer.0"]),
        ("the decoder's own states", "own states", lambda bert, old, at, x: x),
        ("the decoder's embeddings", r"cross-attention on decoder\.embeddings", lambda bert, old, at, x: bert.states["decoder.embeddings"]),
    ):
        # what the encoder's last layer makes is not recorded, and may be what is left out
        partly = rf"encoder\.layer\.{LAYERS - 1}: .*a layer that is skipped" if "before the last" in name else None
        fault("source", f"cross-attention on {name}{where}", KEY.format(i=i), words, step("source", new, rf"{layer}.*"), partly=partly)

# norms, residuals, attention


def pre_norm(bert, old, at, x):
    for part in ("attention", "cross_attention"):
        name = f"{at}.{part}"
        if f"{name}_norm.bias" in bert.weights:
            x = bert.tell(name, x + bert.attention(name, bert.norm(f"{name}_norm", x)))
    return x + bert.feed_forward(f"{at}.feed_forward", bert.norm(f"{at}.norm", x))


planted("residual", "pre-norm", r"{layer}.attention.query", "pre-norm", "layer", pre_norm, at="")
for part, stage, norm, places in (("attention", A, r"\.attention_norm", PLACES), ("cross_attention", X, r"\.cross_attention_norm", PLACES[1:]), ("feed_forward", "{layer}", r"\.norm", PLACES)):
    planted("residual", f"missing after the {part}", stage, "residual missing", "join", lambda bert, old, at, x, change: bert.norm(at, change), at=norm, places=places)
    planted("residual", f"{part} left out", stage, rf"{part.replace('_', '-')}.*left out|nothing but the residual", "join", lambda bert, old, at, x, change: bert.norm(at, x), at=norm, places=places)
    planted("norm", f"none after the {part}", stage, "no norm", "norm", lambda bert, old, at, x: x, at=norm, places=places)
    planted("norm", f"eps 1e-3 after the {part}", stage, r"eps 0\.001", "norm", normed(eps=1e-3), at=norm, places=places)


def swapped(bert, old, at, x):
    q, k, v = old(at, x)
    return q, v, k


for part, stage, places in (("attention", A, PLACES), ("cross_attention", X, PLACES[1:])):
    at = rf"\.{part}.*"
    planted("scale", f"{part} not scaled", f"{stage}.scores", "not divided", "scale", lambda bert, old, at, scores, width: scores, at=at, places=places)
    planted("heads", f"{part} split as (B, T, D, H)", f"{stage}.scores", r"\(B, T, D, H\)", "split", split_interleaved, at=at, places=places)
    planted("roles", f"{part}, keys and values swapped", rf"{stage}.scores", "keys and values swapped", "roles", swapped, at=at, places=places)
    for m in ("query", "key", "value", "output"):
        fault("transposed", f"{part}.{m} of decoder.layer.1 transposed", f"decoder.layer.1.{part}.{m}", "transposed", weights(rf"decoder\.layer\.1\.{part}\.{m}\.weight", np.transpose))
planted("activation", "gelu_new", f"{F}.activation", "gelu_new", "activation", lambda bert, old, at, x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2)

# the head, and layers

for name, words, plant in (
    ("no final_logits_bias", "no bias", weights(r"logits\.bias", np.zeros_like)),
    ("final_logits_bias twice", "bias added twice", weights(r"logits\.bias", lambda x: 2 * x)),
):
    fault("head", name, "logits", words, plant)
fault("layers", "encoder.layer.1 skipped", r"encoder\.layer\.1", "skipped", step("layer", lambda bert, old, at, x: x, r"encoder\.layer\.1"))
fault("layers", "the weights of encoder.layer.0 in encoder.layer.1", r"encoder\.layer\.1\.attention\.query", r"encoder\.layer\.0", lambda bert: bert.weights.update({x.replace("layer.0", "layer.1"): y for x, y in bert.weights.items() if x.startswith("encoder.layer.0")}))
