"""The catalogue of wrong derivatives: each is found where it is, most are named."""

import dataclasses
import re

import pytest
from going_back import drawn, recorded
from planted_gradients import FAULTS

from minibert import swap, verify
from minibert.layers import Layer
from minibert.trace import Onward
from minibert.training.kept import Gradients, Kept

NAMED = 0.95


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    model = drawn(tmp_path_factory.mktemp("model"), "BertForMaskedLM")
    found = []
    for fault in FAULTS:
        with swap(**{fault.operation: fault.function}):
            reference = recorded(model)
        first = verify(model, reference).first_failure
        found.append((fault, first and first.stage, (first and first.cause) or ""))
    return found


def test_there_are_enough_of_them():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 40


def test_every_one_is_found_at_its_place(outcomes):
    missed = [(f.name, at) for f, at, _ in outcomes if not (at and re.fullmatch(f.stage, at))]
    assert missed == []


def test_most_are_named(outcomes):
    silent = [(f.name, said) for f, _, said in outcomes if not (said and re.search(f.words, said))]
    assert len(silent) <= (1 - NAMED) * len(outcomes), silent


def residual_lost(self, grad, x, back):
    inner, outer = back.within("feed_forward"), back.within("norm")
    grad = self.norm.backward(grad, x + back.kept("feed_forward"), outer)
    return self.feed_forward.backward(back("feed_forward", grad), x, inner)


def part_lost(self, grad, x, back):
    residual_lost(self, grad, x, back)
    return self.norm.backward(grad, x + back.kept("feed_forward"), Onward())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (residual_lost, "no gradient around the part"),
        (part_lost, "the gradient around the part (residual) alone"),
    ],
)
def test_a_residual_that_is_lost(monkeypatch, tmp_path, wrong, words):
    model = drawn(tmp_path, "BertForMaskedLM")
    with monkeypatch.context() as patch:
        patch.setattr(Layer, "_fed_backward", wrong)
        reference = recorded(model)
    first = verify(model, reference).first_failure
    assert first.stage == "grad.layer.1.attention"
    assert words in first.cause


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "GPT2LMHeadModel"])
@pytest.mark.parametrize(
    ("owner", "words"),
    [("head", "where words are looked up alone"), ("words", "counted at the head alone")],
)
def test_a_shared_matrix_that_is_counted_once(tmp_path, kind, owner, words):
    model = drawn(tmp_path, kind)
    reference = recorded(model)
    batch = model.batch(**reference.inputs)
    kept = Kept()
    back = Gradients(kept)
    model.learn(batch, kept, back)
    head = "decoder.weight" if kind.startswith("Bert") else "lm_head.weight"
    grad = back.found[head if owner == "words" else "embeddings.word"]
    name = next(x for x in reference.stages if x.endswith(("word_embeddings.weight", "wte.weight")))
    wrong = dataclasses.replace(reference, stages={**reference.stages, name: grad})
    report = verify(model, wrong)
    assert [row.stage for row in report.faults] == [name]
    assert words in report.first_failure.cause
