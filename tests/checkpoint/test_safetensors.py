import json
import random

import numpy as np
import pytest
import safetensors.numpy

from minibert.checkpoint.safetensors import read_metadata, read_safetensors, write_safetensors


def entry(dtype="F32", shape=(2, 3), offsets=(0, 24)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.fixture
def write(tmp_path, make):
    """Return what writes a file with a header, right or wrong, and some data."""

    def write(header, data=bytes(24)):
        path = tmp_path / "model.safetensors"
        path.write_bytes(make.safetensors_bytes(header, data))
        return path

    return write


# --- what is read


def test_float32_is_a_read_only_view_of_the_file(write_one):
    numbers = np.arange(35, dtype="<f4").reshape(5, 7)
    tensor = read_safetensors(write_one("F32", (5, 7), numbers.tobytes()))["w"]
    first, second = tensor.read("float32"), tensor.read("float32")
    np.testing.assert_array_equal(first, numbers)
    assert np.shares_memory(first, second)
    assert not first.flags.owndata
    assert first.flags.aligned
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        first.setflags(write=True)


def test_a_tensor_that_lies_unaligned_is_copied_once_and_aligned(write):
    data = b"\1" + np.arange(6, dtype="<f4").tobytes()
    tensors = read_safetensors(
        write({"a": entry("U8", (1,), (0, 1)), "w": entry(offsets=(1, 25))}, data)
    )
    array = tensors["w"].read("float32")
    np.testing.assert_array_equal(array.ravel(), np.arange(6))
    assert array.flags.aligned
    assert not array.flags.writeable


def test_a_dtype_that_numpy_lacks_is_an_error_only_when_it_is_read(write_one):
    tensor = read_safetensors(write_one("F8_E4M3", (3,), bytes(3)))["w"]
    assert (tensor.dtype, tensor.shape) == ("F8_E4M3", (3,))
    for read in (tensor.raw, lambda: tensor.read("float32")):
        with pytest.raises(ValueError, match=r"'w' in .*model.safetensors' (is|holds) F8_E4M3"):
            read()


def test_a_file_of_the_library_is_read(tmp_path):
    arrays = {
        "a": np.arange(3, dtype=np.float32),
        "b": np.ones((2, 5)),
        "c": np.float16(7) * np.ones(1, np.float16),
    }
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file(arrays, path, metadata={"format": "pt"})
    assert read_metadata(path) == {"format": "pt"}
    for name, tensor in read_safetensors(path).items():
        np.testing.assert_array_equal(tensor.raw(), arrays[name])


@pytest.mark.parametrize("metadata", [{}, {"__metadata__": None}, {"__metadata__": {}}], ids=str)
def test_a_file_without_metadata(write, metadata):
    path = write(metadata | {"w": entry()})
    assert read_metadata(path) == {}
    assert list(read_safetensors(path)) == ["w"]


def test_empty_tensors_may_share_a_place(write):
    header = {
        "a": entry(shape=(0,), offsets=(0, 0)),
        "b": entry(),
        "c": entry(shape=(0, 3), offsets=(24, 24)),
    }
    assert len(read_safetensors(write(header))) == 3


# --- what is written


def test_arrays_in_any_layout_are_written_as_they_show_themselves(tmp_path):
    base = np.arange(6.0).reshape(2, 3)
    arrays = {
        "Fortran": np.asfortranarray(base),
        "backwards": base[:, ::-1],
        "big-endian": base.astype(">f4"),
        "scalar": np.array(2.5, np.float32),
        "empty": np.empty((0, 3)),
    }
    path = tmp_path / "model.safetensors"
    write_safetensors(path, arrays)
    assert read_metadata(path) == {"format": "pt"}
    found = read_safetensors(path)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name].raw(), array)


@pytest.mark.parametrize("place", ["", "nowhere/model.safetensors"])
def test_what_the_system_refuses_is_an_error_of_the_system(tmp_path, place):
    with pytest.raises((FileNotFoundError, IsADirectoryError), match=str(tmp_path)):
        write_safetensors(tmp_path / place, {"w": np.ones(3)})


# --- what is broken

