"""Files that lie, and files that are something else."""

import json
import random

import numpy as np
import pytest
import safetensors.numpy

from minibert.checkpoint.safetensors import read_safetensors


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


# --- the format's rules, each of them broken

W = json.dumps(entry())
BROKEN = {
    "a hole": ({"w": entry(offsets=(4, 28))}, 28, "a hole before tensor 'w': it begins at 4, not"),
    "a hole between": (
        {"v": entry(), "w": entry(offsets=(28, 52))},
        52,
        "a hole before tensor 'w': it begins at 28, not at 24",
    ),
    "an overlap": (
        {"v": entry(), "w": entry(offsets=(20, 44))},
        44,
        "an overlap at tensor 'w': it begins at 20, not at 24",
    ),
    "two tensors in one place": ({"v": entry(), "w": entry()}, 24, "an overlap at tensor 'w'"),
    "trailing bytes": ({"w": entry()}, 31, "the tensors take 24 bytes, and the file has 31"),
    "data cut short": ({"w": entry()}, 23, "the tensors take 24 bytes, and the file has 23"),
    "data without tensors": ({}, 5, "the tensors take 0 bytes, and the file has 5"),
    "a smaller shape": ({"w": entry(shape=(2, 2))}, 24, r"'w' is F32 of shape \[2, 2\].* 24 bytes"),
    "a wider dtype": ({"w": entry("F64")}, 24, "'w' is F64 of shape .* 24 bytes"),
    "a product that overflows": (
        {"w": entry(shape=(2**32, 2**32, 6))},
        24,
        "'w' has the shape .4294967296, .* no machine can hold",
    ),
    "a product that overflows to its span": (
        {"w": entry(shape=(2**62 + 6, 4))},
        96,
        "'w' has the shape .* no machine can hold",
    ),
    "an empty tensor of a huge shape": (
        {"w": entry(shape=(0, 2**63), offsets=(0, 0))},
        0,
        "'w' has the shape .* no machine can hold",
    ),
    "33 dimensions": ({"w": entry(shape=[1] * 32 + [6])}, 24, "'w' has the shape .* no machine"),
    "a million dimensions": (
        {"w": entry(shape=[2**63] * 10**6)},
        24,
        "'w' has the shape .* no machine",
    ),
    "a negative shape": ({"w": entry(shape=(-2, -3))}, 24, r"'w' has the shape \[-2, -3\]"),
    "a fractional shape": ({"w": entry(shape=(2.0, 3))}, 24, r"'w' has the shape \[2.0, 3\]"),
    "truth for a shape": ({"w": entry(shape=(True, 6))}, 24, r"'w' has the shape \[True, 6\]"),
    "a text for a shape": ({"w": entry() | {"shape": "23"}}, 24, "'w' has the shape '23'"),
    "negative offsets": ({"w": entry(offsets=(-24, 0))}, 24, "'w' .* offsets -24, 0; allowed"),
    "offsets backwards": ({"w": entry(offsets=(24, 0))}, 24, "'w' .* offsets 24, 0; allowed"),
    "huge offsets": ({"w": entry(offsets=(0, 2**70))}, 24, "'w' is F32 .* the 1180591620717411"),
    "one offset": ({"w": entry(offsets=(0,))}, 24, "'w' lacks a dtype, a shape or two data_off"),
    "three offsets": ({"w": entry(offsets=(0, 12, 24))}, 24, "'w' lacks a dtype, a shape or two"),
    "no dtype": ({"w": {"shape": [6], "data_offsets": [0, 24]}}, 24, "'w' lacks a dtype"),
    "no shape": ({"w": {"dtype": "F32", "data_offsets": [0, 24]}}, 24, "'w' lacks a dtype"),
    "no offsets": ({"w": {"dtype": "F32", "shape": [6]}}, 24, "'w' lacks a dtype"),
    "a null": ({"w": None}, 24, "'w' lacks a dtype"),
    "a list for a dtype": ({"w": entry(["F32"])}, 24, "'w' lacks a dtype"),
    "an unknown dtype": ({"w": entry("F99")}, 24, "'w' is of the unknown dtype 'F99'"),
    "a dtype in small letters": ({"w": entry("f32")}, 24, "'w' is of the unknown dtype 'f32'"),
    "metadata of numbers": (
        {"__metadata__": {"epoch": 3}, "w": entry()},
        24,
        "'epoch' in its __metadata__ is 3; allowed: text",
    ),
    "metadata that is a list": ({"__metadata__": [], "w": entry()}, 24, "__metadata__ is a list"),
    "a name twice": (f'{{"w": {W}, "w": {W}}}'.encode(), 24, "it names 'w' twice"),
    "a field twice": (
        b'{"w": {"dtype": "F32", "shape": [1], "shape": [6], "data_offsets": [0, 24]}}',
        24,
        "it names 'shape' twice",
    ),
    "a space before": (f' {{"w": {W}}}'.encode(), 24, r"does not begin with '\{'"),
    "a list": (f"[{W}]".encode(), 24, r"does not begin with '\{'"),
    "a NUL after": (f'{{"w": {W}}}\0'.encode(), 24, "the header is wrong: Extra data"),
    "bad JSON": (b'{"w": }', 0, "the header is wrong: Expecting value"),
    "bad UTF-8": (b'{"\xff": 1}', 0, "the header is wrong: 'utf-8' codec can't decode byte 0xff"),
    "NaN in JSON": (b'{"w": NaN}', 0, "'w' lacks a dtype"),
    "a number of 5000 digits": (b'{"w": ' + b"1" * 5000 + b"}", 0, "the header is wrong: Exceeds"),
    "nested lists": (b'{"w": ' + b"[" * 10**5, 0, "the header is nested too deeply"),
    "nested metadata": (b'{"__metadata__": ' + b'{"a": ' * 10**5, 0, "nested too deeply"),
}  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_is_told_in_a_sentence(write, make, broken):
    header, size, sentence = broken
    path = write(header, bytes(size))
    with make.deadline(5), pytest.raises(ValueError, match=sentence) as caught:
        read_safetensors(path)
    assert str(caught.value).startswith(f"{str(path)!r} is not a valid safetensors file: ")
    assert len(str(caught.value)) < 600 + len(str(path))


@pytest.mark.parametrize(
    ("length", "sentence"),
    [
        (24, "the header should be 24 bytes long, and 7 follow: the file is cut short"),
        (2**40 - 1, "should be 1099511627775 bytes long, and 7 follow"),
        (2**64 - 1, "should be 18446744073709551615 bytes long"),
        (0, "does not begin with '{'"),
    ],
)
def test_a_header_of_another_length(tmp_path, length, sentence):
    path = tmp_path / "model.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b'{"w": 1')
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the sentence has braces
        read_safetensors(path)
    assert sentence in str(caught.value)


def test_a_header_beyond_the_limit_of_the_format_is_not_read(tmp_path):
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write((10**8 + 1).to_bytes(8, "little") + b"{")
        file.truncate(2 * 10**8)  # sparse: it takes no room
    with pytest.raises(ValueError, match="header is 100000001 bytes long; allowed: 100000000"):
        read_safetensors(path)


OTHERS = {
    "a git-lfs pointer": (b"version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer"),
    "HTML": (b"<!DOCTYPE html><html></html>", "an HTML page"),
    "a zip": (b"PK\x03\x04\x14\0\0\0\x08\0", "a zip archive, as torch.save writes it"),
    "a pickle": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9", "a Python pickle, as old versions of torch.save"),
    "empty": (b"", "an empty file"),
    "short": (b"\1\0\0", "it has 3 bytes, and the length of the header alone takes 8"),
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
