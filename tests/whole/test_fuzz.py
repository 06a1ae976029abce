"""A small part of what tests/tools/fuzz_files.py does; and that it finds what is wrong."""

import os
import re

import fuzz_files
import numpy as np
import pytest

from minibert.runtime.warn import warn
from minibert.tokenizers import templates, tokenizer_json
from minibert.tokenizers.fields import typed
from minibert.tokenizers.settings import BertSettings


@pytest.fixture(autouse=True)
def no_waiting_for_a_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def test_mutated_files_end_in_an_object_or_in_a_sentence(tmp_path):
    assert fuzz_files.fuzz(tmp_path, 2500, seed=0) == {}


@pytest.fixture
def of_tokenizers(monkeypatch):
    """Only tokenizer.json is mutated."""
    rows = [row for row in fuzz_files.TABLE if row[0].startswith("tokenizer.json")]
    monkeypatch.setattr(fuzz_files, "TABLE", rows)


def unchecked(values, name, default, *kinds):
    return values.get(name, default)


def test_a_field_whose_type_is_not_checked_is_found(tmp_path, monkeypatch, of_tokenizers):
    monkeypatch.setattr(templates, "typed", unchecked)
    found = fuzz_files.fuzz(tmp_path, 400, seed=0)
    assert any(re.search("AttributeError|TypeError", said) for said in found.values())


def test_a_token_that_is_lost_by_saving_is_found(tmp_path, monkeypatch, of_tokenizers):
    written = tokenizer_json.write_template
    monkeypatch.setattr(tokenizer_json, "write_template", lambda t: written((t[0], t[1][1:])))
    found = fuzz_files.fuzz(tmp_path, 100, seed=0)
    assert any("after saving" in said or "was saved" in said for said in found.values()), found


FINDINGS = {
    "an error of Python": (lambda path: {}["a"], "KeyError"),
    "an error of a library": (lambda path: np.zeros(3).reshape(2), "ValueError, cannot reshape"),
    "a warning of a library": (lambda path: np.ones(1) / 0, "warns: divide by zero"),
    "a long text": (lambda path: BertSettings.of(**{"x" * 1000: 1}), "a text of 1"),
    "a long warning": (lambda path: warn("x" * 1001), "a text of 1001 characters"),
    "control characters": (lambda path: warn("a\x1b[31m"), "control characters"),
    "a word of Python": (lambda path: warn("found NoneType"), "words of Python"),
    "another object": (lambda path: fuzz_files.require(1, 2, "number"), "another number after"),
    "endless nesting": (lambda path: repr(nested()), "RecursionError"),
    "nothing": (lambda path: None, None),
    "a sentence": (lambda path: typed({}, "a", None, dict), None),
    "a warning": (lambda path: warn("a sentence"), None),
}


def nested():
    found = []
    for _ in range(100_000):
        found = [found]
    return found


@pytest.mark.parametrize("case", FINDINGS.values(), ids=FINDINGS)
def test_what_is_a_finding(monkeypatch, tmp_path, case):
    opener, expected = case
    monkeypatch.setattr(fuzz_files, "__file__", __file__)  # from where the warnings come
    said = fuzz_files.finding({tmp_path / "a": b""}, opener)
    assert (said is None) == (expected is None), said
    assert expected is None or expected in said


def test_an_input_that_takes_long_is_a_finding(monkeypatch, tmp_path):
    monkeypatch.setattr(fuzz_files, "SECONDS", -1)
    assert "it takes" in fuzz_files.finding({tmp_path / "a": b""}, lambda path: None)


def test_a_seed_and_a_number_make_an_input(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(fuzz_files, "finding", lambda files, _: seen.append([*files.values()]))
    fuzz_files.fuzz(tmp_path / "a", 20, seed=3)
    fuzz_files.fuzz(tmp_path / "b", 5, seed=3, first=15)
    assert seen[15:20] == seen[20:]
