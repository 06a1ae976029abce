"""Types of numbers, and what becomes of them when a tensor is read."""

from pathlib import Path

import numpy as np
import pytest

from minibert.checkpoint.safetensors import read_safetensors
from minibert.checkpoint.tensors import FLOATS, TYPES, StoredTensor, float_dtype, in_order, raw


def test_the_table_of_types_says_of_each_how_wide_it_is():
    for code, kind in TYPES.items():
        assert kind.code == code
        bits = 8 if code == "BOOL" else int("".join(filter(str.isdigit, code)))
        assert kind.dtype.itemsize == bits // 8
        if kind.name != "bfloat16":
            assert kind.dtype == np.dtype(kind.name).newbyteorder("<")
    assert [TYPES[code].name for code in FLOATS] == ["float64", "float32", "float16", "bfloat16"]


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32"), "float64", float])
def test_the_dtypes_that_a_model_may_have(dtype):
    assert float_dtype(dtype) == np.dtype(dtype)


class Tensorlike:
    def __repr__(self):
        return "torch.float64"


@pytest.mark.parametrize(
    ("written", "stored", "expected"),
    [
        *((word, None, "float32") for word in ("torch.float32", "fp32", "float", "auto")),
        *((word, None, "float64") for word in ("double", Tensorlike(), "torch.double", "f8")),
        *(("auto", "float64", "float64"), ("auto", "bfloat16", "float32")),
        ("float32", "float64", "float32"),
    ],
    ids=str,
)
def test_a_dtype_may_be_written_in_many_ways(written, stored, expected):
    assert float_dtype(written, stored) == np.dtype(expected)


@pytest.mark.parametrize("dtype", [None, "float16", "bfloat16", "int32", "", "foo", 5, []])
def test_a_dtype_that_no_model_has(dtype):
    with pytest.raises(ValueError, match="allowed: 'float32', 'float64'"):
        float_dtype(dtype)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", ">f8"])
def test_bytes_are_little_endian_and_in_c_order(dtype):
    array = np.arange(6, dtype=dtype).reshape(2, 3)
    little = array.astype(array.dtype.newbyteorder("<"))
    for given in (array, np.asfortranarray(array), array[::-1][::-1], array.T.T):
        assert bytes(raw(given)) == little.tobytes()
    assert in_order(np.array(2.5, dtype)).shape == ()
    assert np.shares_memory(in_order(little), little)


def test_a_long_name_is_cut_in_a_sentence():
    tensor = StoredTensor("\x1b" * 10**6, "I32", (), Path("file"), lambda: np.zeros(()))
    with pytest.raises(ValueError, match="holds I32") as caught:
        tensor.read("float32")
    assert len(str(caught.value)) < 300
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("shape", [(), (0,), (0, 5), (1, 1, 7)], ids=str)
@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "BF16"])
def test_every_shape_in_every_dtype(write_one, dtype, shape):
    size = {"F64": 8, "F32": 4}.get(dtype, 2) * int(np.prod(shape))
    array = read_safetensors(write_one(dtype, shape, bytes(size)))["w"].read("float32")
    assert array.shape == shape
    assert array.dtype == np.float32


ALL_HALVES = np.arange(2**16, dtype="<u2")


def test_every_bfloat16_is_widened_to_the_bit(write_one):
    array = read_safetensors(write_one("BF16", (2**16,), ALL_HALVES.tobytes()))["w"].read("float32")
    np.testing.assert_array_equal(array.view(np.uint32), [bits * 2**16 for bits in range(2**16)])
    assert not array.flags.writeable


def test_every_float16_is_widened_to_the_bit(write_one):
    array = read_safetensors(write_one("F16", (2**16,), ALL_HALVES.tobytes()))["w"].read("float32")
    sign = np.where(ALL_HALVES >> 15, -1.0, 1.0)
    exponent, fraction = ALL_HALVES >> 10 & 31, ALL_HALVES % 1024
    whole = np.where(exponent > 0, 1024 + fraction, fraction).astype(float)
    expected = sign * whole * 2.0 ** (np.maximum(exponent, 1).astype(float) - 25)
    expected = np.where(exponent == 31, sign * np.inf, expected).astype(np.float32)
    nan = (exponent == 31) & (fraction > 0)
    np.testing.assert_array_equal(array.view(np.uint32)[~nan], expected.view(np.uint32)[~nan])
    assert np.isnan(array[nan]).all()


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_every_half_is_widened_to_float64_without_a_warning(write_one, dtype):
    tensor = read_safetensors(write_one(dtype, (2**16,), ALL_HALVES.tobytes()))["w"]
    wide = tensor.read("float64")
    assert wide.dtype == np.float64
    with np.errstate(invalid="ignore"):  # some NaNs signal
        np.testing.assert_array_equal(wide, tensor.read("float32").astype(np.float64))


def test_float64_is_rounded_to_float32(write_one):
    numbers = np.array([1 / 3, -1e-300, np.inf, np.nan])
    tensor = read_safetensors(write_one("F64", (4,), numbers.tobytes()))["w"]
    np.testing.assert_array_equal(tensor.read("float64"), numbers)
    np.testing.assert_array_equal(tensor.read("float32"), [np.float32(1 / 3), 0, np.inf, np.nan])


def test_float64_beyond_float32_is_refused_by_name(write_one):
    path = write_one("F64", (2,), np.array([1.0, 1e300]).tobytes())
    tensor = read_safetensors(path)["w"]
    assert tensor.read("float64")[1] == 1e300
    with pytest.raises(ValueError, match=r"'w' in .*model.safetensors' holds numbers too large"):
        tensor.read("float32")


@pytest.mark.parametrize("dtype", ["I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"])
def test_whole_numbers_are_known_and_are_no_weights(write_one, dtype):
    size = {"4": 8, "2": 4, "6": 2}.get(dtype[-1], 1)
    tensor = read_safetensors(write_one(dtype, (3,), bytes(3 * size)))["w"]
    assert tensor.raw().tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match=f"'w' in .*model.safetensors' holds {dtype}; a weight is"):
        tensor.read("float32")
