"""Grading: right functions pass, wrong ones are told why, and the answer stays untold."""

import doctest
import math
import re
import subprocess
import sys
import threading
from dataclasses import asdict

import numpy as np
import pytest
from wide import WIDE

import minibert
from minibert import BertConfig, BertModel, Reference, functions, grade, swap
from minibert.grading.cases import cases
from minibert.grading.mistakes import mistakes
from minibert.swapping import OPERATIONS

ALL = pytest.mark.parametrize("name", sorted(OPERATIONS))
MISTAKES = [(name, *mistake) for name in sorted(OPERATIONS) for mistake in mistakes(name)]


def ours(name):
    return OPERATIONS[name].__wrapped__


def as_given(function):
    """Return the function with the dtype of its result made that of its arguments."""

    def student(*args):
        dtype = next(x.dtype for x in args if isinstance(x, np.ndarray) and x.dtype.kind == "f")
        return np.asarray(function(*args)).astype(dtype)

    return student


# what students write


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))).astype(x.dtype)


def gelu_by_a_handbook(x):
    """Abramowitz and Stegun 7.1.26: 1.5e-7 off."""
    z = np.abs(x) * math.sqrt(0.5)
    t = 1 / (1 + 0.3275911 * z)
    powers = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
    tail = sum(c * t ** (i + 1) for i, c in enumerate(powers)) * np.exp(-z * z)
    return 0.5 * x * (1 + np.sign(x) * (1 - tail))


def layer_norm(x, weight, bias, eps):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + eps) * weight + bias


def softmax(x):
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def attention(query, key, value):
    scores = np.einsum("hqd,hkd->hqk", query, key) / math.sqrt(query.shape[-1])
    return np.einsum("hqk,hkd->hqd", softmax(scores), value)


RIGHT = {"gelu": gelu, "layer_norm": layer_norm, "softmax": softmax, "attention": attention}


@pytest.mark.parametrize("name", RIGHT)
def test_what_a_student_writes_is_right(name):
    assert grade(**{name: RIGHT[name]})


def test_a_good_approximation_is_right():
    assert grade(gelu=gelu_by_a_handbook)


@ALL
def test_ours_is_right(name):
    result = grade(**{name: ours(name)}, points=4)
    assert result.ok is bool(result) is True
    assert repr(result) == str(result) == f"{name}: right, 4 of 4 points"
    assert (result.points, result.out_of, result.cause, result.stage) == (4, 4, "", None)
    assert {case.name for case in cases(name)} < set(result.right)


# what goes wrong

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


UNNAMED = object()
SAID = {
    "stub": (lambda x: (_ for _ in ()).throw(NotImplementedError), "it is not written yet"),
    "error": (lambda x: 1 // 0, "it raises ZeroDivisionError: integer division or modulo by zero"),
    "mute": (lambda x: [].pop(0) if False else next(iter([])), "it raises StopIteration"),
    "exit": (lambda x: sys.exit(3), "it raises SystemExit: 3"),
    "arguments": (lambda: 1, r"it raises TypeError: <lambda>() takes 0 positional arguments but 1"),
    "nothing": (lambda x: None, "it returned nothing; is the return missing?"),
    "list": (lambda x: x.tolist(), "it returned a list; needed: a NumPy array"),
    "shape": (lambda x: x[0], "it returned an array of shape (7,); needed: (5, 7)"),
    "half": (lambda x: gelu(x).astype("f2"), "it returned float16; needed: float64, as it was giv"),
    "scalars": (lambda x: gelu(x) * np.ones(1), "on float32, it returned float64; needed: float32"),
    "random": (lambda x: np.random.default_rng().random(x.shape), "it returns another result each"),
    "nan": (lambda x: x * np.nan, "it returned 35 of 35 numbers that are NaN or infinite where"),
    "numpy": (lambda x: {}[np.float64(2.5)], "it raises KeyError: 2.5"),
    "address": (lambda x: {}[UNNAMED], "it raises KeyError: <object object>"),
    "long": (lambda x: {}["long " * 99], "it raises KeyError: 'long long"),
}


@pytest.mark.parametrize("case", SAID)
def test_what_is_said_of_it(case):
    student, said = SAID[case]
    result = grade(gelu=student)
    assert result.cause.startswith(said)
    assert len(result.cause) < 240
    assert "\n" not in repr(result)
    assert result.points == (0.88 if case == "scalars" else 0)


def test_an_exception_without_notes_is_told_alike():
    """As all exceptions are on Python 3.10."""

    class NotelessError(Exception):
        @property
        def add_note(self):
            raise AttributeError

    def student(x):
        raise NotelessError("no luck")

    result = grade(gelu=student)
    assert result.cause == "it raises NotelessError: no luck"
    assert result.stage == "layer.0.feed_forward"


def test_a_function_that_is_random_now_and_then():
    calls = []

    def dropout(x):
        calls.append(x)
        return gelu(x) * (1.0001 if len(calls) == len(cases("gelu")) + 1 else 1)

    result = grade(gelu=dropout)
    assert result.cause == "it returns another result each time it is called"
    assert result.wrong == ("the same input twice",)


def test_a_form_that_is_wrong_is_no_mistake_in_the_numbers():
    """In float32, a softmax whose exp may overflow is as good as any other."""
    result = grade(softmax=lambda x: softmax(x) * np.ones(1))
    assert result.cause.startswith("on float32, it returned float64")


def test_a_mistake_in_float32_alone():
    def student(x, weight, bias, eps):
        return layer_norm(x, weight, 0 * bias if x.dtype == np.float32 else bias, eps)

    assert grade(layer_norm=student).cause == "on float32, bias is not used"


@pytest.mark.parametrize("name", functions.ACTIVATIONS)
def test_activations_meet_large_numbers_and_a_single_row(name):
    assert {"large numbers", "a single row"} <= {
        case.name for case in cases(functions.ACTIVATIONS[name].__name__)
    }


def test_a_function_that_changes_its_inputs_is_told_so():
    def student(x, weight, bias, eps):
        x -= x.mean(-1, keepdims=True)
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight + bias

    result = grade(layer_norm=student)
    assert result.cause.startswith("it changes its input x in place")
    assert result.stage == "embeddings"
    assert result.wrong == ("inputs that stay as they were", "the whole model")


def test_what_only_edge_cases_show():
    softmax = grade(softmax=lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True))
    assert softmax.cause == (
        "on large numbers, exp overflows: the numbers go into it as large as they come"
    )
    assert softmax.wrong == ("large numbers",)
    norm = grade(layer_norm=lambda x, w, b, e: layer_norm(x, w, b, max(e, 1e-3)))
    assert norm.cause == "on a tiny eps, a fixed number is used in place of eps"
    one = grade(gelu=lambda x: gelu(x) if len(x) > 1 else x)
    assert one.cause == "on a single row, it returns its input unchanged"
    order = grade(gelu=lambda x: gelu(x.ravel("K").reshape(x.shape)))
    assert order.wrong == ("arrays that lie column by column",)
    fewer = grade(attention=lambda q, k, v: attention(q, k[:, -q.shape[1] :], v[:, -q.shape[1] :]))
    assert fewer.wrong == ("fewer queries than keys",)


