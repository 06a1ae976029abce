import numpy as np
import pytest

from minibert import BertConfig
from minibert.functions import softmax
from minibert.models.bert_heads import BertForSequenceClassification, BertForTokenClassification
from minibert.tasks import classify, tag

LABELS = {"id2label": {0: "calm", 1: "glad", 2: "sad"}}


def with_labels(config, **changes):
    return BertConfig.from_dict(config.to_dict(), **LABELS, **changes)


def test_every_label_comes_with_its_probability(config, tokenizer):
    model = BertForSequenceClassification(with_labels(config), seed=1)
    found = classify("the dog is unhappy .", model=(model, tokenizer))
    logits = model(**tokenizer("the dog is unhappy .", return_tensors="np")).logits
    expected = softmax(logits)[0]
    assert {label["label"] for label in found} == {"calm", "glad", "sad"}
    assert [label["score"] for label in found] == pytest.approx(np.sort(expected)[::-1])
    assert found[0]["label"] == ("calm", "glad", "sad")[expected.argmax()]


@pytest.mark.parametrize(
    ("problem_type", "scores"),
    [
        ("multi_label_classification", lambda x: 1 / (1 + np.exp(-x))),
        ("regression", lambda x: x),
        ("single_label_classification", lambda x: np.exp(x) / np.exp(x).sum()),
    ],
)
def test_the_problem_type_says_what_a_score_is(config, tokenizer, problem_type, scores):
    model = BertForSequenceClassification(with_labels(config, problem_type=problem_type), seed=1)
    logits = model(**tokenizer("the cat .", "it .", return_tensors="np")).logits[0]
    found = classify("the cat .", "it .", model=(model, tokenizer))
    expected = np.sort(scores(logits.astype(np.float64)))[::-1]
    assert [label["score"] for label in found] == pytest.approx(expected, rel=1e-5)


def test_one_label_has_a_score_of_its_own(config, tokenizer):
    one = BertConfig.from_dict(config.to_dict(), num_labels=1)
    model = BertForSequenceClassification(one, seed=1)
    (found,) = classify("the cat .", model=(model, tokenizer))
    logit = float(model(**tokenizer("the cat .", return_tensors="np")).logits[0, 0])
    assert found["score"] == pytest.approx(1 / (1 + np.exp(-logit)))
    assert abs(found["score"] - 0.5) > 0.01


def test_pieces_are_joined_to_words(config, tokenizer):
    model = BertForTokenClassification(with_labels(config), seed=1)
    text = "The  unhappy cats, (on) rugs."
    found = tag(text, model=(model, tokenizer))
    assert [word["word"] for word in found] == [
        *("The", "unhappy", "cats", ",", "(", "on", ")", "rugs", ".")
    ]
    assert all(text[word["start"] : word["end"]] == word["word"] for word in found)


@pytest.mark.parametrize("aggregation", ["first", "average", "max"])
def test_whose_probabilities_count(config, tokenizer, aggregation):
    model = BertForTokenClassification(with_labels(config), seed=4)
    probabilities = softmax(model(**tokenizer("unhappy cats", return_tensors="np")).logits)[0]
    pieces = probabilities[1:4]  # un ##hap ##py
    sure = pieces[pieces.max(axis=1).argmax()]
    expected = {"first": pieces[0], "average": pieces.mean(axis=0), "max": sure}[aggregation]
    word = tag("unhappy cats", aggregation, model=(model, tokenizer))[0]
    assert word["label"] == ("calm", "glad", "sad")[expected.argmax()]
    assert word["score"] == pytest.approx(expected.max())


def test_another_aggregation_is_refused(config, tokenizer):
    model = BertForTokenClassification(config)
    with pytest.raises(ValueError, match="aggregation is 'sum'; allowed"):
        tag("the cat", "sum", model=(model, tokenizer))
