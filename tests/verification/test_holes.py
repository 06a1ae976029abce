"""A wrong run is a fault whatever the recording holds, in every direction; a clean run is not."""

import itertools
import tracemalloc

import numpy as np
import pytest
from faults import Joined, parts

from minibert import BertConfig, BertModel, Reference, compare_recordings, functions, swap, verify
from minibert.batch import Batch
from minibert.verification import comparison

SIZES = {
    "vocab_size": 41,
    "hidden_size": 30,
    "num_attention_heads": 5,
    "num_hidden_layers": 3,
    "intermediate_size": 37,
    "max_position_embeddings": 19,
    "initializer_range": 0.3,
}
INPUTS = {
    "input_ids": np.array([[3, 5, 8, 13, 21, 34, 1], [2, 4, 6, 8, 10, 0, 0]]),
    "attention_mask": np.array([[1] * 7, [1] * 5 + [0] * 2]),
    "token_type_ids": np.array([[0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 0, 0]]),
}
WRONG = {
    "attention": lambda q, k, v: 3 * functions.attention(q, k, v),
    "feed_forward": lambda x, *rest: functions.feed_forward(0.5 * x, *rest),
    "embeddings": lambda i, t, p, *rest: functions.embeddings(i, t * 0, p + 1, *rest),
    "softmax": lambda x: functions.softmax(x * 0.9),
    "layer_norm": lambda x, w, b, eps: functions.layer_norm(x, w, b, eps + 0.05),
    "gelu": lambda x: functions.gelu(x) * 1.01,
    "erf": lambda x: functions.erf(x) * 0.99,
    "linear": lambda x, w, b: functions.linear(x, w * 1.02, b),
    "split_heads": lambda x, n: functions.split_heads(x[:, ::-1].copy(), n),
    "merge_heads": lambda x: functions.merge_heads(x[::-1]),
    "attention_scores": lambda q, k: functions.attention_scores(q, k) * 1.1,
    "attention_context": lambda p, v: functions.attention_context(p, v) * 0.9,
    "tanh": lambda x: functions.tanh(x) * 1.01,
    "pooler": lambda x, w, b: functions.pooler(x * 1.1, w, b),
}
FORMS = {
    "everything": lambda name: True,
    "all hidden states": lambda name: name == "embeddings" or name.count(".") == 1,
    "the last": lambda name: name == "layer.2",
    "the last and the pooler": lambda name: name in ("layer.2", "pooler"),
    "the embeddings and the last": lambda name: name in ("embeddings", "layer.2"),
}


@pytest.fixture(scope="module", params=["float64", "float32"])
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    BertModel(BertConfig(**SIZES), seed=5).save_pretrained(folder)
    return BertModel.from_pretrained(folder, dtype=request.param)


def recorded(model, form="everything"):
    trace = {}
    model(**INPUTS, trace=trace)
    return only(Reference(INPUTS, trace), form)


def only(reference, form):
    stages = {k: x for k, x in reference.stages.items() if FORMS[form](k)}
    stages = {k: x for k, x in stages.items() if k != "embeddings.sum" or form == "everything"}
    return Reference(reference.inputs, stages)


def changes(form, name):
    """Whether what is recorded shows a wrong operation: only the pooler's stage shows tanh."""
    return name not in ("pooler", "tanh") or form in ("everything", "the last and the pooler")


CASES = [(form, name) for form, name in itertools.product(FORMS, WRONG) if changes(form, name)]


@pytest.mark.parametrize(("form", "name"), CASES)
def test_a_wrong_operation_is_a_fault_in_every_direction(model, form, name, monkeypatch):
    monkeypatch.setattr(comparison, "likely_cause", lambda *_: "any")  # slow, and not looked at
    right = recorded(model)
    with swap(**{name: WRONG[name]}):
        ours = verify(model, only(right, form))  # our run against a right recording
        trace = {}
        model(**INPUTS, trace=trace)
    wrong = Reference(INPUTS, trace)
    theirs = verify(model, only(wrong, form))  # a wrong recording against our run
    one_way = compare_recordings(only(wrong, form), right, model)
    other_way = compare_recordings(right, only(wrong, form), model)
    for report in (ours, theirs, one_way, other_way):
        assert not report.ok, str(report)
        assert report.verdict.startswith("FAULT")
        assert report.faults