def test_points_are_shares_of_what_is_given():
    def no_maximum(x):
        return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)

    result = grade(softmax=no_maximum, points=10)
    count = len(result.right) + len(result.wrong)
    assert (result.out_of, result.points) == (10, round(10 * (1 - 1 / count), 2))
    assert repr(result).startswith(f"softmax: wrong, {result.points:g} of 10 points; probable")


def test_wrong_on_ordinary_numbers_is_worth_nothing():
    result = grade(gelu=functions.gelu_new, points=9)
    assert "large numbers" in result.right
    assert result.points == 0


# what is never said


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


def test_the_text_is_the_same_each_time():
    texts = {repr(grade(softmax=lambda x: np.exp(x), points=3)) for _ in range(3)}
    assert texts == {
        "softmax: wrong, 0 of 3 points; first wrong stage: layer.0.attention.probabilities; "
        "probable cause: the result is not divided by its sum"
    }


# where it is used


def test_in_a_plain_assert():
    result = grade(gelu=lambda x: x)
    with pytest.raises(AssertionError, match="gelu: wrong, 0 of 1 points; first wrong stage: lay"):
        exec("assert result, result", {"result": result})


def test_in_pytest(tmp_path):
    (tmp_path / "test_student.py").write_text(
        "import minibert\n\n\ndef gelu(x):\n    return x * (x > 0)\n\n\n"
        "def test_gelu():\n    assert minibert.grade(gelu=gelu)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 1
    assert "probable cause: it is ReLU, another function" in run.stdout


def test_in_a_doctest():
    """So does otter-grader."""
    text = """
    >>> minibert.grade(gelu=lambda x: -x, points=2)
    gelu: wrong, 0 of 2 points; first wrong stage: layer.0.feed_forward.activation; probable cause:
    its numbers are wrong, as by no mistake that is known
    >>> bool(minibert.grade(gelu=gelu))
    True
    >>> minibert.grade(gelu=gelu).points
    1.0
    """
    names = {"minibert": minibert, "gelu": gelu}
    test = doctest.DocTestParser().get_doctest(text, names, "otter", None, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    assert runner.run(test, out=lambda text: None).failed == 0


# another model, bad calls


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
    assert grade(gelu=seen)
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
    assert grade(model=small, silu=functions.silu)
    assert "the whole model" not in grade(model=small, gelu=gelu).right
    seen = Seen(functions.silu)
    assert grade(model=small, silu=seen)
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


def test_bad_calls():
    with pytest.raises(ValueError, match="takes one function, by name, as in gelu=f; given: 0"):
        grade()
    with pytest.raises(ValueError, match="given: 2"):
        grade(gelu=gelu, softmax=softmax)
    with pytest.raises(ValueError, match="do you mean softmax"):
        grade(soft_max=softmax)
    with pytest.raises(TypeError, match="needed: a function"):
        grade(gelu=None)


def test_within_a_swap_ours_is_ours():
    with swap(erf=lambda x: x, gelu=lambda x: x):
        assert grade(gelu=gelu)
        assert functions.gelu(np.array([2.0])) == 2


def test_warnings_of_the_function_stay_silent():
    """They are errors in these tests, and exp of large numbers would warn."""
    assert not grade(softmax=lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True))


def test_the_number_of_threads_does_not_show():
    """What arrives, in which order, and where print writes: all as with one thread."""
    seen, before = [], minibert.get_num_threads()

    def student(x):
        seen[-1].append((threading.current_thread().name, x.shape))
        return gelu(x)

    for count in (1, 3):
        minibert.set_num_threads(count)
        seen.append([])
        assert grade(gelu=student)
        assert minibert.get_num_threads() == count
    minibert.set_num_threads(before)
    assert seen[0] == seen[1]
