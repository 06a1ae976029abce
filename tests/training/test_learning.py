"""Gradients of whole models, without torch: by central differences, and by what must hold."""

import math
import re

import numpy as np
import pytest
from learning import KINDS, PAD, POOLED, arrays, read, rebuilt, told, wide

import minibert
from minibert.training.dropout import Dropout, none
from minibert.training.learning import learn

STEP = 1e-4
DROPOUT = {
    "Bert": {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.3},
    "GPT2": {"embd_pdrop": 0.2, "attn_pdrop": 0.3, "resid_pdrop": 0.25},
    "Bart": {"dropout": 0.2, "attention_dropout": 0.3, "activation_dropout": 0.25},
}
PLACES = [
    (kind, padding)
    for kind in KINDS
    for padding in ("right", "left", "holes")
    if padding == "right" or kind not in POOLED
]


def direction(model, seed=5):
    """Draw a change of all weights, of length 1, but of the padding's vector: it is not learnt."""
    random = np.random.default_rng(seed)
    found = {field: random.standard_normal(x.shape) for field, x in arrays(model).items()}
    for field, change in found.items():
        if field.endswith("embeddings.word"):
            change[PAD] = 0
        if field in model.buffers:
            change[:] = 0
    length = math.sqrt(sum(np.square(change).sum() for change in found.values()))
    return {field: change / length for field, change in found.items()}


def slope(model, batch, along, dropout, step=STEP):
    """Return the derivative of the loss along a change of the weights, by four more losses."""

    def central(step):
        ends = []
        for h in (step, -step):
            moved = {field: x + h * along[field] for field, x in arrays(model).items()}
            ends.append(learn(rebuilt(model, moved), batch, dropout)[0])
        return (ends[0] - ends[1]) / (2 * step)

    return (4 * central(step / 2) - central(step)) / 3


def check(model, inputs, labels, dropout=none, step=STEP):
    batch, along = model.batch(**inputs, **labels), direction(model)
    _, found = learn(model, batch, dropout)
    expected = slope(model, batch, along, dropout, step)
    assert abs(expected) > 1e-5
    assert sum(np.vdot(grad, along[x]) for x, grad in found.items()) == pytest.approx(
        expected, rel=1e-7
    )


@pytest.mark.parametrize(("kind", "padding"), PLACES)
def test_along_a_direction(kind, padding):
    inputs = read(kind, padding)
    check(wide(kind), inputs, told(kind, inputs))


@pytest.mark.parametrize("kind", KINDS)
def test_with_dropout_along_a_direction(kind):
    more = {} if kind == "GPT2ForSequenceClassification" else {"classifier_dropout": 0.35}
    model, inputs = wide(kind, **DROPOUT[kind[:4]], **more), read(kind)
    labels = told(kind, inputs)
    dropout = Dropout(model.dropouts(), (7, 3))
    check(model, inputs, labels, dropout)
    batch = model.batch(**inputs, **labels)
    assert learn(model, batch, dropout)[0] != learn(model, batch)[0]


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "BartForConditionalGeneration"])
def test_in_two_threads_along_a_direction(two_threads, kind):
    model, inputs = wide(kind, **DROPOUT[kind[:4]]), read(kind, "holes")
    check(model, inputs, told(kind, inputs), Dropout(model.dropouts(), (7, 3)))


