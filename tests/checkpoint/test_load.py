import json
import os

import numpy as np
import pytest
from wide import WIDE

from minibert import BertModel
from minibert.checkpoint import load
from minibert.checkpoint.layout import FORMS
from minibert.checkpoint.load import of_one_save, open_weights, read_config

ALL_FORMS = [
    f"{form}{how}" for form in ("safetensors", "zip", "legacy") for how in ("", "-sharded")
]


def first_value(folder):
    return open_weights(folder).tensors["w"].read("float32")[0]


@pytest.mark.parametrize("form", ALL_FORMS)
def test_every_form_gives_the_same_bits(tmp_path, make, arrays, form):
    make.write_weights(tmp_path, form, arrays)
    weights = open_weights(str(tmp_path))
    assert set(weights.tensors) == set(arrays)
    assert len(weights.files) == (2 if form.endswith("-sharded") else 1)
    for name, tensor in weights.tensors.items():
        assert tensor.file in weights.files
        assert tensor.read("float32").tobytes() == arrays[name].tobytes()


def test_safetensors_go_before_pickles_and_single_before_sharded(tmp_path, make):
    order = ["safetensors", "safetensors-sharded", "zip", "zip-sharded"]
    for value, form in enumerate(order):
        make.write_weights(
            tmp_path, form, {"w": np.full(3, value, np.float32), "v": np.ones(1, "f4")}
        )
    for value, name in enumerate(FORMS):
        assert first_value(tmp_path) == value
        (tmp_path / name).unlink()


def test_a_broken_file_is_not_passed_over(tmp_path, make, arrays):
    make.write_weights(tmp_path, "zip", arrays)
    (tmp_path / "model.safetensors").symlink_to("gone")
    with pytest.raises(FileNotFoundError, match=r"model.safetensors' is a link to 'gone'"):
        open_weights(tmp_path)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("what", ["folder", "FIFO", "looping link", "dangling link"])
def test_something_else_where_a_file_should_be(tmp_path, make, name, what):
    make_it = {
        "folder": lambda path: path.mkdir(),
        "FIFO": os.mkfifo,
        "looping link": lambda path: path.symlink_to(path.name),
        "dangling link": lambda path: path.symlink_to("gone"),
    }
    make_it[what](tmp_path / name)
    with make.deadline(), pytest.raises(OSError, match=f"{name}' (is|cannot be opened)"):
        open_weights(tmp_path)


def test_a_folder_without_weights_is_told_what_was_looked_for(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileNotFoundError) as caught:
        open_weights(tmp_path)
    assert str(caught.value) == (
        f"no weights in {str(tmp_path)!r}: looked for model.safetensors, "
        "model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json"
    )


@pytest.mark.parametrize("what", ["nothing", "file"])
def test_no_folder(tmp_path, what):
    path = tmp_path / "model"
    if what == "file":
        path.touch()
    with pytest.raises(OSError, match=r"there is no folder '.*model'|model' is a file; a check"):
        open_weights(path)


# --- shards


def test_links_into_a_cache_are_followed(tmp_path, make, arrays):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots"
    blobs.mkdir(), snapshot.mkdir()
    make.write_weights(blobs, "safetensors-sharded", arrays)
    for number, blob in enumerate(list(blobs.iterdir())):
        blob.rename(blobs / str(number))  # the Hub's cache names files by their hashes
        (snapshot / blob.name).symlink_to(f"../blobs/{number}")
    assert set(open_weights(snapshot).tensors) == set(arrays)


@pytest.mark.parametrize("form", ["safetensors-sharded", "zip-sharded", "legacy-sharded"])
def test_a_missing_shard(tmp_path, make, arrays, form):
    make.write_weights(tmp_path, form, arrays)
    (shard,) = tmp_path.glob("*-00002-of-00002.*")
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=rf"index.json' is missing: .*{shard.name}'"):
        open_weights(tmp_path)


def test_a_fifo_for_a_shard(tmp_path, make, arrays):
    make.write_weights(tmp_path, "safetensors-sharded", arrays)
    (shard,) = tmp_path.glob("*-00002-of-00002.*")
    shard.unlink()
    os.mkfifo(shard)
    with make.deadline(), pytest.raises(OSError, match=f"{shard.name}' is a FIFO"):
        open_weights(tmp_path)


@pytest.mark.parametrize("form", ["safetensors-sharded", "zip-sharded", "legacy-sharded"])
def test_a_tensor_that_its_shard_lacks(tmp_path, make, arrays, form):
    make.write_weights(tmp_path, form, arrays)
    index = next(tmp_path.glob("*.index.json"))
    content = json.loads(index.read_text())
    shard = content["weight_map"]["pooler.dense.bias"]
    content["weight_map"]["lost"] = shard
    index.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"puts tensor 'lost' into '{shard}'; it is not there"):
        open_weights(tmp_path)


# --- a save that was killed, or is under way


def prepare(folder, form, *files):
    """Leave what a save leaves that is killed when these files have not taken their place."""
    (folder / "config.json").write_text('{"is": "old"}')
    prepared = folder / f".{form}.0123456789abcdef.tmp"
    prepared.mkdir()
    for name in files:
        (prepared / name).write_text('{"is": "new"}')


@pytest.mark.parametrize(
    ("there", "form", "waiting", "found"),
    [
        ("model.safetensors", "model.safetensors", ["config.json"], "new"),
        ("model.safetensors", "model.safetensors", ["config.json", "model.safetensors"], "old"),
        ("model.safetensors", "model.safetensors", ["model.safetensors"], "old"),
        ("model.safetensors", "model.safetensors", [], "old"),
        # the new weights are there, and the old ones are still preferred to them
        ("model.safetensors", "pytorch_model.bin", ["config.json"], "old"),
        ("pytorch_model.bin", "pytorch_model.bin", ["config.json"], "new"),
        ("pytorch_model.bin", "model.safetensors", ["config.json", "model.safetensors"], "old"),
    ],
)
def test_the_config_is_that_of_the_weights_in_force(tmp_path, there, form, waiting, found):
    (tmp_path / there).touch()
    prepare(tmp_path, form, *waiting)
    assert read_config(tmp_path) == {"is": found}


def test_what_is_read_while_a_save_goes_on_is_read_again(tmp_path):
    path = tmp_path / FORMS[0]
    path.write_text("old")
    seen = []

    def read():
        seen.append(path.read_text())
        if len(seen) < 3:  # a save comes in between
            (tmp_path / "beside").write_text("new")
            (tmp_path / "beside").replace(path)
        if len(seen) == 2:
            raise FileNotFoundError
        return seen[-1]

    assert of_one_save(tmp_path, read) == "new"
    assert seen == ["old", "new", "new"]


def test_what_cannot_be_read_is_an_error_at_once(tmp_path):
    def read():
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        of_one_save(tmp_path, read)


def test_the_files_are_read_once_for_their_sha256(monkeypatch):
    report = BertModel.from_pretrained(WIDE).loading_report
    first = report.sha256()
    monkeypatch.setattr(load, "sha256", None)
    assert report.sha256() == first
    assert len(first) == 64
