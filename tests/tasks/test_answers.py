import numpy as np
import pytest

from minibert.models.bert_heads import BertForQuestionAnswering
from minibert.tasks import answer

QUESTION = "where is the cat ?"
CONTEXT = "the dog lay on the rug . the cat sat in the red house , on a mat ."


class Oracle(BertForQuestionAnswering):
    """Wants to begin at one word and to end at another, wherever they stand in the row."""

    first, last, doubt = "red", "house", 0.0

    def __call__(self, input_ids, **inputs):
        output = super().__call__(input_ids, **inputs)
        for logits, token in ((output.start_logits, self.first), (output.end_logits, self.last)):
            logits[:] = 0
            logits[input_ids == self.tokenizer.convert_tokens_to_ids(token)] = 9
            logits[input_ids == self.tokenizer.cls_token_id] = self.doubt
        return output


@pytest.fixture
def oracle(config, tokenizer):
    model = Oracle(config)
    model.tokenizer = tokenizer
    return model


def ask(oracle, context=CONTEXT, question=QUESTION, **options):
    return answer(question, context, model=(oracle, oracle.tokenizer), **options)


def test_the_answer_is_a_span_of_the_context(oracle):
    found = ask(oracle)
    assert found["answer"] == "red house"
    assert CONTEXT[found["start"] : found["end"]] == "red house"
    assert 0.9 < found["score"] <= 1


def test_a_word_of_the_question_is_no_answer(oracle):
    oracle.first = oracle.last = "cat"  # stands in the question, too
    assert ask(oracle)["start"] == CONTEXT.index("cat")


def test_a_long_context_is_read_through_a_window(oracle):
    context = "the dog sat on the mat . " * 12 + CONTEXT
    found = ask(oracle, context)
    assert found["answer"] == "red house"
    assert found["start"] == context.index("red house")


def test_the_window_does_not_change_the_answer_at_its_edges(oracle):
    for shift in range(30):
        context = "it " * shift + CONTEXT
        assert ask(oracle, context)["answer"] == "red house"


class Doubter(BertForQuestionAnswering):
    """Points at "red"; in a window without it at [CLS], with "dog" far behind."""

    def __call__(self, input_ids, **inputs):
        output = super().__call__(input_ids, **inputs)
        red, dog, cls = map(self.tokenizer.convert_tokens_to_ids, ("red", "dog", "[CLS]"))
        without = ~(input_ids == red).any(axis=1, keepdims=True)
        for logits in (output.start_logits, output.end_logits):
            logits[:] = 2 * (input_ids == red) + 3 * (input_ids == dog)
            logits[(input_ids == cls) & without] = 9
        return output


def test_a_window_without_the_answer_does_not_win(config, tokenizer):
    doubter = Doubter(config)
    doubter.tokenizer = tokenizer
    context = "the dog sat . " + "it is on the mat . " * 8 + "the house is red ."
    found = ask(doubter, context)
    assert (found["answer"], found["start"]) == ("red", context.index("red"))


@pytest.mark.parametrize("doubt", [50.0, 500.0])
def test_an_answer_that_must_be_given_is_given_however_great_the_doubt(oracle, doubt):
    oracle.doubt = doubt
    assert ask(oracle)["answer"] in [*CONTEXT.split(), "red house"]


def test_an_answer_ends_after_it_begins_and_is_not_too_long(oracle):
    oracle.first, oracle.last = "house", "red"
    found = ask(oracle)
    assert found["start"] <= found["end"]
    oracle.first, oracle.last = "dog", "mat"
    assert len(ask(oracle, max_answer_tokens=5)["answer"].split()) <= 5


@pytest.mark.parametrize(("doubt", "expected"), [(20.0, ""), (-20.0, "red house")])
def test_no_answer_competes_if_it_may(oracle, doubt, expected):
    oracle.doubt = doubt
    found = ask(oracle, no_answer=True)
    assert found["answer"] == expected == CONTEXT[found["start"] : found["end"]]
    assert ask(oracle)["answer"] == "red house"


@pytest.mark.parametrize(("doubt", "expected"), [(20.0, ""), (-20.0, "red house")])
def test_padding_may_be_on_the_left(oracle, doubt, expected):
    oracle.doubt = doubt
    oracle.tokenizer.padding_side = "left"
    context = "the dog sat on the mat . " * 3 + CONTEXT  # the last window is padded
    assert ask(oracle, context, no_answer=True)["answer"] == expected


def test_a_question_leaves_room_for_a_token_or_none(oracle):
    oracle.last = oracle.first
    question = "the " * 27  # and three special tokens, of 31
    assert ask(oracle, question=question)["answer"] == "red"
    with pytest.raises(ValueError, match=r"takes 31 tokens .* room for 31: none is left"):
        ask(oracle, question=question + "the")


@pytest.mark.parametrize("count", [0, -1, 2.0, True])
def test_an_answer_has_at_least_one_token(oracle, count):
    with pytest.raises(
        ValueError, match=r"max_answer_tokens is .*; allowed: a whole number from 1"
    ):
        ask(oracle, max_answer_tokens=count)


@pytest.mark.parametrize(
    ("question", "context", "says"),
    [("the " * 40, CONTEXT, "none is left for the context"), (QUESTION, "  ", "context is empty")]
    + [(QUESTION, text, "context is empty") for text in ("", "\x00", "\u200b\u0301")],
)
def test_what_cannot_be_answered_is_told(oracle, question, context, says):
    with pytest.raises(ValueError, match=says):
        ask(oracle, context, question)


def test_a_trained_shape_gives_numbers_that_are_finite(config, tokenizer):
    model = BertForQuestionAnswering(config, seed=5)
    found = answer(QUESTION, CONTEXT * 5, model=(model, tokenizer))
    assert np.isfinite(found["score"])
    assert found["answer"]
