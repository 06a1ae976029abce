"""Gradients beside transformers' autograd, now: of every weight with every head, of every stage."""

import copy

import numpy as np
import pytest
from autograd import autograd
from learning import KINDS, POOLED, read, told
from wide_theirs import drawn

import minibert
from minibert.functions import ACTIVATIONS

REASON = "a live check: pip install torch==2.13.0, then transformers"
torch = pytest.importorskip("torch", reason=REASON)
transformers = pytest.importorskip("transformers", reason=REASON)

DRAWS, SIZE = 8, 24
PLACES = [
    (kind, padding)
    for kind in KINDS
    for padding in ("right", "left", "holes")
    if padding == "right" or kind not in POOLED  # where transformers pools padding
]


def compare(folder, kind, inputs, labels, **options):
    """Compare a loss and all gradients, in float64."""
    model = drawn(folder, kind, **options).double()
    loss, expected, _ = autograd(model, inputs, labels)
    ours = getattr(minibert, kind).from_pretrained(folder, "float64")
    found_loss, found = minibert.gradients(ours, inputs, labels)
    assert found_loss == pytest.approx(loss, rel=0, abs=1e-11)
    assert ours(**inputs, **labels).loss == found_loss
    if options.get("tie_word_embeddings") is False:  # the decoder has a bias of its own
        assert not expected.pop("cls.predictions.bias", np.zeros(1)).any()
    assert {*found} == {*expected} == {*ours.state_dict()} - {"final_logits_bias"}
    for name, grad in expected.items():
        assert found[name].shape == grad.shape
        np.testing.assert_allclose(found[name], grad, rtol=0, atol=1e-11, err_msg=name)
    assert max(np.abs(grad).max() for grad in found.values()) > 1e-3


@pytest.mark.parametrize(("kind", "padding"), PLACES)
def test_every_gradient_is_that_of_autograd(tmp_path, kind, padding):
    inputs = read(kind, padding)
    compare(tmp_path, kind, inputs, told(kind, inputs))


OPTIONS = {
    "GPT2LMHeadModel": (
        {"scale_attn_by_inverse_layer_idx": True, "layer_norm_epsilon": 1e-3},
        {"scale_attn_weights": False, "tie_word_embeddings": False},
    ),
    "BertForMaskedLM": ({"tie_word_embeddings": False}, {"layer_norm_eps": 1e-2}),
    "BertForPreTraining": ({"tie_word_embeddings": False},),
    "BartForConditionalGeneration": (
        {"scale_embedding": True},
        {"scale_embedding": True, "tie_word_embeddings": False},
    ),
    "BartForSequenceClassification": ({"scale_embedding": True, "tie_word_embeddings": False},),
    "GPT2ForTokenClassification": ({"n_head": 1, "n_inner": None},),
}


@pytest.mark.parametrize(
    ("kind", "options"),
    [(kind, one) for kind, several in OPTIONS.items() for one in several],
    ids=str,
)
def test_with_options(tmp_path, kind, options):
    inputs = read(kind)
    compare(tmp_path, kind, inputs, told(kind, inputs), **options)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_with_each_activation(tmp_path, name):
    for kind, field in (
        ("BertForMaskedLM", "hidden_act"),
        ("GPT2LMHeadModel", "activation_function"),
    ):
        inputs = read(kind)
        compare(tmp_path / kind, kind, inputs, told(kind, inputs), **{field: name})


@pytest.mark.parametrize("problem", ["regression", "multi_label_classification"])
@pytest.mark.parametrize("kind", [x for x in KINDS if x.endswith("SequenceClassification")])
def test_each_problem(tmp_path, kind, problem):
    inputs = read(kind)
    if not kind.startswith("Bart"):
        compare(tmp_path / "told", kind, inputs, told(kind, inputs, problem), problem_type=problem)
    labels = told(kind, inputs, problem)
    if problem == "regression":
        one = {"labels": labels["labels"][:, 0]}
        compare(tmp_path / "one", kind, inputs, one, num_labels=1)
    else:
        compare(tmp_path / "guessed", kind, inputs, labels)


