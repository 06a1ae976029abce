"""The catalogue of faults, planted in a BERT that is not ours: each is found, most are named.

To see all of them in all ways, and what is not named: tests/tools/measure_causes.py.
"""

import pytest
from planted import FAULTS
from planting import WAYS, Planting, wide_model

#: Of each way, every how manieth fault is tried (from another one on), and how many are named.
SHARES = {"all": (2, 0.97), "hidden": (3, 0.9), "last": (9, 0.7), "ends": (9, 0.7)}


@pytest.fixture(scope="module")
def planting(tmp_path_factory):
    return Planting(wide_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module", params=WAYS)
def outcomes(request, planting):
    every, share = SHARES[request.param]
    start = list(WAYS).index(request.param) % every
    found = [planting.outcome(fault, request.param) for fault in FAULTS[start::every]]
    return [one for one in found if one.state != "nothing"], share


def test_there_are_enough_of_them():
    assert len({(fault.kind, fault.name) for fault in FAULTS}) == len(FAULTS) >= 160


def test_every_fault_is_found(outcomes):
    assert [one for one in outcomes[0] if one.state == "missed"] == []


def test_most_faults_are_named(outcomes):
    seen, share = outcomes
    named = [one for one in seen if one.state in ("named", "among")]
    assert len(named) >= share * len(seen), [one for one in seen if one not in named]


def test_hardly_any_is_given_a_wrong_cause(outcomes):
    seen, _ = outcomes
    wrong = [one for one in seen if one.state == "wrong"]
    assert len(wrong) <= 0.02 * len(seen), wrong
