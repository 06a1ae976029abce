"""Labels: the loss of each head by hand, and mistakes in a sentence."""

import re

import numpy as np
import pytest
from learning import KINDS, PAD, family, read, told, wide

import minibert


def entropy(logits, labels):
    """Return the mean of -log softmax at the labels, of what is not ignored."""
    logits, labels = logits.reshape(-1, logits.shape[-1]), np.ravel(labels)
    terms = np.log(np.exp(logits).sum(axis=1)) - logits[range(len(labels)), np.maximum(labels, 0)]
    return terms[labels != -100].mean()


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_that_of_the_logits(kind):
    model, inputs = wide(kind), read(kind, "none")
    labels = told(kind, inputs)
    output, plain = model(**inputs, **labels), model(**inputs)
    if kind == "BartForConditionalGeneration":  # which reads its labels, shifted
        plain = output
        read_there = np.where(labels["labels"] == -100, PAD, labels["labels"])
        read_there = np.insert(read_there[:, :-1], 0, 2, axis=1)
        again = model(**inputs, decoder_input_ids=read_there)
        np.testing.assert_allclose(again.logits, output.logits, rtol=0, atol=1e-13)
    assert output.keys()[0] == "loss"
    assert "loss" not in model(**inputs)
    given = labels.get("labels")
    if kind.endswith("QuestionAnswering"):
        sides = "start", "end"
        places = (np.clip(labels[f"{side}_positions"], 0, None) for side in sides)
        places = [np.where(x >= plain.start_logits.shape[1], -100, x) for x in places]
        logits = (plain[f"{side}_logits"] for side in sides)
        expected = np.mean([entropy(x, y) for x, y in zip(logits, places, strict=True)])
    elif kind == "GPT2LMHeadModel":
        expected = entropy(plain.logits[:, :-1], given[:, 1:])
    elif kind == "BertForPreTraining":
        follows = entropy(plain.seq_relationship_logits, labels["next_sentence_label"])
        expected = entropy(plain.prediction_logits, given) + follows
    else:
        expected = entropy(plain.logits, given)
    assert output.loss == pytest.approx(expected, rel=1e-13)
    assert model(**inputs, **labels, return_dict=False)[0] == output.loss


@pytest.mark.parametrize("kind", [x for x in KINDS if x.endswith("SequenceClassification")])
def test_problems(kind):
    """What labels are follows from them, unless the config says it."""
    inputs, several = read(kind), told(kind, read(kind), "multi_label_classification")["labels"]
    logits = wide(kind)(**inputs).logits
    squares = np.square(logits - several).mean()
    crossed = (np.log1p(np.exp(logits)) - logits * several).mean()
    for problem, expected in (
        (None, crossed),
        ("multi_label_classification", crossed),
        ("regression", squares),
    ):
        model = wide(kind, problem_type=problem)
        assert model(**inputs, labels=several).loss == pytest.approx(expected, rel=1e-13)
    one = wide(kind, num_labels=1)
    numbers = np.square(one(**inputs).logits[:, 0] - [1, 2, 3, 4]).mean()
    for labels in ([1, 2, 3, 4], [[1], [2], [3], [4]]):
        assert one(**inputs, labels=labels).loss == pytest.approx(numbers, rel=1e-13)


def test_labels_may_be_lists_and_have_an_axis_more():
    kind = "BertForSequenceClassification"
    model, inputs = wide(kind), read(kind)
    losses = {model(**inputs, labels=x).loss for x in ([0, 4, 1, 2], [[0], [4], [1], [2]])}
    assert len(losses) == 1


