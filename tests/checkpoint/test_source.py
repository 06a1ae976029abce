import json
import os

import numpy as np
import pytest

from minibert.checkpoint.source import FORMS, open_weights

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


def test_a_folder_with_other_weights_is_told_of_them(tmp_path):
    for name in ("tf_model.h5", "flax_model.msgpack"):
        (tmp_path / name).touch()
    sentence = r"it has flax_model.msgpack, tf_model.h5, which cannot be read$"
    with pytest.raises(FileNotFoundError, match=sentence):
        open_weights(tmp_path)


@pytest.mark.parametrize("what", ["nothing", "file"])
def test_no_folder(tmp_path, what):
    path = tmp_path / "model"
    if what == "file":
        path.touch()
    with pytest.raises(OSError, match=r"there is no folder '.*model'|model' is a file; a check"):
        open_weights(path)


# --- shards


def index_of(folder, suffix="safetensors"):
    name = "model" if suffix == "safetensors" else "pytorch_model"
    return folder / f"{name}.{suffix}.index.json"


@pytest.mark.parametrize("extra", [{}, {"metadata": {"total_size": 1}}, {"metadata": 0}], ids=str)
def test_an_index_with_and_without_metadata(tmp_path, make, arrays, extra):
    make.write_weights(tmp_path, "safetensors-sharded", arrays)
    index = index_of(tmp_path)
    index.write_text(json.dumps(json.loads(index.read_text()) | extra))
    assert set(open_weights(tmp_path).tensors) == set(arrays)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
@pytest.mark.parametrize(
    "shard",
    ["../x", "..", ".", "", "/etc/passwd", "a/b", "a\\b", "..\\x", "C:x", "C:\\x", "a\0b", "./x"],
)
def test_a_shard_outside_the_folder_is_refused_by_name(tmp_path, suffix, shard):
    folder = tmp_path / "model"
    folder.mkdir()
    index_of(folder, suffix).write_text(json.dumps({"weight_map": {"w": shard}}))
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the name is no pattern
        open_weights(folder)
    assert f"index.json' names the shard {shard!r}; allowed: the name of" in str(caught.value)


def test_a_shard_that_would_be_there_outside(tmp_path, make, arrays):
    (tmp_path / "model").mkdir()
    make.write_weights(tmp_path, "safetensors", arrays)
    index = {"weight_map": dict.fromkeys(arrays, "../model.safetensors")}
    index_of(tmp_path / "model").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"names the shard '../model.safetensors'"):
        open_weights(tmp_path / "model")


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


WRONG_MAPS = {
    "no weight_map": ({"metadata": {}}, "has no weight_map"),
    "a list": ({"weight_map": ["w"]}, "has no weight_map"),
    "empty": ({"weight_map": {}}, "has no weight_map"),
    "a number for a shard": ({"weight_map": {"w": 5}}, "names no file for tensor 'w': 5"),
    "null for a shard": ({"weight_map": {"w": None}}, "names no file for tensor 'w': None"),
    "half a character": ({"weight_map": {"w": "\ud800"}}, "cannot be opened"),
}


@pytest.mark.parametrize("wrong", WRONG_MAPS.values(), ids=WRONG_MAPS)
def test_an_index_that_maps_nothing(tmp_path, wrong):
    content, sentence = wrong
    index_of(tmp_path).write_text(json.dumps(content))
    with pytest.raises((ValueError, OSError), match=sentence):
        open_weights(tmp_path)


def test_an_index_that_is_no_json(tmp_path):
    index_of(tmp_path).write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ValueError, match=r"index.json' is not JSON: it looks like a git-lfs"):
        open_weights(tmp_path)
