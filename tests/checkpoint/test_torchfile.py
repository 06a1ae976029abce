import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from minibert.checkpoint.load import open_weights
from minibert.checkpoint.pickles import Storage, View
from minibert.checkpoint.torchfile import read_torch

RECORDED = Path(__file__).parent.parent / "data" / "torch"
FORMS = ["zip", "legacy", "legacy4"]
F64, F32 = "float64", "float32"
SIX = Storage("F32", "0", 6)
SIX_BYTES = np.arange(6, dtype="<f4").tobytes()
VIEW = View(SIX, 0, (6,), (1,))


def numbers(tensor):
    """Return what a tensor holds, as wide as torch recorded it."""
    if tensor.dtype == "I64":
        return tensor.raw()
    return tensor.read(F64 if tensor.dtype == "F64" else F32)


def assert_as_recorded(tensors):
    with np.load(RECORDED / "expected.npz") as expected:
        assert set(tensors) == set(expected)
        for name in expected:
            found = numbers(tensors[name])
            assert found.dtype == expected[name].dtype, name
            assert found.shape == expected[name].shape == tensors[name].shape, name
            assert found.tobytes() == expected[name].tobytes(), name


# --- what torch wrote


@pytest.mark.parametrize("form", FORMS)
def test_a_recorded_file_is_read_bit_by_bit(form):
    path = RECORDED / f"{form}.bin"
    assert b"_metadata" in path.read_bytes()
    assert_as_recorded(read_torch(path))


def test_the_record_holds_every_dtype_and_special_numbers():
    tensors = read_torch(RECORDED / "zip.bin")
    assert {t.dtype for t in tensors.values()} == {"F64", "F32", "F16", "BF16", "I64"}
    for name in ("half", "bfloat"):
        found = tensors[name].read(F32)
        assert np.nanmin(np.abs(found[found != 0])) < (2**-14 if name == "half" else 2**-126)
        assert np.isinf(found).sum() == 2
    assert np.isnan(found).sum() == 1


@pytest.mark.parametrize("forms", [("zip", "zip"), ("legacy", "legacy"), ("zip", "legacy")])
def test_recorded_shards_are_read_bit_by_bit(tmp_path, forms):
    with np.load(RECORDED / "expected.npz") as expected:
        names = list(expected)
    weight_map = {name: f"shard{i % 2}.bin" for i, name in enumerate(names)}
    for i, form in enumerate(forms):
        shutil.copy(RECORDED / f"{form}.bin", tmp_path / f"shard{i}.bin")
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    assert_as_recorded(open_weights(tmp_path).tensors)


@pytest.mark.parametrize("form", FORMS)
def test_nothing_that_is_read_can_be_written_to(form):
    for name, tensor in read_torch(RECORDED / f"{form}.bin").items():
        for array in (tensor.raw(), numbers(tensor)):
            assert not array.flags.writeable, name
        assert numbers(tensor).flags.c_contiguous, name


def test_a_zip_is_mapped_and_a_shared_storage_stays_shared():
    tensors = read_torch(RECORDED / "zip.bin")
    base = tensors["base"].read(F32)
    assert not base.flags.owndata
    for name in ("shared.head", "shared.tail"):
        assert np.shares_memory(tensors[name].read(F32), base), name
    assert np.shares_memory(tensors["transposed"].raw(), base)


def test_a_tensor_that_is_no_float_is_named_when_it_is_read():
    with pytest.raises(ValueError, match=r"'position_ids' in '.*zip.bin' holds I64; a weight is"):
        read_torch(RECORDED / "zip.bin")["position_ids"].read(F32)


def test_a_compressed_zip_is_refused_before_anything_is_unfolded(tmp_path, monkeypatch):
    path = tmp_path / "pytorch_model.bin"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**6))
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("a member was opened"))
    sentence = "'archive/data.pkl' is compressed, which torch.save never does: unpack the archive"
    with pytest.raises(ValueError, match=sentence):
        read_torch(path)


