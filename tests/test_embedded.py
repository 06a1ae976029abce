"""The embedded checkpoint knows its toy world: on sentences held out of its training."""

import importlib.util
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from minibert import EMBEDDED_CHECKPOINT, BertForMaskedLM, BertTokenizer
from minibert.tasks import fill_mask

SPEC = importlib.util.spec_from_file_location("toy_world", Path(__file__).parent / "toy_world.py")
world = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = world  # its dataclass looks itself up
SPEC.loader.exec_module(world)

TOKENIZER = BertTokenizer.from_pretrained(EMBEDDED_CHECKPOINT)


def questions(count):
    """Yield (category, ids, segments, place, answer): a determined word, ending or stem is hidden.

    Words of several pieces are left out, for one mask cannot hold them.
    """
    found = 0
    for item in world.items(seed=20, split="held-out"):
        inputs = TOKENIZER(item.first, item.second or None)
        ids, sides, words = inputs["input_ids"], inputs.sequence_ids(0), inputs.word_ids(0)
        for sentence, word, category in item.determined:
            places = [
                i
                for i, (s, w) in enumerate(zip(sides, words, strict=True))
                if (s, w) == (sentence, word)
            ]
            hidden = {"ending": places[-1:], "stem": places[:1]}.get(category, places)
            for place in hidden if len(hidden) == 1 else ():
                masked = [*ids[:place], TOKENIZER.mask_token_id, *ids[place + 1 :]]
                yield category, masked, inputs["token_type_ids"], place, ids[place]
                found += 1
        if found >= count:
            return


@pytest.fixture(scope="module")
def found():
    """Category -> whether each hidden piece was the likeliest."""
    model = BertForMaskedLM.from_pretrained(EMBEDDED_CHECKPOINT)
    asked, right = questions(2000), {}
    while batch := list(islice(asked, 64)):
        length = max(len(ids) for _, ids, *_ in batch)
        ids, segments = (
            np.array([row[k] + [0] * (length - len(row[k])) for row in batch]) for k in (1, 2)
        )
        where = np.zeros(ids.shape, bool)
        where[np.arange(len(batch)), [place for *_, place, _ in batch]] = True
        mask = np.array([[1] * len(row[1]) + [0] * (length - len(row[1])) for row in batch])
        logits = model.logits_at(where, input_ids=ids, attention_mask=mask, token_type_ids=segments)
        for (category, *_, answer), best in zip(batch, logits.argmax(axis=1), strict=True):
            right.setdefault(category, []).append(answer == best)
    return right


def test_it_fills_95_percent_of_the_masks_that_the_grammar_determines(found):
    every = [right for rights in found.values() for right in rights]
    assert len(every) >= 2000
    assert np.mean(every) >= 0.95


@pytest.mark.parametrize("category", ["agreement", "capital", "colour", "reference", "memory"])
def test_it_knows_each_part_of_its_world(found, category):
    assert len(found[category]) >= 50
    assert np.mean(found[category]) >= 0.95


def test_the_capital_of_france():
    best = fill_mask("the capital of france is [MASK] .")[0]
    assert best["token_str"] == "paris"
    assert best["score"] > 0.9


def test_it_is_small():
    assert sum(path.stat().st_size for path in EMBEDDED_CHECKPOINT.iterdir()) <= 3_000_000
