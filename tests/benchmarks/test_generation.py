"""The benchmark of generation: what is run, what is compared, what is printed. No speed."""

from types import SimpleNamespace

import numpy as np
import pytest
from bench import forward, generation
from bench.engines import Engine
from bench.workloads import GENERATION, Writing

TWO = Writing("GPT-2 small", "two", (3, 5), 4)


def test_prompts_are_padded_on_the_left():
    ids, mask = TWO.inputs()
    assert mask.tolist() == [[0, 0, 1, 1, 1], [1] * 5]
    assert ((ids > 0) == mask).all()
    assert ids.dtype == mask.dtype == np.int64


def test_works_are_those_that_were_promised():
    one, ragged, beams = GENERATION
    assert (one.lengths, one.count) == ((128,), 64)
    assert (len(ragged.lengths), min(ragged.lengths), max(ragged.lengths)) == (8, 20, 120)
    assert ragged.count == beams.count == 32
    assert beams.options() == {"max_new_tokens": 32, "pad_token_id": 0, "num_beams": 4}
    assert "num_beams" not in one.options()


@pytest.fixture
def engines():
    """Two that write: one ones, one ones and a two in the last place."""

    def run(last):
        def written(ids, mask, max_new_tokens, pad_token_id):
            new = np.ones((len(ids), max_new_tokens), int)
            new[-1, -1] = last
            return np.concatenate([ids, new], axis=1)

        return written

    return [Engine("minibert", run(1)), Engine("transformers", run(2))]


def test_a_comparison(engines, monkeypatch):
    times = {"minibert": [1.0, 2.0, 4.0], "transformers": [2.0, 3.0, 8.0]}
    monkeypatch.setattr(generation, "in_turn", lambda calls, seconds: times)
    found = generation.compare(TWO, engines, 1)
    assert generation.render_work(found).splitlines() == [
        "GPT-2 small, two: 3 rounds",
        "  engine          median     least  ratio  tokens a second  same tokens",
        "  minibert      2,000 ms  1,000 ms   1.00                4       100.0%",
        "  transformers  3,000 ms  2,000 ms   2.00                3        94.4%",
    ]


def test_time_by_tokens(engines, monkeypatch):
    def in_turn(calls, seconds):
        return {name: [9.0, run().shape[1] - 1] for name, run in calls.items()}

    monkeypatch.setattr(generation, "in_turn", in_turn)
    monkeypatch.setattr(generation, "COUNTS", (1, 2, 8))
    found = generation.by_tokens(engines)
    assert found == {key: {"1": 1, "2": 2, "8": 8} for key in ("minibert", "transformers")}


def test_what_minibert_does_not_have_is_absent(monkeypatch):
    monkeypatch.setattr(generation, "minibert", SimpleNamespace())
    found = generation.measure(1, 1, "beams", print)
    assert found["works"] == []
    assert forward.render(found) == (
        "absent: minibert, BART-base (it has no BartForConditionalGeneration)"
    )


def test_minibert_writes_as_many_tokens_as_asked_for(monkeypatch, tmp_path, one_thread):
    small = {"vocab_size": 30522, "n_embd": 6, "n_layer": 1, "n_head": 2, "eos_token_id": None}
    monkeypatch.setitem(generation.KINDS, "GPT-2 small", ("GPT2LMHeadModel", "GPT2Config", small))
    opened, _ = generation.opened("GPT-2 small", tmp_path, 1)
    assert opened[0].name == "minibert"
    assert generation.call(opened[0], TWO)().shape == (2, 9)