# --- what a training saves


@pytest.mark.parametrize("name", ["training.bin", "training_legacy.bin"])
def test_the_model_in_what_a_training_saved_is_read_bit_by_bit(name):
    found = read_torch(RECORDED / name)
    tensors = {key.removeprefix("model_state_dict."): tensor for key, tensor in found.items()}
    assert all(key.startswith("model_state_dict.") for key in found)
    odd = {key: tensors.pop(key) for key in [*tensors] if key.startswith("odd.")}
    assert_as_recorded(tensors)
    assert {key: (tensor.dtype, tensor.shape) for key, tensor in odd.items()} == {
        "odd.complex": ("C64", (3,)),
        "odd.uint16": ("uint16", (3,)),
        "odd.float8": ("float8_e4m3fn", (3,)),
        "odd.sparse": ("torch.sparse_coo", (3, 3)),
        "odd.rows": ("torch.sparse_csr", (3, 3)),
    }
    for tensor in odd.values():
        with pytest.raises(ValueError, match=rf"{tensor.dtype}; a weight is of a floating type"):
            tensor.read(F32)
    with pytest.raises(ValueError, match="not read"):
        odd["odd.sparse"].raw()


@pytest.mark.parametrize("keys", [["state_dict"], ["model"], ["checkpoint", "weights"]])
@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_a_dict_of_tensors_is_found_under_any_key(tmp_path, make, keys, form):
    state = {"w": VIEW}
    for key in reversed(keys):
        state = {"epoch": 3, "optimizer": {"state": {0: {"avg": VIEW}}, "lr": [0.1]}, key: state}
    program = make.torch_pickle(state)
    build = {
        "zip": lambda: make.torch_zip(program, {"0": SIX_BYTES}),
        "legacy": lambda: make.torch_legacy(program, {"0": (6, SIX_BYTES)}),
    }
    (tmp_path / "pytorch_model.bin").write_bytes(build[form]())
    (tensor,) = read_torch(tmp_path / "pytorch_model.bin").values()
    assert tensor.name == ".".join([*keys, "w"])
    np.testing.assert_array_equal(tensor.read(F32), np.arange(6))


def test_a_dict_under_two_keys_is_one_and_is_looked_through_once(tmp_path, make):
    state = {"w": VIEW}
    program = make.torch_pickle({"model": state, "best": state, "epoch": 3})
    (tmp_path / "pytorch_model.bin").write_bytes(make.torch_zip(program, {"0": SIX_BYTES}))
    assert list(read_torch(tmp_path / "pytorch_model.bin")) == ["model.w"]


def lightning(kind):
    """Return a pickled object of a class of a training's: made anew, filled and given a state."""
    module, name = kind
    new = f"c{module}\n{name}\n".encode() + b")\x81"
    key, value = b"X\2\0\0\0lr", b"X\4\0\0\0fast"
    return new + b"(" + key + value + b"u" + b"}" + key + value + b"sb"


TRAINING_CLASSES = [
    ("pytorch_lightning.utilities.parsing", "AttributeDict"),
    ("lightning.fabric.utilities.data", "AttributeDict"),
    ("omegaconf.dictconfig", "DictConfig"),
    ("argparse", "Namespace"),
]