WHOLE = np.zeros((4, 13), int)
PADDED = "set it to -100"
MISTAKES = {
    "BertModel": [({"labels": WHOLE}, "BertModel takes no labels: without a head it has no loss")],
    "BertForTokenClassification": [
        ({"labels": WHOLE[:, :12]}, "labels has the shape (4, 12); needed: (4, 13)"),
        ({"labels": WHOLE[:2]}, "labels has the shape (2, 13); needed: (4, 13)"),
        ({"labels": WHOLE + 0.5}, "labels holds float64; needed: whole numbers"),
        ({"labels": WHOLE + 5}, "0 to 4, or -100 where there is nothing to learn"),
        ({"labels": WHOLE - 1}, "labels[0, 0] is -1"),
        ({"labels": WHOLE}, "labels[1, 8] is 0, and the token is padding"),
        ({"labels": WHOLE}, PADDED),
        ({"start_positions": [1] * 4}, "takes no start_positions: it takes labels"),
    ],
    "BertForMaskedLM": [
        ({"labels": WHOLE + 51}, "labels[0, 0] is 51"),
        ({"next_sentence_label": [0] * 4}, "BertForMaskedLM takes no next_sentence_label"),
    ],
    "BertForPreTraining": [
        ({"labels": WHOLE}, "has no loss without next_sentence_label"),
        ({"next_sentence_label": [0] * 4}, "has no loss without labels: it takes labels, next"),
    ],
    "BertForNextSentencePrediction": [
        ({"labels": [0, 1, 2, 0]}, "labels[2] is 2"),
        ({"labels": [0, 1]}, "labels has the shape (2,); needed: (4,)"),
    ],
    "BertForSequenceClassification": [
        ({"labels": [0, 1, 2, 5]}, "labels[3] is 5"),
        ({"labels": np.zeros((4, 3))}, "needed: (4, 5), for multi_label_classification"),
        ({"labels": ["a", "b", "c", "d"]}, "labels holds text; needed: the numbers"),
    ],
    "BertForMultipleChoice": [({"labels": [0, 1, 2, 0]}, "labels[2] is 2")],
    "BertForQuestionAnswering": [
        ({"start_positions": [1] * 4}, "has no loss without end_positions"),
        (
            {"start_positions": [1] * 4, "end_positions": [1, 9, 1, 1]},
            "end_positions[1] is 9, where attention_mask says padding",
        ),
        ({"start_positions": [1, 2], "end_positions": [1] * 4}, "start_positions has the shape"),
    ],
    "GPT2LMHeadModel": [
        ({"labels": WHOLE}, "labels[1, 9] is 0, and the token before it is padding"),
        ({"labels": WHOLE + 53}, "labels[0, 0] is 53"),
    ],
    "GPT2ForSequenceClassification": [({"labels": [0, 1, 2, 5]}, "labels[3] is 5")],
    "BartModel": [({"labels": WHOLE}, "BartModel takes no labels: without a head")],
    "BartForConditionalGeneration": [
        ({"labels": WHOLE - 7}, "labels[0, 0] is -7; allowed: 0 to 46"),
        ({"labels": WHOLE + 0.5}, "labels holds float64; needed: whole numbers"),
    ],
    "BartForSequenceClassification": [({"labels": [0, 1, 2]}, "needed: (4,)")],
}
CASES = [(kind, *case) for kind, cases in MISTAKES.items() for case in cases]


@pytest.mark.parametrize(("kind", "labels", "said"), CASES)
def test_a_mistake_is_told_in_a_sentence(kind, labels, said):
    model, inputs = wide(kind), read(kind)
    if family(kind) == "Bart":
        inputs.pop("decoder_input_ids", None)
    for call in (
        lambda: model(**inputs, **labels),
        lambda: minibert.gradients(model, inputs, labels),
    ):
        with pytest.raises((TypeError, ValueError), match=re.escape(said)):
            call()


def test_labels_that_are_read_need_a_padding_token():
    kind = "BartForConditionalGeneration"
    inputs = read(kind)
    with pytest.raises(ValueError, match="the config no pad_token_id to read there"):
        wide(kind, pad_token_id=None)(**inputs, **told(kind, inputs))


def test_an_end_must_be_told_where_there_is_no_padding_token():
    kind = "GPT2ForSequenceClassification"
    with pytest.raises(ValueError, match="no pad_token_id, and there is no attention_mask"):
        wide(kind, pad_token_id=None)(read(kind)["input_ids"], labels=[0, 1, 2, 3])
