"""Every known mistake is told in its sentence, and the right answer is not."""

import re
from dataclasses import asdict

import numpy as np
import pytest
from students import as_given, ours

from minibert import functions, grade
from minibert.grading.cases import cases
from minibert.grading.mistakes import mistakes
from minibert.runtime.swap import OPERATIONS

MISTAKES = [(name, *mistake) for name in sorted(OPERATIONS) for mistake in mistakes(name)]


#: The same function under another name: the first of the two is told.
TWINS = {("attention_scores", "rows and columns of the result are exchanged"),
         ("gelu", "all of the result is too large, by one factor")}  # fmt: skip


@pytest.mark.parametrize(("name", "sentence", "mistake"), MISTAKES)
def test_every_mistake_is_told_in_its_own_sentence(name, sentence, mistake):
    result = grade(**{name: as_given(mistake)})
    assert not result.ok
    if "raises ValueError: operands could not" in result.cause:  # it cannot be made here
        assert sentence == "it adds its input to the result"
    elif (name, sentence) not in TWINS:
        assert result.cause.endswith(sentence)


def test_a_mistake_that_is_not_known_is_not_guessed():
    result = grade(gelu=lambda x: 0.9 * functions.gelu(x) + 0.01)
    assert result.cause == "its numbers are wrong, as by no mistake that is known"
    assert result.points == 0
    assert result.stage == "layer.0.feed_forward.activation"


@pytest.mark.parametrize(("name", "sentence", "mistake"), MISTAKES)
def test_the_right_answer_is_never_told(name, sentence, mistake):
    result = grade(**{name: as_given(mistake)})
    fields = asdict(result)
    assert set(map(type, fields.values())) <= {str, float, int, tuple, type(None)}
    text = repr(result) + " ".join(map(str, fields.values()))
    text = re.sub(r"[\d.]+ of \d+ points", "", text).replace(str(result.points), "")
    numbers = re.findall(r"\d+(?:\.\d+)?", text)
    assert not [number for number in numbers if "." in number]
    for case in cases(name):
        answer = {f"{abs(x):.3g}" for x in np.ravel(ours(name)(*case.args)) if abs(x) not in (0, 1)}
        assert not {n for n in numbers if len(n) > 2} & answer
    for told in (r"\berf\b", "ddof", r"np\.", r"math\.", "lambda x", "keepdims", r"\*\*", "@"):
        assert name == "erf" or not re.search(told, text)
