"""The recipe of tests/tools/finetune_reviews.py, without its sentences and without torch."""

import json

import numpy as np
from finetune_reviews import answers, begin, in_order, is_held_out, table, with_minibert

from minibert import EMBEDDED_CHECKPOINT, BertForSequenceClassification, BertModel, Example
from minibert.training.settings import Settings

SETTINGS = Settings(epochs=2, batch_size=4, learning_rate=1e-3, dropout=False, seed=3)
EXAMPLES = [Example({"input_ids": [2, 300 + i, 18, 3]}, {"labels": i % 2}) for i in range(16)]


def test_a_sentence_stays_on_its_side():
    numbers = [i for i in range(40) if is_held_out(f"film number {i} .")]
    assert numbers == [1, 2, 11, 14, 32]
    assert not is_held_out("naïve , but charming .")
    assert 900 < sum(is_held_out(f"{i}") for i in range(10_000)) < 1100


def test_a_seed_draws_the_head_alone(tmp_path):
    trained = BertModel.from_pretrained(EMBEDDED_CHECKPOINT).state_dict()
    heads = []
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        folder = begin(EMBEDDED_CHECKPOINT, tmp_path / name, seed)
        found = BertForSequenceClassification.from_pretrained(folder).state_dict()
        heads.append(found["classifier.weight"])
        assert all(np.array_equal(found[f"bert.{name}"], x) for name, x in trained.items())
    assert np.array_equal(heads[0], heads[1])
    assert not np.array_equal(heads[0], heads[2])


def test_a_run_that_stops_early_has_the_rates_of_the_whole(tmp_path, one_thread):
    folder = begin(EMBEDDED_CHECKPOINT, tmp_path, 0)
    answer, whole = with_minibert(folder, EXAMPLES, SETTINGS, "float64", None)
    assert len(whole) == len([*in_order(EXAMPLES, SETTINGS)]) == 8
    assert with_minibert(folder, EXAMPLES, SETTINGS, "float64", 5)[1] == whole[:5]
    assert np.mean(whole[4:]) < np.mean(whole[:4])  # the second time
    assert answers(answer, EXAMPLES, 5).count("1") > 8


def test_runs_are_held_side_by_side(tmp_path, capsys):
    told = {"seed": 1, "dtype": "float32", "steps": None, "seconds": 90}
    ours = {**told, "engine": "minibert", "losses": [0.7, 0.5], "right": "1110"}
    theirs = {**told, "engine": "torch", "losses": [0.7, 0.502], "right": "1001"}
    alone = {**ours, "seed": 2}  # the other engine is still to run
    path = tmp_path / "runs.jsonl"
    path.write_text("".join(f"{json.dumps(run)}\n" for run in (ours, alone, theirs)))
    table(path)
    out = capsys.readouterr().out
    assert "seed 1: first losses differ by 2.0e-03; 1.5 and 1.5 min" in out
    assert "75.00 % and 50.00 %; 3 sentences told otherwise" in out
    assert "mean: 75.00 % and 50.00 %, +25.00 points" in out
    assert "seed 2" not in out
