"""What is saved: bit-equal here, by the names and in the files that transformers uses."""

import json
import os
import stat
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from wide import WIDE

from minibert import BertConfig, BertModel
from minibert.checkpoint.safetensors import read_metadata
from minibert.checkpoint.save import save_checkpoint, shard_limit, split
from minibert.checkpoint.source import open_weights

HOWS = {
    "single": {},
    "shards": {"max_shard_size": "3KB"},
    "bin": {"safe_serialization": False},
    "bin shards": {"safe_serialization": False, "max_shard_size": "3KB"},
}
CONFIG = BertConfig()


@pytest.fixture(params=HOWS)
def how(request):
    return HOWS[request.param]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def loaded(folder):
    return {name: tensor.stored() for name, tensor in open_weights(folder).tensors.items()}


def assert_same(found, expected):
    """Equal to the bit: in dtype, in shape and in every NaN."""
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype.newbyteorder("=")
        assert found[name].shape == array.shape
        plain = np.array(array, array.dtype.newbyteorder("="), order="C")
        assert found[name].tobytes() == plain.tobytes(), name


def odd_arrays():
    """Arrays of both dtypes, in every layout in memory, and numbers of every kind."""
    random = np.random.default_rng(0)
    base = random.normal(size=(5, 7, 3))
    tiny = np.nextafter(0, 1)
    odd = [0.0, -0.0, np.inf, -np.inf, np.nan, tiny, -tiny, np.finfo(np.float64).max]
    with np.errstate(over="ignore", under="ignore"):
        single = np.array(odd).astype(np.float32)
    single[4:5].view(np.uint32)[:] = 0x7FC01234  # a NaN with a payload
    return {
        "odd": np.array(odd),
        "odd single": single,
        "C": base.astype(np.float32),
        "Fortran": np.asfortranarray(base),
        "Fortran single": np.asfortranarray(base[0].astype(np.float32)),
        "transposed": base.transpose(2, 0, 1),
        "sliced": base[::2, 1:6:2],
        "backwards": base.astype(np.float32)[::-1, :, ::-1],
        "broadcast": np.broadcast_to(base[0, :, :1], (4, 7, 5)),
        "big-endian": base.astype(">f4"),
        "big-endian, Fortran": np.asfortranarray(base.astype(">f8")),
        "scalar": np.array(2.5, np.float32),
        "scalar of a view": base[1, 2, 0:1].reshape(()),
        "empty": np.empty((0, 3), np.float32),
        "empty within": np.empty((2, 0, 3)),
        "unaligned": np.frombuffer(b"\0" + base.tobytes(), np.uint8)[1:].view(np.float64),
        "mémoire": base[0].astype(np.float32),
    }


def test_round_trip(tmp_path, how):
    arrays = odd_arrays()
    assert not all(array.flags.c_contiguous for array in arrays.values())
    save_checkpoint(tmp_path, CONFIG, arrays, **how)
    assert_same(loaded(tmp_path), arrays)
    assert BertConfig.from_pretrained(tmp_path) == CONFIG


@given(
    shape=st.lists(st.integers(0, 5), max_size=4),
    axes=st.randoms(),
    dtype=st.sampled_from(["<f4", "<f8", ">f4", ">f8"]),
    how=st.sampled_from(["single", "bin"]),
)
def test_round_trip_of_any_shape_and_layout(tmp_path_factory, shape, axes, dtype, how):
    array = np.arange(np.prod(shape), dtype=dtype).reshape(shape)
    order = axes.sample(range(len(shape)), len(shape))
    arrays = {"a": array.transpose(order), "b": array[::2] if shape else array}
    folder = tmp_path_factory.mktemp("any")
    save_checkpoint(folder, CONFIG, arrays, **HOWS[how])
    assert_same(loaded(folder), arrays)


def test_the_same_tensors_give_the_same_bytes(tmp_path, how):
    contents = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        save_checkpoint(folder, CONFIG, odd_arrays(), **how)
        contents.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert contents[0] == contents[1]


def test_the_embedded_checkpoint_again(tmp_path, how):
    """Loaded, saved and loaded: the same model, to the bit of its hidden states."""
    model = BertModel.from_pretrained(WIDE)
    arrays = loaded(WIDE)
    save_checkpoint(tmp_path, model.config, arrays, **how)
    assert_same(loaded(tmp_path), arrays)
    again = BertModel.from_pretrained(tmp_path)
    ids = [[1, 2, 3, 4, 5]]
    np.testing.assert_array_equal(again(ids).last_hidden_state, model(ids).last_hidden_state)
    assert again.config == model.config


def test_the_library_reads_and_writes_the_same_file(tmp_path):
    arrays = {
        name: np.array(array, array.dtype.newbyteorder("="), order="C")
        for name, array in odd_arrays().items()
    }
    save_checkpoint(tmp_path, CONFIG, odd_arrays())
    path = tmp_path / "model.safetensors"
    assert_same(load_file(path), arrays)
    with safe_open(path, framework="numpy") as file:
        assert file.metadata() == {"format": "pt"}
    save_file(arrays, tmp_path / "theirs", metadata={"format": "pt"})
    assert path.read_bytes() == (tmp_path / "theirs").read_bytes()


def test_names_of_files_and_the_index(tmp_path):
    arrays = {name: np.ones(10, np.float32) for name in "bca"} | {"large": np.ones(40)}
    save_checkpoint(tmp_path, CONFIG, arrays, max_shard_size=80)
    shards = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    assert names(tmp_path) == ["config.json", *shards, "model.safetensors.index.json"]
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    shard_of = {"b": shards[0], "c": shards[0], "large": shards[1], "a": shards[2]}
    assert index == {"metadata": {"total_size": 440}, "weight_map": shard_of}
    for shard in shards:
        assert read_metadata(tmp_path / shard) == {"format": "pt"}
    save_checkpoint(tmp_path, CONFIG, arrays, max_shard_size=80, safe_serialization=False)
    shards = [f"pytorch_model-0000{i}-of-00003.bin" for i in (1, 2, 3)]
    assert names(tmp_path) == ["config.json", *shards, "pytorch_model.bin.index.json"]
    index = json.loads((tmp_path / "pytorch_model.bin.index.json").read_text())
    assert index["weight_map"]["large"] == shards[1]