def test_more_inputs(tmp_path):
    random = np.random.default_rng(3)
    places = np.sort(random.integers(0, 29, (4, 13)))  # some twice
    for kind in ("BertForTokenClassification", "GPT2LMHeadModel"):
        inputs = {**read(kind), "position_ids": places}
        compare(tmp_path / kind, kind, inputs, told(kind, inputs))
    kind = "GPT2LMHeadModel"
    inputs = {**read(kind), "token_type_ids": random.integers(0, 53, (4, 13))}
    for tied in (True, False):
        compare(tmp_path / str(tied), kind, inputs, told(kind, inputs), tie_word_embeddings=tied)


@pytest.mark.parametrize("kind", ["BertForTokenClassification", "GPT2ForTokenClassification"])
def test_vectors_in_place_of_words(tmp_path, kind):
    inputs = read(kind)
    labels = told(kind, inputs)
    del inputs["input_ids"]
    inputs["inputs_embeds"] = np.random.default_rng(3).standard_normal((4, 13, 45))
    compare(tmp_path, kind, inputs, labels)


def test_what_is_written_is_padded_too(tmp_path):
    written = np.ones((4, 11), int)
    written[1, 7:], written[2, :2], written[3, [2, 3, 7]] = 0, 0, 0
    kind = "BartForQuestionAnswering"
    inputs = {**read(kind, "holes"), "decoder_attention_mask": written}
    compare(tmp_path / "answers", kind, inputs, told(kind, inputs))
    kind = "BartForConditionalGeneration"
    ids = np.random.default_rng(3).integers(3, 47, (4, 11))
    inputs = {**read(kind), "decoder_input_ids": ids, "decoder_attention_mask": written}
    compare(tmp_path / "words", kind, inputs, {"labels": np.where(written, ids[:, ::-1], -100)})


@pytest.mark.parametrize("count", [2, 3])
def test_several_choices(tmp_path, count):
    kind = "BertForMultipleChoice"
    inputs = {name: np.stack([x] * count, 1) for name, x in read("Bert").items()}
    inputs["input_ids"] = (inputs["input_ids"] + np.arange(count)[:, None]) % 51
    compare(tmp_path, kind, inputs, {"labels": np.array([0, count - 1, 0, count // 2])})


@pytest.mark.parametrize("kind", KINDS)
def test_float32_is_as_exact_as_torch(tmp_path, kind):
    """The RMS error of each gradient beside that of torch's float32, both from torch's float64."""
    model = drawn(tmp_path, kind)
    ours = getattr(minibert, kind).from_pretrained(tmp_path)
    errors, bars = {}, {}
    for seed in range(DRAWS):  # a single one would be chance
        inputs = read(kind, shape=(SIZE, 29), seed=seed)
        labels = told(kind, inputs, seed=seed)
        found = minibert.gradients(ours, inputs, labels)[1]
        single, exact = (
            autograd(x, inputs, labels)[1] for x in (model, copy.deepcopy(model).double())
        )
        for name, grad in exact.items():
            assert found[name].dtype == np.float32
            errors.setdefault(name, []).append(found[name] - grad)
            bars.setdefault(name, []).append(single[name] - grad)
    ratios = {name: _rms(errors[name]) / _rms(bars[name]) for name in errors}
    assert {name: ratio for name, ratio in ratios.items() if ratio > 1.5} == {}


def _rms(found):
    return float(np.sqrt(np.mean(np.square(found))))


@pytest.mark.parametrize(("kind", "padding"), PLACES)
def test_every_stage_is_that_of_its_module(tmp_path, kind, padding):
    model = drawn(tmp_path, kind).double()
    inputs = read(kind, padding)
    labels = told(kind, inputs)
    expected, found = autograd(model, inputs, labels)[2], {}
    ours = getattr(minibert, kind).from_pretrained(tmp_path, "float64")
    minibert.gradients(ours, inputs, labels, trace=found)
    assert [*found] == [f"grad.{name}" for name in expected]
    for name, stage in expected.items():
        grad = found[f"grad.{name}"]
        assert grad.shape == stage.shape
        np.testing.assert_allclose(grad, stage, rtol=0, atol=1e-11, err_msg=name)
