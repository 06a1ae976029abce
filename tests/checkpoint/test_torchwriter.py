"""What is written as PyTorch's zip form: opcode by opcode, and as a zip file of any size."""

import collections
import io
import mmap
import pickle
import pickletools
import struct
import zipfile

import numpy as np
import pytest

from minibert.checkpoint import torchwriter
from minibert.checkpoint.pickles import Storage, View, read_pickle
from minibert.checkpoint.torchfile import read_torch
from minibert.checkpoint.torchwriter import state_dict_pickle, torch_blocks

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


def written(arrays):
    return b"".join(bytes(block) for block in torch_blocks(arrays))


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
    (tmp_path / "none.bin").write_bytes(written({}))
    assert read_torch(tmp_path / "none.bin") == {}


@pytest.mark.parametrize("size", [0, 255, 2**16, 2**31 - 1, 2**31, 2**40 + 1])
def test_sizes_of_any_number_of_bits(size):
    """A stride of zero gives a tensor of any size without the memory for it."""
    array = np.broadcast_to(np.float32(1), (size,))
    view, _ = read_pickle(state_dict_pickle({"a": array}))
    assert view["a"] == View(Storage("F32", "0", size), 0, (size,), (1,))


def test_the_zip_file(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_bytes(written(ARRAYS))
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
            with archive.open(member) as file:
                file.read(0)
                assert archive.fp.tell() % 64 == 0


def base_of(value):
    while getattr(value, "base", None) is not None:
        value = value.base
    return value


def test_the_tensors_are_read_as_views_of_the_mapped_file(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_bytes(written(ARRAYS))
    found = read_torch(path)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        stored = found[name].stored()
        assert stored.dtype == array.dtype
        assert stored.shape == array.shape
        np.testing.assert_array_equal(stored, array)
        assert stored.flags.aligned
        assert isinstance(base_of(stored), mmap.mmap)


@pytest.mark.parametrize(("large", "many"), [(1, 1), (57, 2**16 - 1), (400, 8), (2**32 - 1, 3)])
def test_numbers_that_need_64_bits(tmp_path, monkeypatch, large, many):
    """With lower bounds, small files have what else only those above 4 GiB have."""
    monkeypatch.setattr(torchwriter, "LARGE", large)
    monkeypatch.setattr(torchwriter, "MANY", many)
    path = tmp_path / "weights.bin"
    path.write_bytes(written(ARRAYS))
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        sizes = [member.file_size for member in archive.infolist()]
    assert sizes[1:] == [6, 60, 56, 4, 0, 16, 2]
    found = read_torch(path)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name].stored(), array)
        assert found[name].stored().flags.aligned


@pytest.mark.parametrize("large", [1, 57, 2**32 - 1])
def test_what_only_some_readers_of_zip_files_look_at(monkeypatch, large):
    """The header of each member, and the three records at the end, of which zipfile uses one."""
    monkeypatch.setattr(torchwriter, "LARGE", large)
    content = written(ARRAYS)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members, start = archive.infolist(), archive.start_dir
    for member in members:
        size = member.file_size
        header = content[member.header_offset :][: 30 + len(member.filename)]
        crc, *sizes = struct.unpack("<3I", header[14:26])
        assert crc == member.CRC
        assert sizes == [size if size < large else 0xFFFFFFFF] * 2
        extra = content[member.header_offset + len(header) :][:20]
        assert (extra == struct.pack("<HHQQ", 1, 16, size, size)) == (size >= large)
    counts, length = [len(members)] * 2, len(content) - 98 - start
    places = [number if number < large else 0xFFFFFFFF for number in (length, start)]
    end = struct.unpack("<4s4H2IH", content[-22:])
    assert end == (b"PK\5\6", 0, 0, *counts, *places, 0)
    locator = struct.unpack("<4sIQI", content[-42:-22])
    assert locator == (b"PK\6\7", 0, start + length, 1)
    wide = struct.unpack("<4sQ2H2I4Q", content[-98:-42])
    assert wide == (b"PK\6\6", 44, 45, 45, 0, 0, *counts, length, start)
