"""The benchmark of training: what is learnt, and what is printed. No speed."""

from dataclasses import replace

import numpy as np
import pytest
from bench import training
from bench.engines import Engine
from bench.training import LESSONS, Lesson
from bench.workloads import Workload

SMALL = {"hidden_size": 6, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 50}
TWO = Lesson(Workload("two", (3, 5)), "BertForMaskedLM", SMALL, labelled=0.9)


def test_labels_are_of_real_tokens():
    found = TWO.batch()
    counts = found["labels"] != training.IGNORED
    assert 0 < counts.sum() <= 8
    assert (found["labels"] == found["input_ids"])[counts].all()
    assert not (counts & (found["attention_mask"] == 0)).any()
    assert replace(TWO, labelled=None).batch()["labels"].tolist() == [0, 1]


def test_lessons_are_those_that_were_promised():
    assert [len(lesson.work.lengths) for lesson in LESSONS] == [8, 32, 32]
    assert {*LESSONS[0].work.lengths} == {128}
    assert LESSONS[2].config["hidden_size"] == 96


def test_minibert_learns_in_steps(tmp_path, one_thread):
    step = training.open_minibert(TWO, training.draw(TWO, tmp_path), 1)
    losses = [step() for _ in range(60)]
    assert losses[0] == pytest.approx(np.log(50), rel=0.05)
    assert losses[-1] < losses[0]


def test_a_comparison(monkeypatch):
    times = {"minibert": [1.0, 2.0, 4.0], "transformers": [2.0, 3.0, 8.0]}
    monkeypatch.setattr(training, "in_turn", lambda calls, seconds: times)
    engines = [Engine(name, lambda: 0.5) for name in times]
    found = training.compare(TWO, engines, 1)
    for name, peak in (("minibert", 10**8), ("transformers", None)):
        found["engines"][name]["peak"] = peak
    assert training.render_work(found).splitlines() == [
        "A step, two: 3 rounds",
        "  engine          median     least  ratio  tokens a second  peak memory     loss",
        "  minibert      2,000 ms  1,000 ms   1.00                4       100 MB  0.50000",
        "  transformers  3,000 ms  2,000 ms   2.00                3            -  0.50000",
    ]