W = json.dumps(entry())
BROKEN = {
    "a hole": ({"w": entry(offsets=(4, 28))}, 28, "(?i)invalid.?offset"),
    "an overlap": ({"v": entry(), "w": entry(offsets=(20, 44))}, 44, "(?i)invalid.?offset"),
    "trailing bytes": ({"w": entry()}, 31, "(?i)not fully covered|incomplete"),
    "data cut short": ({"w": entry()}, 23, "(?i)not fully covered|incomplete"),
    "a smaller shape": ({"w": entry(shape=(2, 2))}, 24, "(?i)invalid shape|TensorInvalidInfo"),
    "a product that overflows": ({"w": entry(shape=(2**32, 2**32, 6))}, 24, "(?i)overflow"),
    "a negative shape": ({"w": entry(shape=(-2, -3))}, 24, "(?i)invalid"),
    "no dtype": ({"w": {"shape": [6], "data_offsets": [0, 24]}}, 24, "missing field|InvalidHeader"),
    "an unknown dtype": ({"w": entry("F99")}, 24, "unknown variant `F99`|InvalidHeader"),
    "metadata of numbers": ({"__metadata__": {"epoch": 3}, "w": entry()}, 24, "(?i)invalid"),
    "a list": (f"[{W}]".encode(), 24, "(?i)invalid"),
    "bad JSON": (b'{"w": }', 0, "(?i)invalid"),
    "nested lists": (b'{"w": ' + b"[" * 10**5, 0, "(?i)invalid"),
    # the library lets these pass
    "a name twice": (f'{{"w": {W}, "w": {W}}}'.encode(), 24, "it names 'w' twice"),
    "an empty tensor of a huge shape": (
        {"w": entry(shape=(0, 2**63), offsets=(0, 0))},
        0,
        "'w' has the shape .* which no machine can hold",
    ),
    "33 dimensions": ({"w": entry(shape=[1] * 32 + [6])}, 24, "'w' has the shape .* no machine"),
    "a million dimensions": ({"w": entry(shape=[1] * 10**6 + [6])}, 24, "'w' has the shape"),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_is_told_in_a_sentence(write, make, broken):
    header, size, sentence = broken
    path = write(header, bytes(size))
    with make.deadline(5), pytest.raises(ValueError, match=sentence) as caught:
        read_safetensors(path)
    assert str(caught.value).startswith(f"{str(path)!r} is not a valid safetensors file: ")
    assert len(str(caught.value)) < 600 + len(str(path))


def test_what_the_library_says_writes_nothing_to_the_terminal(write):
    path = write({"\x1b]0;title\x07" * 1000: entry(shape=(2, 2))})
    with pytest.raises(ValueError, match="not a valid") as caught:
        read_safetensors(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 800 + len(str(path))


@pytest.mark.parametrize("length", [0, 24, 2**40 - 1, 2**64 - 1])
def test_a_header_of_another_length(tmp_path, length):
    path = tmp_path / "model.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b'{"w": 1')
    with pytest.raises(ValueError, match=r"model.safetensors' is not a valid"):
        read_safetensors(path)


OTHERS = {
    "a git-lfs pointer": (b"version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer"),
    "HTML": (b"<!DOCTYPE html><html></html>", "an HTML page"),
    "a zip": (b"PK\x03\x04\x14\0\0\0\x08\0", "a zip archive, as torch.save writes it"),
    "a pickle": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9", "a Python pickle, as old versions of torch.save"),
    "empty": (b"", "an empty file"),
    "short": (b"\1\0\0", "(?:h|H)eader.?(?:t|T)oo.?(?:s|S)mall"),
    "GGUF": (b"GGUF\3\0\0\0\1", "a GGUF file"),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_something_else_is_told_for_what_it_is(tmp_path, other):
    content, sentence = other
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"model.safetensors' is not a valid.*{sentence}"):
        read_safetensors(path)


# --- what nobody thought of


@pytest.fixture
def small_file(tmp_path):
    path = tmp_path / "model.safetensors"
    arrays = {f"layer.{i}": np.full((i, 3), i, np.float32) for i in range(4)}
    safetensors.numpy.save_file(arrays, path, metadata={"format": "pt"})
    return path


def test_a_file_cut_short_anywhere(small_file):
    content = small_file.read_bytes()
    for length in range(len(content)):
        small_file.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"model.safetensors' is not a valid"):
            read_safetensors(small_file)


def test_a_damaged_file_is_read_or_refused(small_file, make):
    dice = random.Random(0)
    content = small_file.read_bytes()
    refused = []
    with make.deadline(30):
        for _ in range(2000):
            small_file.write_bytes(damaged(content, dice))
            try:
                for tensor in read_safetensors(small_file).values():
                    if tensor.dtype == "F32":
                        assert tensor.read("float32").size == tensor.size
            except (ValueError, TypeError, OSError) as error:
                refused.append(str(error))
    assert 500 < len(refused) < 2000
    assert all(small_file.name in sentence for sentence in refused)


def damaged(content, dice):
    """Change a byte or a digit of the header, cut, or copy a chunk elsewhere."""
    changed = bytearray(content)
    place, other = sorted(dice.sample(range(len(content)), 2))
    what = dice.randrange(4)
    if what == 0:
        changed[place] ^= 1 << dice.randrange(8)
    elif what == 1:
        digits = [i for i, byte in enumerate(content) if chr(byte).isdigit()]
        changed[dice.choice(digits)] = ord(dice.choice('0123456789-."[]{},eE'))
    elif what == 2:
        del changed[place : place + dice.randrange(1, 50)]
    else:
        changed[place:place] = changed[place:other][:100]
    return bytes(changed)
