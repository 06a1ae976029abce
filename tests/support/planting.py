"""What plants a fault in plain_bert's BERT, records it, and judges what ``verify`` says of it."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from plain_bert import Bert

from minibert import EMBEDDED_CHECKPOINT, BertConfig, BertModel, Reference, verify

LAYERS = 4  # of both models
OTHER_HEADS = {3: 7, 4: 8}  # heads of the models, and another number that divides their width
ROUNDING = 16  # times what float32 does to a stage: a fault that does less there is none


@dataclass(frozen=True)
class Fault:
    """One kind of fault at one place.

    stage: pattern of the stages that may be found first, where all are recorded. words: a pattern
    that the cause must contain; ``partly`` in its place where not all stages are recorded, for
    what need not be known there (why: beside the entry). precise: no fault, but a coarser
    precision, which the verdict must say.
    """

    kind: str
    name: str
    stage: str
    words: str
    plant: Callable[[Bert], Any]
    partly: str | None = None
    left: bool = False  # needs a batch that is padded on the left
    precise: bool = False


FAULTS: list[Fault] = []


def fault(kind, name, stage, words, plant, **others):
    FAULTS.append(Fault(kind, name, stage, words, plant, **others))


def wide_model(folder, dtype="float64"):
    """Return a model of wide weights, biases and norms, all of its sizes odd and different."""
    config = BertConfig(
        vocab_size=41,
        hidden_size=21,
        num_hidden_layers=LAYERS,
        num_attention_heads=3,
        intermediate_size=37,
        max_position_embeddings=17,
        type_vocab_size=5,
        initializer_range=0.4,
    )
    return widened(BertModel(config, seed=3), folder, dtype)


def widened(model, folder, dtype):
    """Return a drawn model with noise in all biases and norms."""
    from safetensors.numpy import load_file, save_file

    model.save_pretrained(folder)
    file, random = folder / "model.safetensors", np.random.default_rng(4)
    tensors = load_file(file)
    if hasattr(model, "lm_head") and "model.shared.weight" in tensors:  # of zeros it is not written
        tensors["final_logits_bias"] = np.zeros((1, model.config.vocab_size), np.float32)
    tensors |= {
        name: (x + 0.3 * random.standard_normal(x.shape)).astype(x.dtype)
        for name, x in tensors.items()
        if x.ndim == 1 or name.endswith("bias")
    }
    save_file(tensors, file, {"format": "pt"})
    return type(model).from_pretrained(folder, dtype=dtype)


def embedded_model(_, dtype="float64"):
    return BertModel.from_pretrained(EMBEDDED_CHECKPOINT, dtype=dtype)


def pairs(vocab_size, left=False, seed=5):
    """Draw pairs of texts, [CLS] A [SEP] B [SEP], two of them padded."""
    random, shape = np.random.default_rng(seed), (3, 11)
    ids, mask, types = (np.zeros(shape, int) for _ in range(3))
    for row, (n, first) in enumerate(((11, 6), (6, 3), (9, 4))):
        start = shape[1] - n if left else 0
        real = slice(start, start + n)
        ids[row, real] = [2, *random.integers(5, vocab_size - 1, n - 1)]
        ids[row, [start + first - 1, start + n - 1]] = 3
        mask[row, real], types[row, start + first : start + n] = 1, 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def as_plain(inputs):
    """Return what plain_bert's BERT takes."""
    mask = inputs["attention_mask"] != 0
    return {
        "ids": inputs["input_ids"],
        "types": inputs["token_type_ids"],
        "positions": np.broadcast_to(np.arange(mask.shape[1]), mask.shape),
        "mask": mask,
        "allowed": mask[:, None],
    }


HIDDEN = r"layer\.\d"
LAST = f"layer.{LAYERS - 1}"
WAYS = {
    "all": lambda stage: True,
    "hidden": lambda stage: re.fullmatch(rf"embeddings|{HIDDEN}|pooler", stage),
    "last": lambda stage: stage in (LAST, "pooler"),
    "ends": lambda stage: stage in ("embeddings", LAST),
}


@dataclass(frozen=True, repr=False)
class Outcome:
    """What was said of a fault in one way of recording.

    state: "named", "among" (with others), "wrong" (another cause alone), "silent" (no cause),
    "missed" (no fault, or at another stage), "nothing" (it changes nothing beyond rounding).
    """

    fault: Fault
    way: str
    state: str
    verdict: str
    seconds: float

    def __repr__(self):
        return f"\n{self.state}, {self.way}: {self.fault.kind}: {self.fault.name}: {self.verdict}"


