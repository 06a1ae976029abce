"""What is written as PyTorch's zip form: opcode by opcode, and as a zip file of any size."""

import collections
import io
import mmap
import pickle
import pickletools
import zipfile

import numpy as np
import pytest

from minibert.checkpoint.pickles import Storage, View, read_pickle
from minibert.checkpoint.torchfile import read_torch
from minibert.checkpoint.torchwriter import state_dict_pickle, write_torch

ARRAYS = {
    "matrix": np.arange(15, dtype=np.float32).reshape(3, 5),
    "double": np.arange(7.0),
    "scalar": np.array(2.5, np.float32),
    "empty": np.empty((2, 0, 3)),
    "naïve 東": np.ones((1, 1, 2)),
}


class Recorder(pickle.Unpickler):
    """Python's own unpickler, with notes in place of torch."""

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch._utils":
            return lambda *arguments: (name, *arguments)
        return f"{module}.{name}"

    def persistent_load(self, identity):
        return identity


def storage(kind, key, size):
    return ("storage", f"torch.{kind}Storage", key, "cpu", size)


def test_the_pickle_calls_what_torch_calls():
    found = Recorder(io.BytesIO(state_dict_pickle(ARRAYS))).load()
    rest = (False, collections.OrderedDict())
    assert type(found) is collections.OrderedDict
    assert list(found.items()) == [
        (name, ("_rebuild_tensor_v2", storage(kind, key, size), 0, shape, strides, *rest))
        for name, kind, key, size, shape, strides in [
            ("matrix", "Float", "0", 15, (3, 5), (5, 1)),
            ("double", "Double", "1", 7, (7,), (1,)),
            ("scalar", "Float", "2", 1, (), ()),
            ("empty", "Double", "3", 0, (2, 0, 3), (3, 3, 1)),
            ("naïve 東", "Double", "4", 2, (1, 1, 2), (2, 2, 1)),
        ]
    ]


def test_the_pickle_is_of_protocol_2_and_ends_at_its_end():
    program = state_dict_pickle(ARRAYS)
    opcodes = list(pickletools.genops(program))
    assert opcodes[0][:2] == (opcodes[0][0], 2)
    assert max(opcode.proto for opcode, *_ in opcodes) == 2
    assert opcodes[-1][2] == len(program) - 1


def test_no_tensors_at_all(tmp_path):
    write_torch(tmp_path / "none.bin", {})
    assert read_torch(tmp_path / "none.bin") == {}


@pytest.mark.parametrize("size", [0, 255, 2**16, 2**31 - 1, 2**31, 2**40 + 1])
def test_sizes_of_any_number_of_bits(size):
    """A stride of zero gives a tensor of any size without the memory for it."""
    array = np.broadcast_to(np.float32(1), (size,))
    view, _ = read_pickle(state_dict_pickle({"a": array}))
    assert view["a"] == View(Storage("F32", "0", size), 0, (size,), (1,))


def test_the_zip_file(tmp_path):
    path = tmp_path / "weights.bin"
    write_torch(path, ARRAYS)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            "archive/data.pkl",
            "archive/byteorder",
            *(f"archive/data/{key}" for key in range(5)),
            "archive/version",
        ]
        assert archive.read("archive/byteorder") == b"little"
        assert archive.read("archive/version") == b"3\n"
        assert archive.read("archive/data/1") == ARRAYS["double"].tobytes()
        for member in archive.infolist():
            assert member.compress_type == zipfile.ZIP_STORED
            assert member.date_time == (1980, 1, 1, 0, 0, 0)


def base_of(value):
    while getattr(value, "base", None) is not None:
        value = value.base
    return value


def test_the_tensors_are_read_as_views_of_the_mapped_file(tmp_path):
    path = tmp_path / "weights.bin"
    write_torch(path, ARRAYS)
    found = read_torch(path)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        stored = found[name].raw()
        assert stored.dtype == array.dtype
        assert stored.shape == array.shape
        np.testing.assert_array_equal(stored, array)
        assert isinstance(base_of(stored), mmap.mmap)


def test_a_member_of_more_than_2_gib_is_announced_as_such(tmp_path, monkeypatch):
    """zipfile refuses to write more than its bound into a member that was said to be small."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 40)
    write_torch(tmp_path / "weights.bin", ARRAYS)
    found = read_torch(tmp_path / "weights.bin")
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name].raw(), array)
