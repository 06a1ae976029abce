"""Files that lie, files that are something else, and damaged files."""

import io
import random
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from minibert.checkpoint.pickles import Storage, View
from minibert.checkpoint.torchfile import read_torch

RECORDED = Path(__file__).parent.parent / "data" / "torch"
FORMS = ["zip", "legacy", "legacy4"]
SIX_BYTES = np.arange(6, dtype="<f4").tobytes()
VIEW = View(Storage("F32", "0", 6), 0, (6,), (1,))


# --- zip archives that lie


def zip_of(members, method=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def patch_entry(built, name, offset, form, value):
    """Change a field of a member's entry in the central directory, which begins with PK 1 2."""
    entry = built.rindex(b"PK\1\2", 0, built.rindex(name))
    changed = bytearray(built)
    struct.pack_into(form, changed, entry + offset, value)
    return bytes(changed)


def two_members(program):
    return zip_of([("a/data.pkl", program), ("a/data/0", SIX_BYTES)])


def far_away(program):
    """Put the only member, by a field of zip64, where no file reaches."""
    built = patch_entry(zip_of([("a/data.pkl", program)]), b"a/data.pkl", 42, "<L", 2**32 - 1)
    built = patch_entry(built, b"a/data.pkl", 30, "<H", 12)
    end = built.rindex(b"PK\5\6")
    changed = built[:end] + struct.pack("<HHQ", 1, 8, 2**64 - 1) + built[end:]
    size = changed.rindex(b"PK\5\6") - changed.index(b"PK\1\2")
    return changed[:-10] + struct.pack("<L", size) + changed[-6:]


def unmarked(program):
    """Spoil the mark before the last member; its entry in the directory stays right."""
    before, _, after = two_members(program).rpartition(b"PK\3\4")
    return before + b"PK\3\5" + after


def before_the_file(program):
    """Give a storage a negative place, at which slices count from the end: a header is there."""
    built = two_members(program)[:-2] + struct.pack("<H", 40) + b"PK\3\4" + bytes(36)
    shift = built.index(b"a/data/0") - 30 + 40
    built = patch_entry(built, b"a/data.pkl", 42, "<L", shift)
    end = bytearray(built[built.rindex(b"PK\5\6") :])
    (begin,) = struct.unpack_from("<L", end, 16)
    struct.pack_into("<L", end, 16, begin + shift)
    return built[: -len(end)] + end


LYING_ZIPS = {
    "no pickle": (lambda p: zip_of([("a/data/0", SIX_BYTES)]), "0 members named data.pkl"),
    "two pickles": (
        lambda p: zip_of([("a/data.pkl", p), ("b/data.pkl", p)]),
        "2 members named data.pkl",
    ),
    "empty": (lambda p: zip_of([]), "0 members named data.pkl"),
    "no storage": (lambda p: zip_of([("a/data.pkl", p)]), "no storage '0'"),
    "big-endian": (
        lambda p: zip_of([("a/data.pkl", p), ("a/byteorder", b"big"), ("a/data/0", SIX_BYTES)]),
        "big-endian",
    ),
    "a compressed member": (
        lambda p: zip_of([("a/data.pkl", p)], zipfile.ZIP_DEFLATED),
        "'a/data.pkl' is compressed, which torch.save never does",
    ),
    "encrypted": (
        lambda p: patch_entry(two_members(p), b"a/data/0", 8, "<H", 1),
        "'a/data/0' is encrypted",
    ),
    "a member beyond the end": (
        lambda p: patch_entry(two_members(p), b"a/data/0", 42, "<L", 10**9),
        "'a/data/0' lies outside the file",
    ),
    "a member without its mark": (unmarked, "'a/data/0' lies outside the file"),
    "a member with long extras": (
        lambda p: two_members(p).replace(b"\x08\0\0\0a/data/0", b"\x08\0\xff\xffa/data/0", 1),
        "'a/data/0' lies outside the file",
    ),
    "a member before the file": (before_the_file, "'a/data/0' lies before the file"),
    "a name that is no text": (
        lambda p: patch_entry(
            two_members(p).replace(b"data/0", b"data\xff0"), b"a/", 8, "<H", 1 << 11
        ),
        "a name in the directory of the archive is not UTF-8",
    ),
    "a directory that is not there": (
        lambda p: two_members(p)[:-22],
        "it is no zip archive, or a broken one: File is not a zip file",
    ),
    "a pickle with an escape": (
        lambda p: two_members(p.replace(b"FloatS", b"\x1b[31mS")),
        r"the pickle names torch.\\x1b\[31mStorage",
    ),
    "a pickle beyond what can be sought": (far_away, "pytorch_model.bin' is not a file of"),
    "a pickle beyond the end": (
        lambda p: patch_entry(two_members(p), b"a/data.pkl", 42, "<L", 10**9),
        "pytorch_model.bin' is not a file of PyTorch weights",
    ),
    "a longer member than its storage": (
        lambda p: zip_of([("a/data.pkl", p), ("a/data/0", bytes(1000))]),
        "storage '0' should hold 6 F32, 24 bytes; the file has 1000",
    ),
    "a longer member than the file": (
        lambda p: patch_entry(two_members(p), b"a/data/0", 24, "<L", 1000),
        "'a/data/0' lies outside the file",
    ),
}


@pytest.mark.parametrize("lie", LYING_ZIPS.values(), ids=LYING_ZIPS)
def test_a_zip_that_lies(tmp_path, make, lie):
    build, sentence = lie
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(build(make.torch_pickle({"w": VIEW})))
    with pytest.raises(ValueError, match=sentence) as caught:
        read_torch(path)
    assert "pytorch_model.bin" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice(tmp_path, make):
    path = tmp_path / "pytorch_model.bin"
    program = make.torch_pickle({"w": VIEW})
    members = [("a/data.pkl", program), ("a/data/0", SIX_BYTES), ("a/data/0", SIX_BYTES)]
    path.write_bytes(zip_of(members))
    with pytest.raises(ValueError, match="two members are named 'a/data/0'"):
        read_torch(path)


def test_a_pickle_larger_than_any_of_weights(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(zip_of([("a/data.pkl", bytes(2**20 + 1))]))
    with pytest.raises(ValueError, match="pickle is larger than 1048576 bytes"):
        read_torch(path)


# --- legacy files that lie

LYING_LEGACY = {
    "another magic number": ({"magic": 7}, "not one that torch.save wrote"),
    "another protocol": ({"protocol": 1002}, "preamble"),
    "no system": ({"system": [1]}, "preamble"),
    "big-endian": ({"system": {"little_endian": False}}, "big-endian"),
    "keys that are no list": ({"keys": "0"}, "preamble"),
    "no key": ({"keys": []}, "does not list the storage '0'"),
    "a key too many": ({"keys": ["0", "1"]}, "lists a storage '1' that no tensor uses"),
    "a key that is no text": ({"keys": [0]}, "lists a storage '0' that no tensor uses"),
    "a key that is a list": ({"keys": [["0"]]}, "that no tensor uses"),
    "a key twice": ({"keys": ["0", "0"]}, "cut short"),
}


@pytest.mark.parametrize("lie", LYING_LEGACY.values(), ids=LYING_LEGACY)
def test_a_legacy_file_that_lies(tmp_path, make, lie):
    changes, sentence = lie
    path = tmp_path / "pytorch_model.bin"
    program = make.torch_pickle({"w": VIEW})
    path.write_bytes(make.torch_legacy(program, {"0": (6, SIX_BYTES)}, **changes))
    with pytest.raises(ValueError, match=f"pytorch_model.bin' is not.*{sentence}"):
        read_torch(path)


@pytest.mark.parametrize("size", [5, 7, 2**63, 2**64 - 1])
def test_a_legacy_storage_with_another_size_before_it(tmp_path, make, size):
    path = tmp_path / "pytorch_model.bin"
    program = make.torch_pickle({"w": VIEW})
    path.write_bytes(make.torch_legacy(program, {"0": (size, SIX_BYTES)}))
    with pytest.raises(ValueError, match=r"storage '0' (should hold 6 F32, 24 bytes|needs)"):
        read_torch(path)


# --- what is something else

OTHERS = {
    "git-lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid x", "git-lfs pointer"),
    "HTML page": (b"\n<!DOCTYPE html><html>", "an HTML page"),
    "safetensors": (b"\x28\0\0\0\0\0\0\0{}" + bytes(50), "a safetensors file"),
    "safetensors that begins like a zip": (b"PK\x03\x04\1\0\0\0{}", "a safetensors file"),
    "safetensors that begins like a pickle": (b"\x80\x02\0\0\0\0\0\0{}", "a safetensors file"),
    "HDF5": (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    "empty": (b"", "an empty file"),
    "unknown": (b"12345678", "its first bytes are unknown"),
    "a pickle of something": (b"\x80\x02]q\0.", "a pickle, and not one that torch.save wrote"),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_something_else_is_told_for_what_it_is(tmp_path, other):
    content, sentence = other
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"pytorch_model.bin' is not a file.*{sentence}"):
        read_torch(path)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_cut_short_anywhere(tmp_path, form):
    content = (RECORDED / f"{form}.bin").read_bytes()
    path = tmp_path / "pytorch_model.bin"
    for length in range(0, len(content), 41):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"pytorch_model.bin'"):
            read_torch(path)


@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_file_is_read_or_refused(tmp_path, make, form):
    dice = random.Random(form)
    content = (RECORDED / f"{form}.bin").read_bytes()
    path = tmp_path / "pytorch_model.bin"
    refused = []
    with make.deadline(30):
        for _ in range(1000):
            path.write_bytes(damaged(content, dice))
            try:
                for tensor in read_torch(path).values():
                    if tensor.dtype != "I64":
                        tensor.read("float64")
            except (ValueError, TypeError, OSError) as error:
                refused.append(str(error))
    assert len(refused) > 100
    assert all(path.name in sentence for sentence in refused)


def damaged(content, dice):
    """Flip bytes, cut, or copy a chunk elsewhere."""
    changed = bytearray(content)
    place, other = sorted(dice.sample(range(len(content)), 2))
    what = dice.randrange(4)
    if what == 0:
        changed[place] ^= 1 << dice.randrange(8)
    elif what == 1:
        for _ in range(8):
            changed[dice.randrange(len(changed))] = dice.randrange(256)
    elif what == 2:
        del changed[place : place + dice.randrange(1, 50)]
    else:
        changed[place:place] = changed[place:other][:100]
    return bytes(changed)