class Planting:
    """A model whose faults are recorded; what it is without any is computed once."""

    plain, as_plain, draw = Bert, staticmethod(as_plain), staticmethod(pairs)  # of an architecture
    ways, last = WAYS, LAST  # and its last state

    def __init__(self, model, dtype="float64"):
        self.model, self.dtype, self.clean = model, dtype, {}
        self.inputs = {left: self.draw(model.config.vocab_size, left) for left in (False, True)}

    def run(self, plant=lambda bert: None, left=False, dtype=None):
        kind = np.dtype(dtype or self.dtype).type
        bert = self.plain(self.model, self.as_plain(self.inputs[left]), kind)
        plant(bert)
        with np.errstate(over="ignore"):  # of float16
            return bert()

    @cached_property
    def order(self):
        return list(self.run())

    def rounding(self, left):
        """Return what the right program computes, and what float32 does to each stage of it."""
        if left not in self.clean:
            exact, single = (self.run(left=left, dtype=t) for t in ("float64", "float32"))
            plain = self.as_plain(self.inputs[left])
            real = plain["mask"], plain.get("source_mask", plain["mask"])
            off = {name: rms(name, single[name] - exact[name], *real) for name in exact}
            self.clean[left] = exact, off, real
        return self.clean[left]

    def changed(self, stages, left):
        """Tell whether any stage differs by more than float32 rounds."""
        exact, off, real = self.rounding(left)
        return any(
            x.shape != exact[name].shape or rms(name, x - exact[name], *real) > ROUNDING * off[name]
            for name, x in stages.items()
        )

    def outcome(self, fault, way):
        # no program of short products writes float64's digits
        stages = self.run(fault.plant, fault.left, "float32" if fault.precise else None)
        if way in ("last", "ends") and self.last == LAST:  # whatever number the last layer has
            stages[LAST] = [x for name, x in stages.items() if re.fullmatch(HIDDEN, name)][-1]
        stages = {name: x for name, x in stages.items() if self.ways[way](name)}
        if not fault.precise and not self.changed(stages, fault.left):
            return Outcome(fault, way, "nothing", "", 0.0)
        start = time.perf_counter()
        report = verify(self.model, Reference(self.inputs[fault.left], stages))
        seconds = time.perf_counter() - start
        return Outcome(fault, way, self.judged(fault, way, stages, report), report.verdict, seconds)

    def judged(self, fault, way, stages, report):
        first = report.first_failure
        words = fault.words if way == "all" or not fault.partly else f"{fault.words}|{fault.partly}"
        if fault.precise and re.search(words, report.verdict, re.IGNORECASE):
            return "named"
        if first is None and not report.ok:
            return "silent"  # it may be rounding
        if first is None or not (fault.precise or self.is_at(first.stage, fault.stage, stages)):
            return "missed"
        if first.cause is None:
            return "silent"
        said = re.sub(r", this model .*?(?=; or, |$)", "", first.cause)
        if fault.precise or not re.search(words, said, re.IGNORECASE):
            return "wrong"
        return "among" if "told apart" in said else "named"

    def is_at(self, found, expected, stages):
        """Tell whether a fault is at its first stage, or the first recorded one after that."""
        first = next(i for i, name in enumerate(self.order) if re.fullmatch(expected, name))
        after = (name for name in self.order[first:] if name in stages)
        return re.fullmatch(expected, found) or found == next(after, None)


def rms(name, error, real, source):
    """Return the root mean square over real tokens, queries and keys."""
    keys = source if name.startswith("encoder.") or ".cross_attention." in name else real
    seen = "cross_attention.key", "cross_attention.value"
    if name.startswith("encoder.") or name.endswith(seen):
        real = source
    error = np.clip(error, -1e100, 1e100).astype(np.float64)  # of what a mask adds
    if error.ndim == 4:
        places = np.broadcast_to(real[:, None, :, None] & keys[:, None, None], error.shape)
    else:
        places = real if error.ndim == 3 else np.ones(len(error), bool)
    return float(np.sqrt(np.mean(error[places] ** 2)))


# what plants


def given(change):
    """Plant other inputs: change(ids, mask, types, positions) returns those that differ."""

    def plant(bert):
        inputs = {name: x for name, x in bert.inputs.items() if name != "allowed"}
        bert.inputs |= change(**inputs)

    return plant


def weights(pattern, change):
    """Plant other arrays in place of those whose whole name fits a pattern."""

    def plant(bert):
        for name, x in bert.weights.items():
            if re.fullmatch(pattern, name):
                bert.weights[name] = change(x.copy()).astype(x.dtype)

    return plant


def step(name, new, where=".*"):
    """Plant another step at the places that fit a pattern: new(bert, old, place, ...)."""

    def plant(bert):
        old = getattr(bert, name)
        bert.put(name, lambda *args: new(bert, old, *args), lambda at: re.fullmatch(where, at))

    return plant


def both(*plants):
    def plant(bert):
        for one in plants:
            one(bert)

    return plant
