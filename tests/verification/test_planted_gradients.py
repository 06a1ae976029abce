"""The catalogue of wrong derivatives: each is found where it is, most are named."""

import re

import pytest
from going_back import drawn, recorded
from planted_gradients import FAULTS

from minibert import swap, verify

NAMED = 0.95


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    model = drawn(tmp_path_factory.mktemp("model"), "BertForMaskedLM")
    found = []
    for fault in FAULTS:
        with swap(**{fault.operation: fault.function}):
            reference = recorded(model)
        first = verify(model, reference).first_failure
        found.append((fault, first and first.stage, (first and first.cause) or ""))
    return found


def test_there_are_enough_of_them():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 40


def test_every_one_is_found_at_its_place(outcomes):
    missed = [(f.name, at) for f, at, _ in outcomes if not (at and re.fullmatch(f.stage, at))]
    assert missed == []


def test_most_are_named(outcomes):
    silent = [(f.name, said) for f, _, said in outcomes if not (said and re.search(f.words, said))]
    assert len(silent) <= (1 - NAMED) * len(outcomes), silent