@pytest.mark.parametrize(
    ("sizes", "shards"),
    [
        ([], [[]]),
        ([10], [[10]]),
        ([11], [[11]]),
        ([5, 5], [[5, 5]]),
        ([5, 6], [[5], [6]]),
        ([6, 6, 2, 6, 2, 2], [[6], [6, 2], [6, 2, 2]]),
        ([12, 12], [[12], [12]]),
        ([3, 12, 3], [[12], [3, 3]]),
        ([0, 10, 0, 1], [[0, 10, 0], [1]]),
    ],
)
def test_a_shard_is_filled_before_the_next(sizes, shards):
    tensors = {str(i): np.empty(size, np.int8) for i, size in enumerate(sizes)}
    found = split(tensors, 10)
    assert [[array.nbytes for array in shard.values()] for shard in found] == shards
    assert sorted(name for shard in found for name in shard) == sorted(tensors)


@pytest.mark.parametrize(
    ("size", "limit"),
    [
        (1, 1),
        (np.int64(7), 7),
        ("5GB", 5 * 10**9),
        ("200MB", 2 * 10**8),
        ("9KB", 9000),
        ("2TB", 2 * 10**12),
        ("1GiB", 2**30),
        ("3MiB", 3 * 2**20),
        ("2KiB", 2048),
        ("1TiB", 2**40),
        (" 1.5 gb ", 15 * 10**8),
    ],
)
def test_sizes_of_shards(size, limit):
    assert shard_limit(size) == limit


@pytest.mark.parametrize("new", HOWS)
@pytest.mark.parametrize("old", HOWS)
def test_saving_over_the_files_that_the_tensors_lie_in(tmp_path, old, new):
    arrays = {name: array for name, array in odd_arrays().items() if array.dtype.isnative}
    save_checkpoint(tmp_path, CONFIG, arrays, **HOWS[old])
    mapped = loaded(tmp_path)
    save_checkpoint(tmp_path, CONFIG, mapped, **HOWS[new])
    assert_same(mapped, arrays)  # the mapping still shows the old file
    assert_same(loaded(tmp_path), arrays)


def test_what_is_removed_and_what_is_kept(tmp_path, how):
    """A folder holds the weights of one checkpoint; all else in it is somebody else's."""
    kept = ["vocab.txt", "tf_model.h5", "adapter_model.bin", "model-1-of-2.safetensors"]
    kept += [".hidden.tmp", "my-model-00001-of-00002.safetensors", "model.safetensors.bak"]
    stale = ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"]
    stale += ["pytorch_model.bin.index.json", "model-00007-of-00009.safetensors"]
    stale += ["pytorch_model-00007-of-00009.bin", ".config.json.0123456789abcdef.tmp"]
    stale += [".model-00001-of-00002.safetensors.0123456789abcdef.tmp"]
    stale += [".0123456789abcdef.pytorch_model-00001-of-00002.bin"]
    for name in (*kept, *stale):
        (tmp_path / name).write_text("{}")
    (tmp_path / "model-00008-of-00009.safetensors").mkdir()
    save_checkpoint(tmp_path, CONFIG, odd_arrays(), **how)
    save_checkpoint(tmp_path / "alone", CONFIG, odd_arrays(), **how)
    more = [*kept, "alone", "model-00008-of-00009.safetensors"]
    assert names(tmp_path) == sorted([*names(tmp_path / "alone"), *more])
    assert_same(loaded(tmp_path), odd_arrays())


def test_links_are_replaced_and_not_followed(tmp_path):
    """As in the cache of the Hub, where a folder has links to files that others share."""
    save_checkpoint(tmp_path / "shared", CONFIG, {"a": np.ones(3)})
    before = {path.name: path.read_bytes() for path in (tmp_path / "shared").iterdir()}
    (tmp_path / "snapshot").mkdir()
    for name in before:
        (tmp_path / "snapshot" / name).symlink_to(tmp_path / "shared" / name)
    save_checkpoint(tmp_path / "snapshot", BertConfig(vocab_size=29), {"a": np.zeros(3)})
    assert {path.name: path.read_bytes() for path in (tmp_path / "shared").iterdir()} == before
    assert_same(loaded(tmp_path / "snapshot"), {"a": np.zeros(3)})


def test_folders_are_made_and_may_be_text_or_links(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real").mkdir()
    monkeypatch.chdir(tmp_path)
    for folder in ("text", Path("a/b/c"), str(tmp_path / "link"), "link/below"):
        save_checkpoint(folder, CONFIG, {"a": np.ones(3)})
        assert_same(loaded(folder), {"a": np.ones(3)})
    assert (tmp_path / "link").is_symlink()


@pytest.mark.skipif(os.name == "nt", reason="permissions are others there")
def test_permissions_are_those_of_any_new_file(tmp_path, how):
    before = os.umask(0o027)
    try:
        save_checkpoint(tmp_path, CONFIG, odd_arrays(), **how)
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o640}


def test_no_copy_of_the_weights_is_made(tmp_path, how):
    arrays = {name: np.ones((500, 1000), np.float32) for name in "abcd"}
    tracemalloc.start()
    try:
        save_checkpoint(tmp_path, CONFIG, arrays, **how)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < arrays["a"].nbytes / 2
