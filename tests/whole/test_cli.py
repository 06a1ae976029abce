"""The commands, as a user types them."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from wide import WIDE

from minibert import Reference
from minibert.cli import main


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(WIDE, tmp_path / "copy")


def test_verify_alone_uses_what_is_embedded(capsys):
    assert main(["verify"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "OK: all 51 stages agree, to the rounding of float64"


def test_verify_runs_as_a_module_and_says_nothing_else():
    command = [sys.executable, "-W", "error", "-m", "minibert", "verify"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "OK: all 51 stages agree" in done.stdout


def test_verify_in_float64(capsys):
    assert main(["verify", "--dtype", "float64", "--atol", "1e-13", "--rtol", "1e-12"]) == 0
    assert "float64" in capsys.readouterr().out


def test_verify_any_checkpoint_against_any_reference(copy, capsys):
    reference = copy / "reference.safetensors"
    elsewhere = reference.rename(copy.parent / "elsewhere.safetensors")
    assert main(["verify", str(copy), "--reference", str(elsewhere)]) == 0
    assert "the same checkpoint" in " ".join(capsys.readouterr().out.split())


def test_verify_fails_where_the_numbers_differ(copy, capsys):
    path = copy / "reference.safetensors"
    reference = Reference.load(path)
    stages = dict(reference.stages)
    stages["layer.1.attention.scores"] = stages["layer.1.attention.scores"] * 1.01
    Reference(reference.inputs, stages, reference.provenance).save(path)
    assert main(["verify", str(copy)]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("FAULT: layer.1.attention.scores: ")


def test_json_is_the_same_as_data(copy, capsys):
    assert main(["verify", str(copy), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["ok"] is True
    assert data["stages"][3]["accumulated"] < 1e-5
    assert data["stages"][3]["added"] < data["factor"] * data["stages"][3]["floor"]


def test_a_tolerance_on_the_command_line(capsys):
    assert main(["verify", "--atol", "0", "--rtol", "0"]) == 1
    assert "<= 0 + 0 * |theirs|" in " ".join(capsys.readouterr().out.split())


def test_the_courses_reference_goes_by_its_name(capsys):
    """It is for bert-base-uncased: another checkpoint's vocabulary is too small for it."""
    assert main(["verify", str(WIDE), "--reference", "bert-base-uncased-cmu"]) == 2
    assert "input_ids[0, 0] is 101; allowed: 0 to 88" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["verify", "./nowhere"], "there is no folder 'nowhere'"),
        (["verify", "--reference", "nothing"], "there is no file 'nothing'"),
        (["inspect", "./nowhere"], "there is no folder 'nowhere'"),
        (["verify", "--atol", "-1"], "must be 0 or above"),
    ],
)
def test_what_cannot_run_is_one_sentence_and_status_2(arguments, says, capsys):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.count("\n") == 1


def test_a_folder_without_a_reference_says_what_to_do(copy, capsys):
    (copy / "reference.safetensors").unlink()
    assert main(["verify", str(copy)]) == 2
    assert "--reference FILE; shipped with minibert: bert-base-uncased-cmu" in (
        capsys.readouterr().err
    )


def test_inspect_shows_config_tensors_places_and_parameters(capsys):
    assert main(["inspect", str(WIDE)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("BertConfig {")
    lines = [line.split() for line in out.splitlines()]
    query = "encoder.layer.0.attention.self.query.weight"
    assert [query, "F32", "(21,", "21)", "->", "layer.0.attention.query.weight"] in lines
    assert ["parameters", "10,385", "in", "the", "model"] in lines
    assert any(
        line[0] == "files" and line[1].endswith("model.safetensors") for line in lines if line
    )


def saved(copy, change):
    from safetensors.numpy import load_file, save_file

    tensors = load_file(copy / "model.safetensors")
    change(tensors)
    save_file(tensors, copy / "model.safetensors")


def test_inspect_shows_what_is_unused_missing_or_wrong(copy, capsys):
    def change(tensors):
        tensors["embeddings.position_ids"] = np.arange(31)[None]
        tensors["bert.embeddings.LayerNorm.gamma"] = tensors.pop("embeddings.LayerNorm.weight")
        del tensors["pooler.dense.bias"]

    saved(copy, change)
    assert main(["inspect", str(copy)]) == 0
    out = capsys.readouterr().out
    assert "unused: a buffer that counts 0, 1, 2, ..." in out
    assert "-> embeddings.norm.weight" in out
    assert "note        'pooler.dense.bias' is missing: it would be drawn at random" in out


def test_inspect_fails_where_loading_would(copy, capsys):
    def change(tensors):
        del tensors["encoder.layer.1.output.dense.bias"]
        tensors["bert.embeddings.LayerNorm.bias"] = tensors["embeddings.LayerNorm.bias"]
        name = "embeddings.position_embeddings.weight"
        tensors[name] = np.ascontiguousarray(tensors[name][:-1])

    saved(copy, change)
    assert main(["inspect", str(copy)]) == 1
    out = capsys.readouterr().out
    assert "PROBLEM     'encoder.layer.1.output.dense.bias' is missing" in out
    assert "both mean 'embeddings.LayerNorm.bias'" in out
    assert "'embeddings.position_embeddings.weight' is (30, 21), expected (31, 21)" in out


def test_inspect_says_which_form_it_took(copy, capsys):
    (copy / "pytorch_model.bin").write_bytes(b"never read")
    assert main(["inspect", str(copy)]) == 0
    files = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("files"))
    assert files.endswith("model.safetensors")


def test_help_names_the_commands(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    assert "verify" in capsys.readouterr().out
