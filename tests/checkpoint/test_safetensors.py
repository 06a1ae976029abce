import json

import numpy as np
import pytest
import safetensors.numpy

from minibert.checkpoint.safetensors import read_metadata, read_safetensors


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


@pytest.fixture
def write_one(make, tmp_path):
    """Return what writes a file with the single tensor 'w', aligned as the library does it."""

    def write_one(dtype, shape, data):
        header = json.dumps({"w": entry(dtype, shape, (0, len(data)))}).encode()
        path = tmp_path / "model.safetensors"
        padded = header + b" " * (-len(header) % 8)
        path.write_bytes(make.safetensors_bytes(padded, data))
        return path

    return write_one


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
    assert tensor.stored().tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match=f"'w' in .*model.safetensors' holds {dtype}; a weight is"):
        tensor.read("float32")


def test_a_dtype_that_numpy_lacks_is_an_error_only_when_it_is_read(write_one):
    tensor = read_safetensors(write_one("F8_E4M3", (3,), bytes(3)))["w"]
    assert (tensor.dtype, tensor.shape) == ("F8_E4M3", (3,))
    for read in (tensor.stored, lambda: tensor.read("float32")):
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
        np.testing.assert_array_equal(tensor.stored(), arrays[name])


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
