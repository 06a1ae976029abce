"""Recording our own engine; what needs transformers is in tests/live/test_record.py."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from stages import stage_axes
from wide import WIDE

import minibert
from minibert import (
    EMBEDDED_CHECKPOINT,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    Reference,
    record_checkpoint,
    record_model,
    verify,
)
from minibert.models.auto import MODELS
from minibert.verification.compare import real_places


def test_what_we_record_we_verify(tmp_path, model, reference):
    record_checkpoint(WIDE, reference.inputs).save(tmp_path / "r")
    found = Reference.load(tmp_path / "r")
    assert verify(model, found).verdict.startswith(
        "OK: all 27 stages agree, to the rounding of float"
    )
    exact = BertModel.from_pretrained(WIDE, dtype="float64")
    assert verify(exact, found, atol=0, rtol=0).ok


def test_it_is_what_transformers_computed(reference):
    found = record_checkpoint(WIDE, reference.inputs)
    assert list(found.stages) == list(stage_axes(2))
    for name, stage in reference.stages.items():
        np.testing.assert_allclose(found.stages[name], stage, rtol=1e-10, atol=1e-12)


def test_provenance_says_where_it_is_from(reference):
    provenance = record_checkpoint(WIDE, reference.inputs).provenance
    errors = json.loads(provenance.pop("float32_errors"))
    assert provenance == {
        "tools": f"minibert {minibert.__version__}, numpy {np.__version__}",
        "attention": "minibert",
        "dtype": "float64",
        "checkpoint": "wide",
        "checkpoint_sha256": reference.provenance["checkpoint_sha256"],
    }
    axes, real = stage_axes(2), reference.real_tokens()
    assert set(errors) == set(axes)
    exact = record_checkpoint(WIDE, reference.inputs).stages
    rounded = record_checkpoint(WIDE, reference.inputs, dtype="float32").stages
    for name, said in errors.items():
        places = np.broadcast_to(real_places(axes[name], real), exact[name].shape)
        error = (rounded[name] - exact[name])[places]
        assert said == pytest.approx([np.sqrt((error**2).mean()), np.abs(error).max()])


def test_in_float32_nothing_is_said_of_its_errors(reference):
    found = record_checkpoint(WIDE, reference.inputs, dtype="float32", checkpoint="another name")
    assert {stage.dtype for stage in found.stages.values()} == {np.dtype(np.float32)}
    assert found.provenance["dtype"] == "float32"
    assert found.provenance["checkpoint"] == "another name"
    assert "float32_errors" not in found.provenance


def test_there_are_zeros_where_padding_is(reference):
    found = record_checkpoint(WIDE, reference.inputs)
    axes, real = stage_axes(2), reference.real_tokens()
    for name, stage in found.stages.items():
        places = np.broadcast_to(real_places(axes[name], real), stage.shape)
        assert stage[places].all()
        assert not stage[~places].any()


def test_without_a_mask_every_token_is_recorded_as_real():
    found = record_checkpoint(EMBEDDED_CHECKPOINT, {"input_ids": [[2, 47, 3], [2, 0, 3]]})
    assert found.inputs["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize(
    ("kind", "stages"),
    [
        (BertForMaskedLM, ["predictions.activation", "predictions", "logits"]),
        (BertForSequenceClassification, ["layer.1", "pooler", "logits"]),
    ],
)
def test_a_head_is_recorded_with_its_stages(model, reference, kind, stages):
    headed = kind(model.config)
    found = record_model(headed, reference.inputs, "drawn")
    assert list(found.stages) == list(headed.stage_axes())
    assert list(found.stages)[-3:] == stages
    assert found.provenance["checkpoint"] == "drawn"
    assert verify(headed, found).ok


def test_a_pooler_that_is_drawn_is_no_reference(tmp_path, reference):
    from safetensors.numpy import load_file, save_file

    copy = shutil.copytree(WIDE, tmp_path / "copy")
    tensors = load_file(copy / "model.safetensors")
    save_file(
        {name: tensor for name, tensor in tensors.items() if "pooler" not in name},
        copy / "model.safetensors",
    )
    with pytest.warns(UserWarning, match="newly initialized"):
        found = record_checkpoint(copy, reference.inputs)
    assert list(found.stages) == list(stage_axes(2))[:-1]
    assert "pooler" not in found.provenance["float32_errors"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"source": "tensorflow"}, "source is 'tensorflow'; allowed: minibert, transformers"),
        ({"dtype": "float16"}, "dtype is 'float16'; allowed: 'float32', 'float64'"),
        ({"inputs": {"input_ids": [[1, 2], [3]]}}, "input_ids is ragged"),
        ({"inputs": {"input_ids": [[1, 99]]}}, "input_ids[0, 1] is 99; allowed: 0 to 88"),
        ({"inputs": {"labels": [[1, 2]]}}, "with input_ids or inputs_embeds among them"),
    ],
)
def test_what_cannot_be_recorded_is_said(options, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        record_checkpoint(WIDE, **{"inputs": {"input_ids": [[1, 2]]}, **options})


@pytest.mark.parametrize("library", ["torch", "transformers"])
def test_without_transformers_it_says_how_to_get_it(monkeypatch, library):
    monkeypatch.setitem(sys.modules, "torch", None if library == "torch" else sys)
    monkeypatch.setitem(sys.modules, "transformers", None)
    says = f"needs {library}, which is not installed: pip install 'minibert-numpy[live]'"
    with pytest.raises(ImportError, match=re.escape(says)):
        record_checkpoint(WIDE, {"input_ids": [[1, 2]]}, "transformers")


def test_every_stage_has_its_place_in_transformers():
    """The scores are no module's input or output: torch's softmax is given them."""
    shown = {stage.name: stage.shown for kind in MODELS for stage in kind.stages()}
    seen = {name.rpartition(".")[2] for name, way in shown.items() if way == "softmax"}
    assert seen == {"scores"}
    thirds = {"1 of 3", "2 of 3", "3 of 3"}  # query, key and value of GPT-2
    assert set(shown.values()) == {"input", "output", "second", "softmax"} | thirds


def test_one_file_of_the_package_imports_torch():
    files = Path(minibert.__file__).parent.rglob("*.py")
    pattern = re.compile(r"(import|from|_library\(\W)\s*(torch|transformers)\b")
    assert [file.name for file in files if pattern.search(file.read_text())] == ["record.py"]


def test_a_terminal_shows_how_far_it_is(terminal):
    record_checkpoint(WIDE, {"input_ids": [[1, 2]]})
    for text in ("loading, in float64", "running in float64", "running in float32"):
        assert f"record: {text} ..." in terminal.getvalue()
    assert terminal.getvalue().endswith("\r")
