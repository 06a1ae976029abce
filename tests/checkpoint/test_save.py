"""What is saved: bit-equal here, by the names and in the files that transformers uses."""

import errno
import os
import stat
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import safetensors
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file
from wide import WIDE

from minibert import EMBEDDED_CHECKPOINT, BertConfig, BertModel, BertTokenizer
from minibert.checkpoint.load import open_weights
from minibert.checkpoint.save import save_checkpoint

HOWS = {"safetensors": {}, "bin": {"safe_serialization": False}}
CONFIG = BertConfig().to_json_string().encode()


@pytest.fixture(params=HOWS)
def how(request):
    return HOWS[request.param]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def loaded(folder):
    return {name: tensor.raw() for name, tensor in open_weights(folder).tensors.items()}


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
    assert (tmp_path / "config.json").read_bytes() == CONFIG
    assert BertConfig.from_pretrained(tmp_path) == BertConfig()


@given(
    shape=st.lists(st.integers(0, 5), max_size=4),
    axes=st.randoms(),
    dtype=st.sampled_from(["<f4", "<f8", ">f4", ">f8"]),
    how=st.sampled_from([*HOWS]),
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
    content = model.config.to_json_string().encode()
    save_checkpoint(tmp_path, content, arrays, **how)
    assert_same(loaded(tmp_path), arrays)
    again = BertModel.from_pretrained(tmp_path)
    ids = [[1, 2, 3, 4, 5]]
    np.testing.assert_array_equal(again(ids).last_hidden_state, model(ids).last_hidden_state)
    assert again.config == model.config


def test_the_library_reads_the_file_that_transformers_asks_for(tmp_path):
    arrays = {
        name: np.array(array, array.dtype.newbyteorder("="), order="C")
        for name, array in odd_arrays().items()
    }
    save_checkpoint(tmp_path, CONFIG, odd_arrays())
    path = tmp_path / "model.safetensors"
    assert_same(load_file(path), arrays)
    with safe_open(path, framework="numpy") as file:
        assert file.metadata() == {"format": "pt"}


@pytest.mark.parametrize(
    ("how", "weights"), [("safetensors", "model.safetensors"), ("bin", "pytorch_model.bin")]
)
def test_names_of_files(tmp_path, how, weights):
    save_checkpoint(tmp_path, CONFIG, odd_arrays(), **HOWS[how])
    assert names(tmp_path) == ["config.json", weights]


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
    stale += ["pytorch_model-00007-of-00009.bin"]
    for name in (*kept, *stale):
        (tmp_path / name).write_text("{}")
    for name in ("model.safetensors", "pytorch_model.bin"):  # of saves that were killed
        prepared = tmp_path / f".{name}.0123456789abcdef.tmp"
        prepared.mkdir()
        for file in (name, "config.json"):
            (prepared / file).write_text("{}")
    (tmp_path / "model-00008-of-00009.safetensors").mkdir()
    save_checkpoint(tmp_path, CONFIG, odd_arrays(), **how)
    save_checkpoint(tmp_path / "alone", CONFIG, odd_arrays(), **how)
    more = [*kept, "alone", "model-00008-of-00009.safetensors"]
    assert names(tmp_path) == sorted([*names(tmp_path / "alone"), *more])
    assert_same(loaded(tmp_path), odd_arrays())


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "pytorch_model.bin"])
def test_a_folder_of_links_is_left_as_it_is(tmp_path, how, name):
    """As in the cache of the Hub, where a folder has links to files that others share."""
    save_checkpoint(tmp_path / "shared", CONFIG, {"a": np.ones(3)}, **how)
    before = {path.name: path.read_bytes() for path in (tmp_path / "shared").iterdir()}
    folder = tmp_path / "snapshot"
    folder.mkdir()
    (folder / name).symlink_to(tmp_path / "shared" / name)
    with pytest.raises(FileExistsError, match=f"'{name}' is a link to .*What was there is unch"):
        save_checkpoint(folder, b"{}", {"a": np.zeros(3)}, **how)
    assert {path.name: path.read_bytes() for path in (tmp_path / "shared").iterdir()} == before
    assert names(folder) == [name]


