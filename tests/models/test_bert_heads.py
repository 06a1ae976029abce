"""BERT with each head, against what transformers computed with the same weights."""

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from wide import WIDE

from minibert import BertConfig
from minibert.models import bert_heads as heads
from minibert.models.bert_heads import (
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForNextSentencePrediction,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)
from minibert.verification.compare import real_places

HEADS = [
    BertForMaskedLM,
    BertForNextSentencePrediction,
    BertForPreTraining,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertForQuestionAnswering,
    BertForMultipleChoice,
]
RECORDED = load_file(Path(__file__).parent.parent / "data" / "heads.safetensors")
LABELLED = (BertForSequenceClassification, BertForTokenClassification)


def recorded(kind, part):
    """Return what was recorded for a class: its "weight" or its "output"."""
    start = f"{kind.__name__.removeprefix('BertFor')}/{part}/"
    return {k.removeprefix(start): v for k, v in RECORDED.items() if k.startswith(start)}


@pytest.fixture
def write(tmp_path):
    """Return what writes a checkpoint: the embedded encoder, and tensors of a head."""

    def write(head, prefix="bert.", **config):
        encoder = load_file(WIDE / "model.safetensors")
        tensors = {f"{prefix}{name}": value for name, value in encoder.items()} | head
        save_file(tensors, tmp_path / "model.safetensors")
        BertConfig.from_pretrained(WIDE, **config).save_pretrained(tmp_path)
        return tmp_path

    return write


@pytest.fixture
def loaded(write):
    """Return what loads a class with its recorded weights."""

    def loaded(kind, dtype="float64", **options):
        labels = {"num_labels": 11} if kind in LABELLED else {}
        return kind.from_pretrained(write(recorded(kind, "weight"), **labels), dtype, **options)

    return loaded


def inputs_of(kind, reference):
    inputs = dict(reference.inputs)
    if kind is BertForMultipleChoice:
        return {name: value[None] for name, value in inputs.items()}
    return inputs


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 3e-6)])
def test_a_head_says_what_transformers_says(loaded, reference, kind, dtype, tolerance):
    output = loaded(kind, dtype)(**inputs_of(kind, reference))
    expected = recorded(kind, "output")
    assert set(output.keys()) == set(expected)
    for name, theirs in expected.items():
        ours = output[name]
        assert (ours.shape, ours.dtype) == (theirs.shape, np.dtype(dtype)), name
        axes = "BTC"[: theirs.ndim] if theirs.shape[:2] == (5, 9) else "BC"
        real = reference.real_tokens()
        places = real_places("BTC", real)[..., 0] if axes == "BT" else real_places(axes, real)
        if kind is BertForMultipleChoice:
            places = np.ones((1, 5), bool)
        error = np.where(places, np.abs(ours - theirs), 0)
        assert error.max() <= tolerance * np.abs(theirs).max(), name


@pytest.mark.parametrize("kind", HEADS)
def test_stages_are_recorded_with_their_axes(loaded, reference, kind):
    model, trace = loaded(kind), {}
    model(**inputs_of(kind, reference), trace=trace)
    labels = {BertForQuestionAnswering: 2, BertForNextSentencePrediction: 2}.get(kind, 11)
    labels = {BertForPreTraining: 2, BertForMultipleChoice: 1}.get(kind, labels)
    sizes = {"B": 5, "T": 9, "C": 21, "H": 3, "F": 37, "V": 89, "L": labels}
    axes = model.stage_axes()
    assert set(trace) == set(axes)
    for name, letters in axes.items():
        assert trace[name].shape == tuple(sizes[letter] for letter in letters), name


@pytest.mark.parametrize("kind", HEADS)
def test_hidden_states_attentions_and_tuples(loaded, reference, kind):
    inputs = inputs_of(kind, reference)
    output = loaded(kind)(**inputs, output_hidden_states=True, output_attentions=True)
    assert output.keys()[-2:] == ("hidden_states", "attentions")
    assert (len(output.hidden_states), len(output.attentions)) == (3, 2)
    as_tuple = loaded(kind)(**inputs, return_dict=False)
    assert isinstance(as_tuple, tuple)
    np.testing.assert_array_equal(as_tuple[0], output[0])


@pytest.mark.parametrize("kind", HEADS)
def test_without_its_weights_a_head_is_drawn_with_one_warning(write, kind):
    with pytest.warns(UserWarning, match="newly initialized") as caught:
        model = kind.from_pretrained(write({}))
    assert len(caught) == 1
    drawn = model.loading_report.newly_initialized
    assert drawn
    assert not any(name.startswith(("embeddings.", "encoder.", "pooler.")) for name in drawn)


