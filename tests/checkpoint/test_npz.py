"""Files of NumPy's arrays from strangers."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.checkpoint.npz import is_npz, read_npz

ARRAYS = {
    "a": np.arange(6.0).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big": np.arange(6, dtype=">i4"),
    "scalar": np.array(3.5, np.float32),
    "empty": np.zeros((0, 3)),
    "mask": np.array([True, False]),
    "x.y": np.arange(3, dtype=np.uint8),
}


def npy(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def archive(path, members, how=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", how) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


def lying(shape):
    """An array whose header promises that shape, in place of its own six numbers."""
    content = npy(np.arange(6.0))
    return content.replace(b"(6,), }" + b" " * len(shape), b"%s, }" % shape + b" " * 4)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_is_read_as_numpy_reads_it(tmp_path, save):
    save(tmp_path / "f.npz", **ARRAYS)
    found = read_npz(tmp_path / "f.npz")
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype.newbyteorder("=")


def test_no_pickle_is_read(tmp_path):
    np.savez(tmp_path / "f.npz", a=np.array([print, "x"], object))
    with pytest.raises(ValueError, match="array 'a' holds Python objects, which are pickled"):
        read_npz(tmp_path / "f.npz")


def test_a_header_that_promises_too_much_takes_no_memory(tmp_path):
    content = lying(b"(99999999999,)")
    assert np.lib.format.read_array_header_1_0(io.BytesIO(content[8:]))[0] == (99999999999,)
    archive(tmp_path / "f.npz", [("a.npy", content)])
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"shape \(99999999999,\) does not fill its float64"):
        read_npz(tmp_path / "f.npz")
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_a_bomb_is_not_unfolded(tmp_path, monkeypatch):
    monkeypatch.setattr("minibert.checkpoint.npz.MAX_UNFOLDED", 2**20)
    np.savez_compressed(tmp_path / "f.npz", a=np.zeros(2**18))
    with pytest.raises(ValueError, match="absurdly compressed"):
        read_npz(tmp_path / "f.npz")
    np.savez(tmp_path / "g.npz", a=np.zeros(2**18))  # large, and worth it
    assert read_npz(tmp_path / "g.npz")["a"].shape == (2**18,)


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ([("a.npy", npy(np.ones(3))[:-1])], "does not fill"),
        ([("a.npy", npy(np.ones(3)) + b"x")], "does not fill"),
        ([("a.npy", lying(b"(-6,)"))], "does not fill"),
        ([("a.npy", b"")], "is not a readable .npz file"),
        ([("a.npy", b"\x93NUMPY\x09\x00abc")], "version"),
        ([("a.npy", npy(np.ones(3))), ("b.txt", b"x")], "'b.txt' is no .npy file"),
        ([("a.npy", npy(np.array(["x"])))], "holds <U1; allowed: numbers"),
        ([("a.npy", npy(np.ones(2, "f4,f4")))], "allowed: numbers"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, members, says):
    path = archive(tmp_path / "f.npz", members)
    with pytest.raises(ValueError, match=says) as caught:
        read_npz(path)
    assert str(path) in str(caught.value)


def test_two_arrays_of_one_name_are_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive(tmp_path / "f.npz", [("a.npy", npy(np.ones(3)))] * 2)
    with pytest.raises(ValueError, match=r"two members are named 'a\.npy'"):
        read_npz(tmp_path / "f.npz")


def test_an_encrypted_file_is_refused(tmp_path):
    path = archive(tmp_path / "f.npz", [("a.npy", npy(np.ones(3)))])
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the directory
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"not a readable \.npz file: .* encrypted"):
        read_npz(path)


def test_a_directory_that_points_before_the_file_is_refused(tmp_path):
    path = archive(tmp_path / "f.npz", [("a.npy", npy(np.ones(3)))])
    content = path.read_bytes()
    place = content.index(b"PK\x05\x06") + 16  # where the directory is said to begin
    begin = int.from_bytes(content[place : place + 4], "little") + 5
    path.write_bytes(content[:place] + begin.to_bytes(4, "little") + content[place + 4 :])
    with pytest.raises(ValueError, match="not a readable"):
        read_npz(path)


def test_a_header_of_python_2_is_read_in_silence(tmp_path):
    content = npy(np.ones(3)).replace(b"(3,), } ", b"(3L,), }")
    archive(tmp_path / "f.npz", [("a.npy", content)])
    np.testing.assert_array_equal(read_npz(tmp_path / "f.npz")["a"], np.ones(3))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_npz(tmp_path / "nothing.npz")


def test_what_holds_arrays_is_told_from_what_does_not(tmp_path):
    np.savez(tmp_path / "f.npz", a=np.ones(3))
    assert is_npz(tmp_path / "f.npz")
    assert not is_npz(archive(tmp_path / "g", [("archive/data.pkl", b"")]))
    (tmp_path / "h").write_bytes(b"PK\x03\x04")
    assert not is_npz(tmp_path / "h")


@settings(max_examples=300)
@given(st.data())
def test_a_spoiled_file_is_a_sentence_or_numbers(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "spoiled.npz"
    np.savez(path, a=np.arange(6.0).reshape(2, 3), b=np.ones(2, np.int16))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        found = read_npz(path)
    except ValueError as error:
        found = {}
        assert str(error).startswith(repr(str(path)))  # noqa: PT017 - it may be readable, too
    assert all(array.dtype.kind in "iufb" for array in found.values())