def test_folders_are_made_and_may_be_text_or_links(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real").mkdir()
    monkeypatch.chdir(tmp_path)
    for folder in ("text", Path("a/b/c"), str(tmp_path / "link"), "link/below"):
        save_checkpoint(folder, CONFIG, {"a": np.ones(3)})
        assert_same(loaded(folder), {"a": np.ones(3)})
    assert (tmp_path / "link").is_symlink()


@pytest.mark.skipif(os.name == "nt", reason="permissions are others there")
def test_permissions_are_those_of_any_new_file_or_of_the_old_one(tmp_path, how):
    before = os.umask(0o027)
    try:
        save_checkpoint(tmp_path, CONFIG, odd_arrays(), **how)
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o640}
        for mode in (0o600, 0o664, 0o400):
            for path in tmp_path.iterdir():
                path.chmod(mode)
            save_checkpoint(tmp_path, CONFIG, odd_arrays(), **how)
            assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {mode}
        for other in HOWS.values():  # another form of the weights is the same weights
            save_checkpoint(tmp_path, CONFIG, odd_arrays(), **other)
            assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {mode}
    finally:
        os.umask(before)


def test_no_copy_of_the_weights_is_made(tmp_path, how):
    if how == HOWS["safetensors"] and not hasattr(safetensors, "TensorSpec"):
        pytest.skip("older versions of the library copy what they write")
    arrays = {name: np.ones((500, 1000), np.float32) for name in "abcd"}
    tracemalloc.start()
    try:
        save_checkpoint(tmp_path, CONFIG, arrays, **how)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < arrays["a"].nbytes / 2


# --- what is refused before anything is written


NEW = {name: np.full((19, 3), 0.5, np.float32) for name in "abc"}


def test_a_folder_where_a_file_belongs(tmp_path):
    for name in ("model.safetensors", "pytorch_model.bin", "config.json"):
        folder = tmp_path / name.partition(".")[0]
        (folder / name).mkdir(parents=True)
        with pytest.raises(IsADirectoryError, match=f"'{name}' is a folder.*move it away"):
            save_checkpoint(folder, CONFIG, NEW)
        assert [path.name for path in folder.iterdir()] == [name]


def test_a_file_where_the_folder_belongs(tmp_path):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(NotADirectoryError, match="is a file; a checkpoint is a folder"):
        save_checkpoint(tmp_path / "file", CONFIG, NEW)
    with pytest.raises(NotADirectoryError, match="cannot be saved: Not a directory"):
        save_checkpoint(tmp_path / "file" / "below", CONFIG, NEW)
    with pytest.raises(FileNotFoundError, match="is a link to 'nowhere', which is not there"):
        save_checkpoint(tmp_path / "link", CONFIG, NEW)
    assert (tmp_path / "file").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]


@pytest.mark.parametrize("kind", [BertConfig, BertTokenizer, BertModel])
def test_a_config_and_a_tokenizer_say_it_in_a_sentence_too(tmp_path, monkeypatch, kind):
    saved = kind.from_pretrained(EMBEDDED_CHECKPOINT)
    (tmp_path / "file").write_text("kept")
    with pytest.raises(NotADirectoryError, match="is a file; a checkpoint is a folder"):
        saved.save_pretrained(tmp_path / "file")

    def refuse(self, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(PermissionError, match=r"you have no permission.*Nothing was written"):
        saved.save_pretrained(tmp_path / "new")


@pytest.mark.parametrize("array", [
    np.ones(3, np.float16), np.ones(3, np.int64), np.ones(3, complex), np.ones(3, bool),
    np.array(["a"]), np.array([None]), [1.0, 2.0], 1.0, None,
])  # fmt: skip
def test_arrays_that_are_no_weights(tmp_path, array):
    with pytest.raises(TypeError, match=r"tensor 'b' is .*; can be saved: float32, float64"):
        save_checkpoint(tmp_path / "new", CONFIG, NEW | {"b": array})
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["", "__metadata__", "\ud800"])
def test_names_that_no_file_can_hold(tmp_path, name):
    with pytest.raises(ValueError, match="a tensor cannot be saved under the name"):
        save_checkpoint(tmp_path / "new", CONFIG, NEW | {name: NEW["a"]})
    assert not (tmp_path / "new").exists()
