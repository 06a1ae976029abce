"""The embedded checkpoint knows its toy world: on sentences held out of its training."""

from itertools import islice

import numpy as np
import pytest
import toy_questions as ask
import toy_world as world

from minibert import EMBEDDED_CHECKPOINT, BertForPreTraining
from minibert.tasks import fill_mask

HELD_OUT = [*islice(world.items(seed=20, split="held-out"), 3300)]
PERSONS = {*world.WORDS["women"], *world.WORDS["men"]}
NOUNS = {*world.NOUNS, *map(world.plural, world.NOUNS)}
#: The words that may mislead a head: persons one that looks for whom a pronoun means.
OTHERS = {"reference": PERSONS, "agreement": NOUNS, "memory": set()}


@pytest.fixture(scope="module")
def model():
    return BertForPreTraining.from_pretrained(EMBEDDED_CHECKPOINT)


@pytest.fixture(scope="module")
def found(model):
    """Category -> whether each hidden piece was the likeliest."""
    return ask.answers(model, ask.questions(HELD_OUT))


def test_it_fills_95_percent_of_the_masks_that_the_grammar_determines(found):
    every = [right for rights in found.values() for right in rights]
    assert len(every) >= 4000
    assert np.mean(every) >= 0.95


def test_all_parts_of_the_world_are_asked(found):
    assert len(found) == 15
    assert min(map(len, found.values())) >= 50


def test_it_knows_each_part_of_its_world(found):
    known = {category: np.mean(right) for category, right in found.items()}
    assert {category: share for category, share in known.items() if share < 0.95} == {}


def test_it_tells_what_follows_from_what_does_not(model):
    pairs = [item for item in HELD_OUT[:600] if item.second]
    assert len(pairs) >= 400
    assert np.mean(ask.next_sentence(model, pairs)) >= 0.97


@pytest.fixture(scope="module")
def seen(model):
    """(kind, hidden or shown) -> what the taught head gives to what it should, and to others."""
    looked = {}
    for kind, how, item, heads, weights in ask.looks(model, HELD_OUT[:1500]):
        given = [weight[ask.TAUGHT[kind]] for weight in weights]
        side, right = heads[0][0], [place for _, place in heads]
        words = enumerate((item.first, item.second)[side].split())
        rest = [given[i] for i, word in words if word in OTHERS[kind] and i not in right]
        looked.setdefault((kind, how), []).append((sum(given[i] for i in right), rest))
    return looked


@pytest.mark.parametrize("how", ["hidden", "shown"])
@pytest.mark.parametrize("kind", OTHERS)
def test_one_head_looks_at_what_a_word_depends_on(seen, kind, how):
    weights = seen[kind, how]
    assert len(weights) >= 100
    assert np.mean([right for right, _ in weights]) >= 0.5


@pytest.mark.parametrize("how", ["hidden", "shown"])
@pytest.mark.parametrize("kind", ["reference", "agreement"])
def test_that_head_is_not_misled(seen, kind, how):
    misled = [right < max(rest) for right, rest in seen[kind, how] if rest]
    assert len(misled) >= 30
    assert np.mean(misled) <= 0.1


def test_the_capital_of_france():
    best = fill_mask("the capital of france is [MASK] .")[0]
    assert best["token_str"] == "paris"
    assert best["score"] > 0.9


def test_it_is_small():
    assert sum(path.stat().st_size for path in EMBEDDED_CHECKPOINT.iterdir()) <= 3_000_000
