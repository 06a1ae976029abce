"""A function in the engine: the first wrong stage, other models, other references."""

import threading

import numpy as np
import pytest
from students import gelu, ours
from wide import WIDE

import minibert
from minibert import BertConfig, BertModel, Reference, functions, grade, swap


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("embeddings", "embeddings"),
        ("layer_norm", "embeddings"),
        ("linear", "layer.0.attention.query"),
        ("attention_scores", "layer.0.attention.scores"),
        ("softmax", "layer.0.attention.probabilities"),
        ("attention_context", "layer.0.attention.context"),
        ("attention", "layer.0.attention.context"),
        ("gelu", "layer.0.feed_forward.activation"),
        ("feed_forward", "layer.0.feed_forward"),
        ("pooler", "pooler"),
    ],
)
def test_the_first_wrong_stage(name, stage):
    assert grade(**{name: lambda *args: 1.5 * ours(name)(*args)}).stage == stage


def test_the_stages_of_a_layer_further_up(model, reference):
    """The engine calls gelu once a layer; a function with a memory fails at its second call."""
    whole, calls = (int(reference.real_tokens().sum()), 37), []

    def forgetful(x):
        calls.append(x.shape)
        return functions.gelu(x) * (2 if calls.count(whole) == 2 else 1)

    result = grade(gelu=forgetful, model=model, reference=reference)
    assert result.stage == "layer.1.feed_forward.activation"
    assert result.cause == "its numbers are wrong in the whole model, though not alone"
    assert result.wrong == ("the whole model",)


class Seen:
    """Keeps the shapes of what arrives."""

    def __init__(self, function):
        self.function, self.shapes = function, []

    def __call__(self, x):
        self.shapes.append(x.shape)
        return self.function(x)


def test_the_model_is_the_embedded_one_and_the_reference_what_was_recorded_of_it():
    recorded = Reference.load(minibert.EMBEDDED_CHECKPOINT / "reference.safetensors")
    wide = minibert.AutoConfig.from_pretrained(minibert.EMBEDDED_CHECKPOINT).intermediate_size
    seen = Seen(gelu)
    assert grade(gelu=seen, process=False)
    assert seen.shapes[-1] == (int(recorded.real_tokens().sum()), wide)


def test_another_model_is_its_own_reference():
    config = BertConfig(
        hidden_size=12,
        num_attention_heads=3,
        num_hidden_layers=1,
        intermediate_size=7,
        vocab_size=50,
        max_position_embeddings=5,
        hidden_act="silu",
    )
    small = BertModel(config, seed=0)
    assert grade(model=small, silu=ours("silu"))
    assert "the whole model" not in grade(model=small, gelu=gelu).right
    seen = Seen(ours("silu"))
    assert grade(model=small, silu=seen, process=False)
    assert seen.shapes[-1] == (5 + 3, 7)  # two sequences, the second of them padded
    result = grade(model=small, silu=lambda x: x)
    assert result.stage == "layer.0.feed_forward.activation"


def test_a_reference_of_ones_own(reference):
    assert grade(model=BertModel.from_pretrained(WIDE), reference=reference, gelu=gelu)
    other = Reference(reference.inputs, {"layer.0": 2 * reference.stages["layer.0"]})
    result = grade(model=BertModel.from_pretrained(WIDE), reference=other, gelu=gelu)
    assert result.stage == "layer.0"


def test_a_reference_that_does_not_fit_is_the_teachers_fault(model):
    other = Reference({"input_ids": np.array([[999]])}, {"layer.0": np.ones(1)})
    with pytest.raises(ValueError, match="input_ids"):
        grade(model=model, reference=other, gelu=gelu)


def test_within_a_swap_ours_is_ours():
    with swap(erf=lambda x: x, gelu=lambda x: x):
        assert grade(gelu=gelu)
        assert functions.gelu(np.array([2.0])) == 2


@pytest.mark.usefixtures("two_threads")  # which share what little there is to do
def test_the_number_of_threads_does_not_show():
    """What arrives, in which order, and where print writes: all as with one thread."""
    seen, before = [], minibert.get_num_threads()

    def student(x):
        seen[-1].append((threading.current_thread().name, x.shape))
        return gelu(x)

    for count in (1, 3):
        minibert.set_num_threads(count)
        seen.append([])
        assert grade(gelu=student, process=False)
        assert minibert.get_num_threads() == count
    minibert.set_num_threads(before)
    assert seen[0] == seen[1]