@pytest.mark.parametrize("kind", HEADS)
def test_a_drawn_model_works_and_counts_itself(kind):
    model = kind(BertConfig.from_pretrained(WIDE), seed=3)
    assert model.num_parameters() == sum(array.size for array in model.state_dict().values())
    ids = [[[1, 2, 3], [4, 5, 6]]] if kind is BertForMultipleChoice else [[1, 2, 3], [4, 5, 6]]
    assert all(np.isfinite(part).all() for part in model(ids).to_tuple())


class TestMaskedLM:
    def test_the_decoder_is_the_word_embeddings(self, loaded):
        model = loaded(BertForMaskedLM, "float32")
        assert model.decoder.weight is model.bert.embeddings.word

    def test_redundant_tensors_change_nothing(self, write, reference):
        weights = recorded(BertForMaskedLM, "weight")
        decoder = "cls.predictions.decoder"
        words = load_file(WIDE / "model.safetensors")["embeddings.word_embeddings.weight"]
        with_them = BertForMaskedLM.from_pretrained(write({**weights, f"{decoder}.weight": words}))
        assert with_them.decoder.weight is with_them.bert.embeddings.word
        assert set(with_them.loading_report.unused.values()) == {
            "belongs to the pooler, which this model has none of",
            "equal to the word embeddings, which serve",
            "equal to cls.predictions.bias, which serves",
        }
        expected = with_them(**reference.inputs).logits
        del weights[f"{decoder}.bias"]
        without = BertForMaskedLM.from_pretrained(write(weights))
        np.testing.assert_array_equal(without(**reference.inputs).logits, expected)

    def test_the_bias_is_added_once(self, loaded):
        model = loaded(BertForMaskedLM)
        bias = model.decoder.bias
        assert np.abs(bias).max() > 0.1
        logits = model([[5, 3, 8]]).logits
        model.decoder = dataclasses.replace(model.decoder, bias=np.zeros_like(bias))
        np.testing.assert_allclose(model([[5, 3, 8]]).logits + bias, logits, atol=1e-14)

    def test_untied_it_has_a_matrix_of_its_own(self, write):
        weights = recorded(BertForMaskedLM, "weight")
        del weights["cls.predictions.bias"]
        matrix = np.random.default_rng(0).normal(size=(89, 21)).astype(np.float32)
        weights["cls.predictions.decoder.weight"] = matrix
        folder = write(weights, tie_word_embeddings=False)
        model = BertForMaskedLM.from_pretrained(folder)
        np.testing.assert_array_equal(model.decoder.weight, matrix)

    @pytest.mark.parametrize("kind", [BertForMaskedLM, BertForPreTraining])
    @pytest.mark.parametrize("said", [{}, {"tie_word_embeddings": True}])
    @pytest.mark.parametrize("bias", ["cls.predictions.bias", "cls.predictions.decoder.bias"])
    def test_a_matrix_of_its_own_is_used_whatever_the_config_says(
        self, write, tmp_path, kind, said, bias
    ):
        weights = recorded(kind, "weight")
        own = weights.pop("cls.predictions.bias")
        weights.pop("cls.predictions.decoder.bias", None)
        matrix = np.random.default_rng(0).normal(size=(89, 21)).astype(np.float32)
        weights |= {"cls.predictions.decoder.weight": matrix, bias: own}
        model = kind.from_pretrained(write(weights, **said))
        model.save_pretrained(tmp_path / "again")
        for found in (model, kind.from_pretrained(tmp_path / "again")):
            assert not found.config.tie_word_embeddings
            np.testing.assert_array_equal(found.decoder.weight, matrix)
            np.testing.assert_array_equal(found.decoder.bias, own)

    @pytest.mark.parametrize("alone", [True, False])
    @pytest.mark.parametrize("prefix", ["bert.", ""])
    def test_a_bias_of_the_decoder_is_used(self, write, tmp_path, alone, prefix):
        weights = recorded(BertForMaskedLM, "weight")
        weights["cls.predictions.decoder.bias"] = own = np.linspace(-1, 1, 89, dtype=np.float32)
        if alone:
            del weights["cls.predictions.bias"]
        model = BertForMaskedLM.from_pretrained(write(weights, prefix))
        np.testing.assert_array_equal(model.decoder.bias, own)
        assert model.decoder.weight is model.bert.embeddings.word
        why = model.loading_report.unused.get("cls.predictions.bias")
        assert why == (None if alone else "the decoder has a bias of its own")
        model.save_pretrained(tmp_path / "again")
        again = BertForMaskedLM.from_pretrained(tmp_path / "again")
        np.testing.assert_array_equal(again.decoder.bias, own)

    def test_a_decoder_alone_serves_as_word_embeddings(self, write):
        words = load_file(WIDE / "model.safetensors")["embeddings.word_embeddings.weight"]
        folder = write(recorded(BertForMaskedLM, "weight"))
        tensors = load_file(folder / "model.safetensors")
        del tensors["bert.embeddings.word_embeddings.weight"]
        tensors["cls.predictions.decoder.weight"] = words
        save_file(tensors, folder / "model.safetensors")
        model = BertForMaskedLM.from_pretrained(folder)
        np.testing.assert_array_equal(model.bert.embeddings.word, words)
        assert model.decoder.weight is model.bert.embeddings.word

    def test_more_inside_the_head_is_refused(self, write):
        more = {"cls.predictions.transform.gate.weight": np.ones(3, np.float32)}
        with pytest.raises(ValueError, match=r"does not have: cls\.predictions\.transform\.gate"):
            BertForMaskedLM.from_pretrained(write(recorded(BertForMaskedLM, "weight") | more))

    def test_logits_only_where_they_are_asked_for(self, loaded, reference):
        model = loaded(BertForMaskedLM)
        where = np.zeros((5, 9), bool)
        where[[0, 0, 1, 4], [2, 7, 3, 8]] = True
        some = model.logits_at(where, **reference.inputs)
        assert some.shape == (4, 89)
        every = model(**reference.inputs).logits
        np.testing.assert_allclose(some, every[where], rtol=0, atol=1e-13)