@pytest.mark.parametrize("form", ["zip", "legacy"])
@pytest.mark.parametrize("kind", TRAINING_CLASSES, ids=".".join)
def test_the_weights_of_a_training_with_classes_of_its_own(tmp_path, make, kind, form):
    state = make.torch_pickle({"net.w": VIEW})[2:-1]
    keyed = b"}" + lightning(kind) + b"Ns"  # old versions have classes for keys
    path = b"cpathlib\nPosixPath\n(X\1\0\0\0/tR"
    program = b"".join([
        *(b"\x80\x02}(", b"X\5\0\0\0hyper", lightning(kind), b"X\4\0\0\0call", keyed),
        *(b"X\4\0\0\0path", path, b"X\x0a\0\0\0state_dict", state, b"u."),
    ])  # fmt: skip
    build = {
        "zip": lambda: make.torch_zip(program, {"0": SIX_BYTES}),
        "legacy": lambda: make.torch_legacy(program, {"0": (6, SIX_BYTES)}),
    }
    (tmp_path / "pytorch_model.bin").write_bytes(build[form]())
    (tensor,) = read_torch(tmp_path / "pytorch_model.bin").values()
    assert tensor.name == "state_dict.net.w"
    np.testing.assert_array_equal(tensor.read(F32), np.arange(6))


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (b"}" + b"X\1\0\0\0w" + lightning(TRAINING_CLASSES[0]) + b"s", "'w' is pytorch_lightn"),
        (lightning(TRAINING_CLASSES[2]), "it holds omegaconf.dictconfig.DictConfig, not a dict"),
        (b"}" + lightning(("my_code", "Config")) + b"Ns", "names my_code.Config"),
        (b"}" + lightning(("builtins", "eval")) + b"Ns", "names builtins.eval"),
        (
            b"ctorch._utils\n_rebuild_tensor_v2\n(" + lightning(TRAINING_CLASSES[0]) + b"K\0))tR",
            "described by something else",
        ),
    ],
)
def test_a_class_where_a_tensor_should_be_or_of_ones_own_is_named(tmp_path, make, program, says):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(make.torch_zip(b"\x80\x02" + program + b".", {}))
    with pytest.raises(ValueError, match=says):
        read_torch(path)


# --- windows on storages, in both forms


@pytest.fixture(params=["zip", "legacy"])
def write_view(request, make, tmp_path):
    """Return what writes a tensor 'odd' over a storage of the given bytes, in either form."""

    def write(view, content=SIX_BYTES, size=None):
        program = make.torch_pickle({"odd": view})
        if request.param == "zip":
            built = make.torch_zip(program, {view.storage.key: content})
        else:
            size = len(content) // 4 if size is None else size
            built = make.torch_legacy(program, {view.storage.key: (size, content)})
        path = tmp_path / "pytorch_model.bin"
        path.write_bytes(built)
        return path

    return write


WINDOWS = {
    "whole": (0, (2, 3), (3, 1), [[0, 1, 2], [3, 4, 5]]),
    "transposed": (0, (3, 2), (1, 3), [[0, 3], [1, 4], [2, 5]]),
    "offset": (4, (2,), (1,), [4, 5]),
    "skipping": (1, (3,), (2,), [1, 3, 5]),
    "expanded": (2, (2, 2), (0, 1), [[2, 3], [2, 3]]),
    "a dimension of one, with any stride": (0, (1, 6), (10**30, 1), [[0, 1, 2, 3, 4, 5]]),
    "a scalar": (5, (), (), 5),
    "empty, with any offset and strides": (10**30, (0, 5), (10**30, 10**30), np.zeros((0, 5))),
}


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_a_window_inside_its_storage(write_view, window):
    offset, shape, strides, expected = window
    tensor = read_torch(write_view(View(SIX, offset, shape, strides)))["odd"]
    np.testing.assert_array_equal(tensor.read(F32), np.array(expected, np.float32))