@pytest.mark.parametrize("kind", ["BertForTokenClassification", "GPT2LMHeadModel"])
def test_with_a_mask_of_pairs(kind):
    inputs = read(kind, "none")
    pairs = np.random.default_rng(3).random((4, 13, 13)) < 0.6
    pairs[:, range(13), range(13)] = True
    labels = told(kind, inputs)
    check(wide(kind), {**inputs, "attention_mask": pairs.astype(int)}, labels)


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "BartForConditionalGeneration"])
def test_where_rows_hardly_vary(kind):
    """The norm's eps is as large as the variance."""
    model = wide(kind, **({"layer_norm_eps": 1e-4} if kind.startswith("Bert") else {}))
    small = 1e-2 if kind.startswith("Bert") else 3e-3
    tables = [x for x in arrays(model) if "embeddings." in x and "norm" not in x]
    model = rebuilt(model, {x: a * (small if x in tables else 1) for x, a in arrays(model).items()})
    inputs = read(kind)
    check(model, inputs, told(kind, inputs), step=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_every_tensor_has_its_gradient_and_a_second_time_the_same(kind):
    model, inputs = wide(kind, "float32"), read(kind)
    labels = told(kind, inputs)
    loss, found = minibert.gradients(model, inputs, labels)
    assert loss == model(**inputs, **labels).loss
    tensors = {k: x for k, x in model.state_dict().items() if k not in model.buffers}
    assert {*found} == {*tensors}
    for name, grad in found.items():
        assert (grad.shape, grad.dtype) == (tensors[name].shape, np.float32)
    again = minibert.gradients(model, inputs, labels)
    assert again[0] == loss
    assert all(np.array_equal(again[1][name], grad) for name, grad in found.items())


@pytest.mark.parametrize("padding", ["right", "holes"])
@pytest.mark.parametrize("kind", KINDS)
def test_threads_agree(two_threads, kind, padding):
    model, inputs = wide(kind), read(kind, padding)
    labels = told(kind, inputs)
    if padding == "holes" and kind in POOLED:
        inputs = read(kind, "left")
    trace, other = {}, {}
    loss, found = minibert.gradients(model, inputs, labels, trace=trace)
    again = minibert.gradients(model, inputs, labels)[1]
    minibert.set_num_threads(1)
    alone, expected = minibert.gradients(model, inputs, labels, trace=other)
    assert loss == pytest.approx(alone, rel=1e-14)
    for name, grad in expected.items():
        np.testing.assert_allclose(found[name], grad, rtol=0, atol=1e-14, err_msg=name)
        assert np.array_equal(found[name], again[name])
    assert [*trace] == [*other]
    for name, grad in other.items():
        np.testing.assert_allclose(trace[name], grad, rtol=0, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bias_of_keys_changes_nothing(kind):
    """It adds the same to all scores of a query: softmax takes it off again."""
    model, inputs = wide(kind), read(kind)
    found = learn(model, model.batch(**inputs, **told(kind, inputs)))[1]
    fields = [field for field in found if field.endswith("attention.key.bias")]
    assert len(fields) == {"Bert": 2, "GPT2": 3, "Bart": 2 + 3 + 3}[kind[:4]]
    for field in fields:
        assert np.abs(found[field]).max() < 1e-15
        assert np.abs(found[field.replace("key", "query")]).max() > 1e-7


@pytest.mark.parametrize(
    "kind", ["BertForMaskedLM", "GPT2LMHeadModel", "BartForConditionalGeneration"]
)
def test_a_tied_tensor_comes_once_with_all_that_uses_it(kind):
    inputs, parts = read(kind), ("decoder.weight", "lm_head.weight", "embeddings.word")
    tied, single = wide(kind), wide(kind, tie_word_embeddings=False)
    own = arrays(tied)
    shared = {x: own["embeddings.word"] for x in arrays(single) if x.endswith(parts)}
    zeros = {x: a * 0 for x, a in arrays(single).items() if x not in own}
    single = rebuilt(single, {**zeros, **own, **shared})
    once, each = (
        learn(model, model.batch(**inputs, **told(kind, inputs)))[1] for model in (tied, single)
    )
    assert len(shared) > 1
    assert not {*shared} & {*once} - {"embeddings.word"}
    assert all(np.abs(each[x]).max() > 1e-3 for x in shared if x != "embeddings.word")
    total = sum(each[x] for x in shared)
    np.testing.assert_allclose(once["embeddings.word"], total, rtol=0, atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_at_padding_changes_nothing(kind):
    model, inputs = wide(kind), read(kind)
    labels, mask = told(kind, inputs), inputs["attention_mask"] != 0
    changed = {**inputs, "input_ids": np.where(mask, inputs["input_ids"], 9)}
    if kind == "BartForSequenceClassification":  # which reads them, shifted
        written = np.insert(inputs["input_ids"][:, :-1], 0, 2, axis=1)
        inputs["decoder_input_ids"] = changed["decoder_input_ids"] = written
    (loss, found), (other, expected) = (
        minibert.gradients(model, x, labels) for x in (inputs, changed)
    )
    assert loss == other
    assert all(np.array_equal(found[name], grad) for name, grad in expected.items())


def test_the_vector_of_padding_is_not_trained():
    """As transformers' padding_idx: where its id is a word of a text, too."""
    for kind, name in (
        ("BertForTokenClassification", "bert.embeddings.word_embeddings.weight"),
        ("BartForQuestionAnswering", "model.shared.weight"),
    ):
        inputs = read(kind)
        for pad in (PAD, None):
            found = minibert.gradients(wide(kind, pad_token_id=pad), inputs, told(kind, inputs))[1]
            assert found[name][PAD].any() == (pad is None)
            assert found[name][5].any()


def test_sequences_without_a_label_do_not_count():
    kind = "BertForTokenClassification"
    model, inputs = wide(kind), read(kind)
    labels = told(kind, inputs)["labels"]
    labels[1] = labels[3] = -100
    loss, found = minibert.gradients(model, inputs, {"labels": labels})
    some = {name: x[[0, 2]] for name, x in inputs.items()}
    alone, expected = minibert.gradients(model, some, {"labels": labels[[0, 2]]})
    assert loss == pytest.approx(alone, rel=1e-14)
    for name, grad in expected.items():
        np.testing.assert_allclose(found[name], grad, rtol=0, atol=1e-15)
    loss, found = minibert.gradients(model, inputs, {"labels": np.full_like(labels, -100)})
    assert math.isnan(loss)
    assert not any(grad.any() for grad in found.values())


@pytest.mark.parametrize("kind", KINDS)
def test_stages_have_gradients(kind):
    model, inputs, stages = wide(kind), read(kind), {}
    labels = told(kind, inputs)
    model(**inputs, **labels, trace=stages)
    found = {f"grad.{next(iter(stages))}": "of another run"}
    minibert.gradients(model, inputs, labels, trace=found)
    assert [*found] == [f"grad.{stage}" for stage in model.stage_axes()]
    for stage, array in stages.items():
        grad = found[f"grad.{stage}"]
        assert (grad.shape, grad.dtype) == (array.shape, np.float64), stage
        assert grad.any(), stage
        if model.stage_axes()[stage].startswith(("BTC", "BSC")) and kind not in POOLED:
            assert not grad[(array == 0).all(axis=-1)].any()


def test_a_stage_that_drops_out_shows_the_gradient_of_what_it_shows():
    """A number that is dropped has none, and what is left has that of it times 1 / (1 - p)."""
    kind = "BertForTokenClassification"
    model, inputs, found = wide(kind, hidden_dropout_prob=0.5), read(kind), {}
    minibert.gradients(model, inputs, told(kind, inputs), seed=3, trace=found)
    real = inputs["attention_mask"] != 0
    assert 0.45 < (found["grad.embeddings"][real] == 0).mean() < 0.55
    assert 0.45 < (found["grad.layer.0.feed_forward"][real] == 0).mean() < 0.55
    assert found["grad.layer.0.attention"][real].all()


def test_mistakes_of_a_call_are_told_in_a_sentence():
    kind = "BertForTokenClassification"
    model, inputs = wide(kind), read(kind)
    labels = told(kind, inputs)
    for given, said in (
        ((inputs, {}), "labels is empty: there is no loss without any"),
        ((inputs, {"labels": None}), "labels is empty"),
        ((inputs, {"label": 1}), "labels has 'label', which is none; did you mean 'labels'?"),
        (({**inputs, **labels}, labels), "inputs has 'labels', which is none; there are input_ids"),
        (({**inputs, "decoder_input_ids": [[1]]}, labels), "inputs has 'decoder_input_ids'"),
        (({**inputs, "input_id": [[1]]}, labels), "none; did you mean 'input_ids'?"),
        (({"input_ids": [[1, 99]]}, {"labels": [[1, 1]]}), "input_ids[0, 1] is 99"),
    ):
        with pytest.raises(ValueError, match=re.escape(said)):
            minibert.gradients(model, *given)
    with pytest.raises(TypeError, match="labels is a list; needed: a dict"):
        minibert.gradients(model, inputs, [1, 2])
    with pytest.raises(ValueError, match="BertModel takes no labels: without a head"):
        minibert.gradients(wide("BertModel"), inputs, {"labels": inputs["input_ids"]})
