"""What heads score: to learn, no more words than there are labels for."""

import numpy as np
import pytest
from learning import read, told, wide

import minibert
from minibert.models import labels

SCORERS = (
    "BertForMaskedLM",
    "BertForPreTraining",
    "GPT2LMHeadModel",
    "BartForConditionalGeneration",
)


def some_told(kind, inputs):
    """Return labels of which many are ignored."""
    found = told(kind, inputs)
    found["labels"] = np.where(
        np.arange(found["labels"].size).reshape(len(found["labels"]), -1) % 3, -100, found["labels"]
    )
    return found


@pytest.mark.parametrize("padding", ["right", "holes"])
@pytest.mark.parametrize("kind", SCORERS)
def test_words_are_scored_where_there_is_a_label(kind, padding, monkeypatch):
    model, inputs, shapes, trace, other = wide(kind), read(kind, padding), [], {}, {}
    told = some_told(kind, inputs)
    count = np.count_nonzero((told["labels"][:, 1:] if "GPT2" in kind else told["labels"]) != -100)
    cross_entropy = labels.cross_entropy

    def watched(logits, *more):
        shapes.append(logits.shape)
        return cross_entropy(logits, *more)

    monkeypatch.setattr(labels, "cross_entropy", watched)
    loss, found = minibert.gradients(model, inputs, told, trace=trace)
    assert shapes[0] == (count, model.config.vocab_size)
    monkeypatch.setattr(type(model), "choosing", lambda _, batch: batch)
    whole, expected = minibert.gradients(model, inputs, told, trace=other)
    assert count < shapes[len(shapes) // 2][0] / 2  # of all words
    assert loss == pytest.approx(whole, rel=1e-14)
    for name, grad in {**expected, **other}.items():
        np.testing.assert_allclose({**found, **trace}[name], grad, rtol=0, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("kind", [kind for kind in SCORERS if "Pre" not in kind])
def test_nothing_is_learnt_where_no_word_has_a_label(kind):
    inputs = read(kind)
    ignored = {name: np.full_like(x, -100) for name, x in told(kind, inputs).items()}
    more = {}
    if kind.startswith("Bart"):
        more["decoder_input_ids"] = inputs["input_ids"][:, :9]
    loss, found = minibert.gradients(wide(kind), {**inputs, **more}, ignored)
    assert np.isnan(loss)
    assert not any(grad.any() for grad in found.values())


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "GPT2LMHeadModel"])
def test_a_label_of_padding_is_refused(kind):
    inputs = read(kind)
    given = told(kind, inputs)
    given["labels"][1, 10] = 5
    with pytest.raises(ValueError, match=r"labels\[1, 10\] is 5, and the token.* is padding"):
        minibert.gradients(wide(kind), inputs, given)
