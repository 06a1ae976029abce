"""Every known mistake is told in its own phrase, and the right answer is not."""

import re
from dataclasses import asdict
from functools import cache

import numpy as np
import pytest
from students import as_given, ours

from minibert import functions, grade
from minibert.grading.cases import cases
from minibert.mistakes.gradients import is_derivative
from minibert.mistakes.table import MISTAKES, mistakes_of
from minibert.runtime.swap import OPERATIONS, several

ALL = [(name, *mistake) for name in sorted(OPERATIONS) for mistake in mistakes_of(name)]
EACH = pytest.mark.parametrize(("name", "phrase", "mistake"), ALL)

#: (operation, phrase) -> the phrase of the same function that stands before it, and is told.
TWINS = {
    # as many queries as keys: their scores exchanged are scores transposed
    ("attention_scores", "rows and columns of the result exchanged"): "queries and keys swapped",
    # the root of 2 / pi in ten digits and in all
    ("gelu", "gelu_fast (tanh, constants cut short)"): "gelu_new (tanh)",
    # the factor is 1 / 2
    ("gelu", "a result that is too large, by one factor"): (
        "gelu without the factor before the bracket"
    ),
    # general mistakes that an operation has a phrase of its own for
    ("gelu", "the input returned unchanged"): "no activation",
    ("layer_norm", "the input returned unchanged"): "no norm",
    ("layer_norm", "the input added to the result"): "the input of the norm added to its result",
    ("pooler", "the input returned unchanged"): "no dense layer in the pooler",
    ("softmax", "the input returned unchanged"): "no softmax",
    # too small to be told from each other beside a variance of about 1
    ("layer_norm", "eps 1e-08"): "eps 1e-12",
    ("layer_norm", "eps 1e-07"): "eps 1e-12",
    ("layer_norm", "eps 1e-06"): "eps 1e-12",
    ("layer_norm", "eps 1e-06 outside of the root"): "eps 1e-12",
    ("layer_norm", "no eps"): "eps 1e-12",
    ("embeddings", "eps 1e-08"): "eps 1e-12",
    ("embeddings", "eps 1e-07"): "eps 1e-12",
    ("embeddings", "eps 1e-06"): "eps 1e-12",
    ("embeddings", "eps 1e-06 outside of the root"): "eps 1e-06",
    ("embeddings", "no eps"): "eps 1e-12",
}
#: Their input has another shape than their result.
NOT_ADDED = {"attention_context", "attention_scores", "embeddings", "merge_heads", "split_heads"}


@cache
def graded(name, mistake):
    return grade(**{name: as_given(mistake)})


@EACH
def test_every_mistake_is_told_in_its_own_phrase(name, phrase, mistake):
    result = graded(name, mistake)
    assert not result.ok
    if name in NOT_ADDED and phrase == "the input added to the result":
        assert result.cause.startswith("it raises ValueError: operands could not be broadcast")
    else:
        told = re.sub("^on [a-z 0-9]+, ", "", result.cause)
        assert told == TWINS.get((name, phrase), phrase)


def test_twins_are_in_the_table_and_the_one_that_is_told_comes_first():
    for (name, phrase), told in TWINS.items():
        phrases = [phrase for phrase, _ in mistakes_of(name)]
        assert phrases.index(told) < phrases.index(phrase)


def test_a_mistake_that_is_not_known_is_not_guessed():
    result = grade(gelu=lambda x: 0.9 * functions.gelu(x) + 0.01)
    assert result.cause == "its numbers are wrong, as by no mistake that is known"
    assert result.points == 0
    assert result.stage == "layer.0.feed_forward.activation"


@EACH
def test_the_right_answer_is_never_told(name, phrase, mistake):
    result = graded(name, mistake)
    fields = asdict(result)
    assert set(map(type, fields.values())) <= {str, float, int, tuple, type(None)}
    text = repr(result) + " ".join(map(str, fields.values()))
    text = re.sub(r"[\d.]+ of \d+ points", "", text).replace(str(result.points), "")
    for told in (r"\berf\b", "ddof", r"np\.", r"math\.", "lambda x", "keepdims", r"\*\*", "@"):
        assert name == "erf" or not re.search(told, text)
    text = re.sub(r"eps 0\.001\b", "", text)  # of the mistake itself
    numbers = re.findall(r"\d+(?:\.\d+)?", text)
    assert not [number for number in numbers if "." in number]
    for case in cases(name):
        right = [x.ravel() for x in several(ours(name)(*case.args, **case.options))]
        answer = {f"{abs(x):.3g}" for x in np.concatenate(right) if abs(x) not in (0, 1)}
        assert not {n for n in numbers if len(n) > 2} & answer


@EACH
def test_a_phrase_is_a_part_of_a_sentence(name, phrase, mistake):
    assert phrase == phrase.strip(" .")
    assert phrase[0].islower() or phrase.startswith("1 added")


def test_the_operations_of_the_table_can_be_swapped():
    assert set(MISTAKES) <= set(OPERATIONS)
    assert len(ALL) > 300


def test_general_mistakes_come_last():
    for name in OPERATIONS:
        own = len(MISTAKES.get(name, ()))
        assert mistakes_of(name)[:own] == MISTAKES.get(name, ())
        phrases = [phrase for phrase, _ in mistakes_of(name)[own:]]
        first = "the input returned unchanged"
        if name == "identity" or is_derivative(name):
            first = "zeros in place of a result"
        assert first in phrases if is_derivative(name) else phrases[0] == first