@pytest.mark.parametrize("form", FORMS)
def test_a_layer_without_its_residuals_is_a_fault(model, form):
    faulty = BertModel.__new__(BertModel)
    vars(faulty).update(vars(model))
    no_residual = lambda norm, x, change, _: norm(change)  # noqa: E731
    first, second, third = model.layers
    changed = Joined(**parts(second), first=no_residual, second=no_residual)
    faulty.layers = (first, changed, third)
    right, wrong = recorded(model), recorded(faulty)
    for report in (
        verify(faulty, only(right, form)),
        verify(model, only(wrong, form)),
        compare_recordings(only(wrong, form), right, model),
        compare_recordings(right, only(wrong, form), model),
    ):
        assert not report.ok
        assert report.faults[0].stage.startswith(("layer.1", "layer.2"))


@pytest.mark.parametrize("form", FORMS)
def test_a_clean_run_is_none(model, form):
    right = recorded(model)
    for report in (
        verify(model, only(right, form)),
        compare_recordings(only(right, form), right, model),
        compare_recordings(right, only(right, form), model),
    ):
        assert report.ok, str(report)
        assert report.verdict.startswith("OK")


def test_nan_on_one_side_alone_is_a_fault(model):
    right = recorded(model)
    stages = {name: x.copy() for name, x in right.stages.items()}
    stages["layer.0"][0, 3, 7] = stages["layer.1"][0, 3, 7] = np.nan
    broken = Reference(INPUTS, {name: stages[name] for name in ("layer.0", "layer.1")})
    last = Reference(INPUTS, {"layer.1": right.stages["layer.1"]})
    for pair in ((broken, last), (last, broken)):
        for with_model in (model, None):
            report = compare_recordings(*pair, with_model)
            assert not report.ok
            assert report.first_failure.stage == "layer.0"
            assert "NONFINITE" in report.verdict


def test_what_the_model_returns_is_held_against_the_reference(model, monkeypatch):
    """A trace does not see how rows are put back where they stood."""
    right = recorded(model)
    unpack = Batch.unpack
    monkeypatch.setattr(Batch, "unpack", lambda self, x: unpack(self, x)[::-1])
    report = verify(model, right)
    assert report.first_failure.stage == "layer.2"
    assert "each side follows its operations" in report.first_failure.detail


@pytest.mark.parametrize("kept", ["layer.59", "pooler"])
def test_sixty_layers_with_the_last_state_alone(kept):
    deep = BertModel(BertConfig(**{**SIZES, "num_hidden_layers": 60}), seed=1)
    trace = {}
    deep(**INPUTS, trace=trace)
    assert verify(deep, Reference(INPUTS, {kept: trace[kept]})).ok


def test_memory_is_in_proportion_to_a_forward_pass():
    """One recorded stage of six layers: no more than a few layers' states are alive at a time."""
    config = BertConfig(
        vocab_size=101,
        hidden_size=96,
        num_attention_heads=6,
        num_hidden_layers=6,
        intermediate_size=192,
        max_position_embeddings=128,
    )
    model = BertModel(config, seed=0)
    ids = np.random.default_rng(0).integers(0, 101, (4, 128))
    trace = {}
    model(ids, trace=trace)
    everything = sum(x.nbytes for x in trace.values())
    few = Reference({"input_ids": ids}, {"layer.5": trace["layer.5"]})
    whole = Reference({"input_ids": ids}, trace)

    def peak(work):
        work()
        tracemalloc.start()
        work()
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    forward = peak(lambda: model(ids))
    assert peak(lambda: verify(model, few)) < 4 * forward
    assert peak(lambda: verify(model, whole)) < 3 * everything


def test_a_trial_that_swaps_nothing_leaves_a_users_swap(model):
    """Biases are drawn as 0, so that "no bias" is no change: it must not explain what is wrong."""
    right = recorded(model)
    with swap(attention=WRONG["attention"]):
        report = verify(model, only(right, "all hidden states"))
    assert report.first_failure.stage == "layer.0"
    assert "no bias" not in (report.first_failure.cause or ""), report.verdict