def test_choices_of_another_shape_are_told():
    config = BertConfig.from_pretrained(WIDE)
    with pytest.raises(ValueError, match=r"input_ids has 2 dimension\(s\), shape \(1, 3\)"):
        BertForMultipleChoice(config)([[1, 2, 3]])


class TestMismatchedSizes:
    def test_another_number_of_labels_is_refused(self, write):
        folder = write(recorded(BertForSequenceClassification, "weight"))
        says = (
            r"classifier.weight' is \(11, 21\), expected \(3,.*; ignore_mismatched_sizes=True draws"
        )
        with pytest.raises(ValueError, match=says):
            BertForSequenceClassification.from_pretrained(folder, num_labels=3)

    def test_or_drawn_anew_if_that_is_wanted(self, write):
        folder = write(recorded(BertForSequenceClassification, "weight"))
        with pytest.warns(UserWarning, match=r"classifier\.weight, classifier\.bias"):
            model = BertForSequenceClassification.from_pretrained(
                folder, num_labels=3, ignore_mismatched_sizes=True
            )
        assert model([[1, 2, 3]]).logits.shape == (1, 3)
        assert model.loading_report.unused["classifier.weight"] == (
            "it is (11, 21), the config makes (3, 21)"
        )

    def test_the_encoder_is_never_drawn_anew(self, write):
        folder = write(recorded(BertForSequenceClassification, "weight"), num_labels=11)
        with pytest.raises(ValueError, match=r"dense\.weight' is \(37, 21\)") as caught:
            BertForSequenceClassification.from_pretrained(
                folder, intermediate_size=39, ignore_mismatched_sizes=True
            )
        assert "ignore_mismatched_sizes" not in str(caught.value)


def test_a_checkpoint_without_prefix_is_read_too(write, reference):
    weights = recorded(BertForTokenClassification, "weight")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = BertForTokenClassification.from_pretrained(
            write(weights, prefix="", num_labels=11), "float64"
        )
    real = reference.real_tokens()
    logits = model(**reference.inputs).logits[real]
    expected = recorded(BertForTokenClassification, "output")["logits"][real]
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-12)


def test_every_head_is_tested():
    kinds = {value for value in vars(heads).values() if isinstance(value, type)}
    named = {
        kind for kind in kinds if kind.__name__.startswith("BertFor") and hasattr(kind, "names")
    }
    assert named == set(HEADS)


@pytest.mark.parametrize("kind", LABELLED)
def test_more_labels_than_the_config_has_are_named_with_their_number(write, kind):
    head = {
        "classifier.weight": np.ones((7, 21), np.float32),
        "classifier.bias": np.zeros(7, np.float32),
    }
    folder = write(head)
    with pytest.raises(ValueError, match=r"they fit num_labels=7: .* draws the head anew"):
        kind.from_pretrained(folder)
    assert kind.from_pretrained(folder, num_labels=7).config.num_labels == 7