WRONG_WINDOWS = {
    "one row too many": (0, (3, 3), (3, 1), "'odd' reaches to number 8 of storage '0', .* holds 6"),
    "offset one too far": (1, (6,), (1,), "'odd' reaches to number 6"),
    "stride too long": (0, (2, 3), (4, 1), "'odd' reaches to number 6"),
    "offset at the end": (6, (), (), "'odd' reaches to number 6"),
    "huge offset": (2**70, (1,), (1,), "'odd' reaches to number 1180591620717411303424"),
    "huge stride": (0, (2,), (2**64,), "'odd' reaches to number 18446744073709551616"),
    "huge shape": (0, (2**40, 2**40), (0, 0), "'odd' has the shape .* too large to hold"),
    "huge empty shape": (0, (0, 2**70), (0, 0), "'odd' has the shape .* too large to hold"),
    "expanded a millionfold": (0, (2**20, 6), (0, 1), "'odd' of shape .*: allowed is 4 times"),
    "negative offset": (-1, (2,), (1,), "offset -1.* none of them may be negative"),
    "negative shape": (0, (-2,), (1,), r"shape \(-2,\).* none of them may be negative"),
    "negative stride": (5, (6,), (-1,), r"strides \(-1,\); none of them may be negative"),
    "fewer strides": (0, (2, 3), (1,), "2 dimensions and 1 strides"),
    "33 dimensions": (0, (1,) * 33, (0,) * 33, "more than 32 dimensions"),
    "fractional shape": (0, (2.0,), (1,), "something else than a storage and numbers"),
    "truth for a number": (0, (True,), (1,), "something else than a storage and numbers"),
}


@pytest.mark.parametrize("window", WRONG_WINDOWS.values(), ids=WRONG_WINDOWS)
def test_a_window_that_its_storage_does_not_hold(write_view, window):
    *view, sentence = window
    with pytest.raises(ValueError, match=f"pytorch_model.bin' is not a file.*{sentence}"):
        read_torch(write_view(View(SIX, *view)))


WRONG_STORAGES = {
    "one number more": (Storage("F32", "0", 7), SIX_BYTES, None),
    "one number fewer": (Storage("F32", "0", 5), SIX_BYTES, None),
    "wider numbers": (Storage("F64", "0", 6), SIX_BYTES, None),
    "huge": (Storage("F32", "0", 2**62), SIX_BYTES, None),
}


@pytest.mark.parametrize("wrong", WRONG_STORAGES.values(), ids=WRONG_STORAGES)
def test_a_storage_that_has_another_size_than_it_says(write_view, wrong):
    storage, content, size = wrong
    with pytest.raises(ValueError, match=r"storage '0' (should hold \d+ F\d\d|needs \d+ bytes)"):
        read_torch(write_view(View(storage, 0, (2,), (1,)), content, size))


# --- what is not a state dict

WRONG_STATES = {
    "a list": ([VIEW], "holds a list, not a dict of tensors"),
    "a tensor": (VIEW, "holds a View, not a dict of tensors"),
    "a number for a key": ({5: VIEW}, "a key is the int 5; names are text"),
    "a number for a tensor": ({"step": 7}, "value of 'step' is an int, not a tensor: save the"),
    "two models": ({"model": {"w": VIEW}, "ema": {"w": VIEW}}, "several .*, 'model', 'ema': save"),
    "no tensor": ({"model": {"w": 3}}, "value of 'model' is a dict, not a tensor"),
    "another tensor beside": ({"w": VIEW, "x": {"w": VIEW}}, "value of 'x' is a dict, not a"),
    "a number for a name": ({"model": {1: VIEW}}, "value of 'model' is a dict, not a tensor"),
    "three steps down": ({"a": {"b": {"c": {"w": VIEW}}}}, "value of 'a' is a dict, not a tensor"),
    "a long key": ({"k" * 81: {"w": VIEW}}, "is a dict, not a tensor"),
}


@pytest.mark.parametrize("wrong", WRONG_STATES.values(), ids=WRONG_STATES)
@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_what_is_no_state_dict_is_named(tmp_path, make, form, wrong):
    state, sentence = wrong
    program = make.torch_pickle(state)
    build = {
        "zip": lambda: make.torch_zip(program, {"0": SIX_BYTES}),
        "legacy": lambda: make.torch_legacy(program, {"0": (6, SIX_BYTES)}),
    }
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(build[form]())
    with pytest.raises(ValueError, match=sentence):
        read_torch(path)
