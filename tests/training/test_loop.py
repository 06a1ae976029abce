import csv
import os
import signal

import numpy as np
import pytest
import safetensors.numpy

import minibert
from minibert import BertConfig, BertForSequenceClassification, Example, GPT2Config, train
from minibert.training import loop
from minibert.training.batches import batches, collate

SIZES = {
    "vocab_size": 23,
    "hidden_size": 15,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 19,
    "max_position_embeddings": 11,
}


@pytest.fixture
def model():
    return BertForSequenceClassification(BertConfig(**SIZES, initializer_range=0.2))


def drawn(count, seed=0):
    """Return examples whose label says whether a 7 is among the ids."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        ids = random.integers(3, 23, random.integers(2, 9))
        ids[ids == 7] = 8
        label = int(random.integers(2))
        if label:
            ids[random.integers(len(ids))] = 7
        found.append(Example({"input_ids": ids.tolist()}, {"labels": label}))
    return found


def weights(model):
    return model.state_dict()


def same(one, other):
    return all(np.array_equal(x, other[name]) for name, x in one.items())


def test_it_learns(model):
    before = weights(model)
    options = {"epochs": 6, "batch_size": 8, "learning_rate": 3e-3, "warmup": 0.1}
    _, history = train(model, drawn(240), evaluate=drawn(80, 1), **options)
    assert len(history) == 180
    assert np.mean([row["loss"] for row in history[:10]]) > 0.6
    last = history[-1]
    assert last["held-out loss"] < 0.2
    assert last["held-out accuracy"] > 0.9
    assert same(weights(model), before)  # a copy learnt
    assert history[0]["rate"] == 0
    assert last["rate"] == pytest.approx(1 / 162)


def test_batches_hold_all_examples_once_and_lengths_alike():
    examples = drawn(203)
    found = batches(examples, 8, (0, 0))
    assert [len(batch) for batch in found] == [8] * 25 + [3]
    lengths = [[len(example.inputs["input_ids"]) for example in batch] for batch in found]
    assert np.mean([max(some) - min(some) for some in lengths]) < 2
    assert sorted(map(repr, examples)) == sorted(repr(e) for batch in found for e in batch)
    assert batches(examples, 8, (0, 0)) == found
    assert batches(examples, 8, (0, 1)) != found


def test_a_batch_is_padded_and_masked():
    rows = [Example({"input_ids": [5, 6, 7]}, {"labels": [1, 2, 3]})]
    found = collate([*rows, Example({"input_ids": [8]}, {"labels": [4]})])
    assert found["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert found["labels"].tolist() == [[1, 2, 3], [4, -100, -100]]


class KilledError(Exception):
    pass


@pytest.mark.parametrize("at", [1, 3, 7])
def test_a_run_that_is_killed_goes_on_to_the_same_bits(model, tmp_path, monkeypatch, at):
    options = {"epochs": 2, "batch_size": 8, "save_every": 2, "learning_rate": 1e-2}
    examples = drawn(40)
    whole, history = train(model, examples, **options)
    step = loop.Run.one_step

    def one_step(run):
        if run.step == at:
            raise KilledError
        step(run)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "one_step", one_step)
        with pytest.raises(KilledError):
            train(model, examples, folder=tmp_path, **options)
    again, told = train(model, examples, folder=tmp_path, **options)
    assert same(weights(again), weights(whole))
    assert told == history
    last = BertForSequenceClassification.from_pretrained(tmp_path / "last")
    assert same(weights(last), weights(whole))


def test_interrupted_it_ends_the_step_and_saves(model, tmp_path, monkeypatch):
    options = {"epochs": 2, "batch_size": 8, "save_every": 100}
    step, handler = loop.Run.one_step, signal.getsignal(signal.SIGINT)

    def one_step(run):
        if run.step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        step(run)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "one_step", one_step)
        with pytest.raises(KeyboardInterrupt):
            train(model, drawn(40), folder=tmp_path, **options)
    assert signal.getsignal(signal.SIGINT) is handler
    with (tmp_path / "curve.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1", "2", "3", "4"]
    assert same(
        weights(train(model, drawn(40), folder=tmp_path, **options)[0]),
        weights(train(model, drawn(40), **options)[0]),
    )


@pytest.mark.parametrize("save_every", [0, 3, 100])
def test_the_best_has_the_smallest_held_out_loss(model, tmp_path, save_every, monkeypatch):
    """However often is saved: all losses of held-out examples are compared."""
    told = iter([np.nan, 0.5, 0.6])
    monkeypatch.setattr(loop, "evaluated", lambda *_: {"held-out loss": next(told)})
    options = {"epochs": 3, "batch_size": 8, "save_every": save_every, "learning_rate": 1e-2}
    weights_of, step = {}, loop.Run.one_step

    def noted(run):
        step(run)
        weights_of[run.step] = {x: array.copy() for x, array in weights(run.model).items()}

    monkeypatch.setattr(loop.Run, "one_step", noted)
    train(model, drawn(40), evaluate=drawn(3), folder=tmp_path, **options)
    best = BertForSequenceClassification.from_pretrained(tmp_path / "best")
    assert same(weights(best), weights_of[10])


def test_a_save_that_fails_leaves_the_run_before_it(model, tmp_path, monkeypatch):
    """Whatever stops it: nothing half-written stays, and the run is gone on with."""
    options = {"epochs": 2, "batch_size": 8, "save_every": 1}
    written, count = safetensors.numpy.save_file, iter(range(99))

    def full(arrays, path, **more):
        written(arrays, path, **more)
        if path.name.startswith(".run") and next(count) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.numpy, "save_file", full)
        with pytest.raises(KeyboardInterrupt):
            train(model, drawn(40), folder=tmp_path, **options)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("last", "curve.csv", "curve.svg", "run.safetensors")
    }
    assert same(
        weights(train(model, drawn(40), folder=tmp_path, **options)[0]),
        weights(train(model, drawn(40), **options)[0]),
    )


def test_what_is_no_run_says_so(model, tmp_path):
    for content, said in (
        (b"{}", "is not a valid safetensors file"),
        (safetensors.numpy.save({"x": np.ones(3)}), "holds no run to go on with"),
        (safetensors.numpy.save({"state": np.ones(3)}), "holds no run to go on with"),
    ):
        (tmp_path / "run.safetensors").write_bytes(content)
        with pytest.raises(ValueError, match=said):
            train(model, drawn(3), folder=tmp_path)


def test_another_run_is_not_gone_on_with(model, tmp_path):
    train(model, drawn(16), folder=tmp_path, epochs=1)
    with pytest.raises(ValueError, match=r"has batch_size=16, not 8: go on with the same"):
        train(model, drawn(16), folder=tmp_path, epochs=1, batch_size=8)
    other = BertForSequenceClassification(BertConfig(**{**SIZES, "hidden_size": 21}))
    with pytest.raises(ValueError, match="is of another model"):
        train(other, drawn(16), folder=tmp_path, epochs=1)
    wide = BertForSequenceClassification.from_pretrained(tmp_path / "last", "float64")
    with pytest.raises(ValueError, match="is of another model"):
        train(wide, drawn(16), folder=tmp_path, epochs=1)
    train(other, drawn(16), folder=tmp_path, epochs=1, resume=False)


def test_what_is_frozen_stays(model):
    trained, _ = train(model, drawn(16), epochs=1, frozen=("embeddings", r"layer\.0\."))
    before, after = weights(model), weights(trained)
    stayed = {name for name in before if np.array_equal(before[name], after[name])}
    assert stayed == {x for x in before if "embeddings" in x or "layer.0." in x}
    with pytest.raises(ValueError, match="frozen='encodr' is in no name of a tensor"):
        train(model, drawn(16), frozen=("encodr",))
    with pytest.raises(ValueError, match="all tensors are frozen"):
        train(model, drawn(16), frozen=(".",))


def test_accumulated_batches_make_one_step(model):
    """Two halves of equal size have the mean gradient of the whole.

    With a large eps a step is as long as its gradient; else rounding moves a key's bias.
    """
    examples = [Example({"input_ids": [5, 6, i]}, {"labels": i % 2}) for i in range(3, 11)]
    options = {"epochs": 1, "dropout": False, "warmup": 0.0, "eps": 1.0, "learning_rate": 1.0}
    whole, _ = train(model, examples, batch_size=8, **options)
    halves, history = train(model, examples, batch_size=4, accumulate=2, **options)
    assert len(history) == 1
    for name, x in weights(whole).items():
        np.testing.assert_allclose(weights(halves)[name], x, atol=2e-6)
    moved = weights(whole)["classifier.weight"] - weights(model)["classifier.weight"]
    assert np.abs(moved).max() > 1e-2


def test_a_loss_that_is_no_number_says_where_it_began(model):
    model.state_dict()  # arrays of its own are changed below
    own, fields = minibert.training.weights.trainable(model)
    fields["layer.1.attention.key.bias"][0] = np.inf
    with (
        np.errstate(all="ignore"),
        pytest.raises(
            FloatingPointError, match=r"step 1: the first .* is layer\.1\.attention\.key"
        ),
    ):
        train(own, drawn(16))


def test_mistakes():
    model = minibert.GPT2LMHeadModel(GPT2Config(vocab_size=23, n_embd=15, n_head=3, n_layer=1))
    for options, said in (
        ({"epochs": 0}, "epochs is 0; allowed: 1 and more"),
        ({"schedule": "linaer"}, "schedule is 'linaer'; allowed: linear, cosine, constant"),
        ({"warmup": 5}, "warmup is 5; allowed: 0 to 1, a share of the steps"),
    ):
        with pytest.raises(ValueError, match=said):
            train(model, drawn(3), **options)
    with pytest.raises(ValueError, match="there are no examples"):
        train(model, [])


IDS = {"input_ids": [3, 4]}


@pytest.mark.parametrize(
    ("examples", "said"),
    [
        ([({"input_idz": [3]}, {"labels": 1})], "has 'input_idz', which is none; did you mean"),
        ([(IDS, {"label": 1})], "has 'label', which is none; did you mean 'labels'"),
        ([(IDS, {})], "labels is empty: there is no loss without any"),
        ([(IDS, {"start_positions": 1})], "takes no start_positions: it takes labels"),
        ([(IDS, {"labels": 1}), (IDS, {})], "one has labels, another none"),
        ([(IDS, {"labels": 1}), ({**IDS, "position_ids": [0, 1]}, {"labels": 0})], "same fields"),
    ],
)
def test_odd_examples(model, examples, said):
    some = [Example(*example) for example in examples]
    with pytest.raises(ValueError, match=said):
        train(model, some)
    if len(some) == 1:
        with pytest.raises(ValueError, match=said):
            train(model, drawn(3), evaluate=some, epochs=1)


def test_a_batch_without_a_label_that_counts_says_so(model):
    said = "of a batch's labels none counts; leave its examples out"
    with pytest.raises(FloatingPointError, match=said):
        train(model, [Example(IDS, {"labels": -100})])
