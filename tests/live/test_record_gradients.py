"""Gradients of transformers, recorded through autograd, beside our own derivatives."""

import numpy as np
import pytest
from learning import KINDS, POOLED, read, told
from wide_theirs import drawn

import minibert
from minibert import Reference, compare_recordings, record_model, verify
from minibert.cli import main

REASON = "a live check: pip install torch==2.13.0, then transformers"
torch = pytest.importorskip("torch", reason=REASON)
transformers = pytest.importorskip("transformers", reason=REASON)

RECORDED = [kind for kind in KINDS if not kind.endswith("Choice")]


def theirs(folder, kind, dtype):
    """Save a model of transformers of which every weight is wide, and open it."""
    drawn(folder, kind)
    options = {"attn_implementation": "eager", "dtype": getattr(torch, dtype)}
    return getattr(transformers, kind).from_pretrained(folder, **options).eval()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", RECORDED)
def test_autograd_follows_our_derivatives(tmp_path, kind, dtype):
    """An answer may be in padding, for transformers: there is none."""
    model = theirs(tmp_path / "model", kind, dtype)
    padding = "none" if "Answer" in kind else "right" if kind in POOLED else "left"
    inputs = read(kind, padding)
    record_model(model, inputs, labels=told(kind, inputs)).save(tmp_path / "r")
    found = Reference.load(tmp_path / "r")
    ours = getattr(minibert, kind).from_pretrained(tmp_path / "model", "float64")
    mine = record_model(ours, inputs, labels=told(kind, inputs))
    assert {*found.stages} == {*mine.stages}
    report = verify(ours, found)
    assert report.ok, str(report)
    assert dtype in report.precision
    assert compare_recordings(found, mine, ours).ok
    assert not any(weight.grad is not None for weight in model.parameters())
    if dtype == "float64" and kind != "GPT2LMHeadModel":  # whose loss transformers has in float32
        for name, stage in mine.stages.items():
            np.testing.assert_allclose(found.stages[name], stage, rtol=0, atol=1e-11, err_msg=name)


def test_the_command(tmp_path, capsys):
    theirs(tmp_path / "model", "BertForMaskedLM", "float32")
    np.savez(tmp_path / "inputs.npz", **read("BertForMaskedLM"))
    path = str(tmp_path / "r")
    given = ["--gradients", "--from", "transformers", "--inputs", str(tmp_path / "inputs.npz")]
    assert main(["record", str(tmp_path / "model"), *given, "-o", path]) == 0
    assert "30 stages and 72 gradients" in capsys.readouterr().out
    assert main(["verify", str(tmp_path / "model"), "--reference", path]) == 0


def test_a_frozen_weight_is_said(tmp_path):
    model = theirs(tmp_path, "BertForMaskedLM", "float32")
    model.bert.embeddings.requires_grad_(False)
    inputs = read("BertForMaskedLM")
    with pytest.raises(ValueError, match=r"weight bert.embeddings.\w+.weight is frozen"):
        record_model(model, inputs, labels=told("BertForMaskedLM", inputs))
