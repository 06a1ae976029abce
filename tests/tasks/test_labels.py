import re

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


@pytest.mark.parametrize(
    "said",
    [
        {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}},
        {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"},
        {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Tanh"}},
        {"sbert_ce_default_activation_function": "torch.nn.Sigmoid", "problem_type": "regression"},
    ],
)
@pytest.mark.parametrize("count", [1, 3])
def test_the_config_of_a_cross_encoder_says_what_a_score_is(config, tokenizer, said, count):
    some = BertConfig.from_dict({**config.to_dict(), **said}, num_labels=count)
    model = BertForSequenceClassification(some, seed=1)
    logits = model(**tokenizer("the cat .", "it .", return_tensors="np")).logits[0]
    functions = {
        "Identity": lambda x: x,
        "Tanh": np.tanh,
        "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    }
    (scores,) = (function(logits) for name, function in functions.items() if name in str(said))
    found = classify("the cat .", "it .", model=(model, tokenizer))
    assert [label["score"] for label in found] == pytest.approx(np.sort(scores)[::-1])


@pytest.mark.parametrize(
    "said",
    [
        {"sbert_ce_default_activation_function": "torch.nn.Sigmoid"},
        {"sentence_transformers": {"activation_fn": "torch.nn.Sigmoid"}},
    ],
)
def test_the_folder_of_a_cross_encoder_stands_above_its_config(tmp_path, config, tokenizer, said):
    some = BertConfig.from_dict({**config.to_dict(), **said}, num_labels=1)
    BertForSequenceClassification(some, seed=1).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (squeezed,) = classify("the cat .", model=tmp_path)
    own = tmp_path / "config_sentence_transformers.json"
    own.write_text('{"activation_fn": "torch.nn.modules.linear.Identity"}')
    (plain,) = classify("the cat .", model=tmp_path)
    assert squeezed["score"] == pytest.approx(1 / (1 + np.exp(-plain["score"])))
    own.write_text('{"activation_fn": "my.module.Squash"}')
    with pytest.raises(ValueError, match=r"activation function 'my.module.Squash' is not known"):
        classify("the cat .", model=tmp_path)


SHORT = "the unhappy cats lay on rugs ."
LONG = "Who sat in the unhappy house, on unhappy rugs, dogs? " * 4
PEOPLE = {"id2label": {0: "O", 1: "B-PER", 2: "I-PER"}}
PLACES = {"id2label": {0: "LOC", 1: "O", 2: "I-LOC"}}
#: A text, labels, a seed, an aggregation, and the entities that the pipeline of transformers 5.24
#: finds, with their scores; a window on LONG holds 29 tokens and repeats 3.
ENTITIES = [
    (SHORT, PEOPLE, 1, "simple", [(0, 9), (12, 15), (17, 20), (24, 28)], [9274, 9409, 8718, 7120]),
    (SHORT, PEOPLE, 1, "first", [(0, 20), (24, 28)], [9071, 7579]),
    (SHORT, PEOPLE, 1, "average", [(0, 20), (24, 28)], [7796, 7120]),
    (SHORT, PEOPLE, 1, "max", [(0, 20), (24, 28)], [9078, 7579]),
    (SHORT, PEOPLE, 2, "first", [], []),
    (SHORT, PEOPLE, 3, "average", [(0, 16), (17, 30)], [5508, 5747]),
    (SHORT, PLACES, 3, "first", [(21, 23), (29, 30)], [5674, 6819]),
    (
        *(LONG, PEOPLE, 2, "simple"),
        [(15, 17), (33, 35), (38, 40), (68, 70), (73, 75), (76, 81), (147, 150)],
        [5447, 5895, 5111, 5314, 4696, 5771, 4670],
    ),
    (
        *(LONG, PEOPLE, 2, "first", [(15, 22), (33, 40), (68, 75), (76, 81), (147, 151)]),
        [5447, 5895, 5314, 5771, 4670],
    ),
    (LONG, PLACES, 2, "average", [(0, 32), (41, 75), (76, 156)], [5403, 5419, 5824]),
    (
        *(LONG, PLACES, 17, "simple"),
        *([(0, 45), (47, 85), (91, 116), (121, 123), (150, 211)], [5195, 5602, 4810, 3706, 5322]),
    ),
    (
        *(LONG, PLACES, 36, "simple"),
        *([(0, 73), (76, 156), (182, 197), (200, 211)], [5605, 5194, 6674, 6764]),
    ),
    (LONG, PLACES, 2, "max", [(0, 32), (41, 75), (76, 156)], [5519, 5609, 6006]),
]


@pytest.mark.parametrize(("text", "labels", "seed", "aggregation", "places", "scores"), ENTITIES)
def test_entities_are_put_together(
    config, tokenizer, text, labels, seed, aggregation, places, scores
):
    some = BertConfig.from_dict(config.to_dict(), **labels)
    model = BertForTokenClassification(some, seed=seed)
    found = tag(text, aggregation, model=(model, tokenizer), entities=True, stride=3)
    assert [(entity["start"], entity["end"]) for entity in found] == places
    assert [round(entity["score"] * 10_000) for entity in found] == pytest.approx(scores, abs=1)
    assert {entity["entity_group"] for entity in found} <= {labels["id2label"][2][2:]}
    assert all(text[one["start"] : one["end"]] == one["word"] for one in found)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("aggregation", ["first", "average", "max"])
@pytest.mark.parametrize("stride", [1, 2, 64])
def test_every_word_of_a_long_text_has_one_label(config, tokenizer, side, aggregation, stride):
    model = BertForTokenClassification(with_labels(config), seed=1)
    tokenizer.truncation_side = side
    for shift in range(8):
        text = "it " * shift + LONG + "un" + "happyhappys" * 12 + " cats"  # of 37 pieces, and of 2
        found = tag(text, aggregation, (model, tokenizer), stride=stride)
        assert [word["word"] for word in found] == re.findall(r"\w+|[,?]", text)
        assert all(text[one["start"] : one["end"]] == one["word"] for one in found)


def test_a_word_is_labelled_where_all_of_it_is_seen_and_by_the_surer_window(config, tokenizer):
    model = BertForTokenClassification(with_labels(config), seed=1)
    for shift in range(8):
        text = "it " * shift + LONG
        windows = {"truncation": True, "stride": 6, "return_overflowing_tokens": True}
        seen = {}
        for row in tokenizer(text, max_length=31, **windows).encodings:
            probabilities = softmax(model([row.ids]).logits)[0]
            for number in sorted({*row.word_ids} - {None}):
                pieces = [i for i, word in enumerate(row.word_ids) if word == number]
                score = probabilities[pieces].mean(axis=0).max()
                seen[number] = max(seen.get(number, (0, 0)), (len(pieces), score))
        found = tag(text, "average", (model, tokenizer), stride=6)
        expected = [score for _, (_, score) in sorted(seen.items())]
        assert [word["score"] for word in found] == pytest.approx(expected)


def test_a_text_that_fits_is_labelled_as_ever(config, tokenizer):
    model = BertForTokenClassification(with_labels(config), seed=1)
    whole = tag(SHORT, model=(model, tokenizer))
    assert tag(SHORT, model=(model, tokenizer), stride=1) == whole
    assert tag("", model=(model, tokenizer)) == []
    probabilities = softmax(model(**tokenizer(SHORT, return_tensors="np")).logits)[0]
    assert whole[0]["score"] == pytest.approx(probabilities[1].max())


def test_a_stride_is_a_whole_number(config, tokenizer):
    with pytest.raises(ValueError, match="stride is 0; allowed: a whole number from 1"):
        tag("the cat", model=(BertForTokenClassification(config), tokenizer), stride=0)
