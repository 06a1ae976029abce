"""Files that other programs recorded: .npz, safetensors without our metadata, torch's dicts."""

import io
import re
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from minibert import Reference, verify
from minibert.verification.recordings import is_npz, read_npz

TORCH = Path(__file__).parents[1] / "data" / "torch"


def as_arrays(reference):
    """The same recording with the plain names of a user, but for a few."""
    stages = dict(reference.stages)
    stages["hidden_states.1"], stages["pooler_output"] = stages.pop("layer.0"), stages.pop("pooler")
    stages["last_hidden_state"] = stages["layer.1"]
    return {**reference.inputs, **stages}


def prefixed(reference):
    inputs = {f"input.{name}": array for name, array in reference.inputs.items()}
    return {**inputs, **{f"stage.{name}": array for name, array in reference.stages.items()}}


WRITERS = {
    "npz": lambda path, arrays: np.savez(path, **arrays),
    "compressed": lambda path, arrays: np.savez_compressed(path, **arrays),
    "safetensors": lambda path, arrays: save_file(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()}, path
    ),
}


@pytest.mark.parametrize("names", [as_arrays, prefixed])
@pytest.mark.parametrize("form", WRITERS)
def test_a_recording_of_any_form_is_verified(tmp_path, model, reference, form, names):
    path = tmp_path / "recording.npz"
    WRITERS[form](path, names(reference))
    found = Reference.load(path)
    assert verify(model, found).verdict.startswith(
        "OK: all 27 stages agree, to the rounding of float"
    )
    assert found.provenance == {"dtype": "float64"}
    assert set(found.inputs) == set(reference.inputs)


def test_what_transformers_returned_and_torch_saved_is_verified(model):
    found = Reference.load(TORCH / "recording.pt")
    assert list(found.stages) == ["embeddings", "layer.0", "layer.1", "pooler"]
    assert found.provenance == {"dtype": "float32"}
    assert verify(model, found).ok


def test_any_order_of_bytes_and_axes_is_read_as_what_it_shows(tmp_path, reference):
    stage = reference.stages["layer.0"]
    odd = {"layer.0": np.asfortranarray(stage).astype(">f8"), "layer.1": stage.T.copy().T}
    np.savez(tmp_path / "r.npz", **reference.inputs, **odd)
    for found in Reference.load(tmp_path / "r.npz").stages.values():
        assert found.dtype == np.dtype("float64")
        np.testing.assert_array_equal(found, stage)


@pytest.mark.parametrize("form", WRITERS)
def test_half_precision_is_widened_and_told(tmp_path, reference, form):
    half = {"layer.0": reference.stages["layer.0"].astype(np.float16)}
    WRITERS[form](tmp_path / "r.npz", {**reference.inputs, **half})
    found = Reference.load(tmp_path / "r.npz")
    assert found.stages["layer.0"].dtype == np.float32
    assert found.provenance == {"dtype": "float16"}


def test_bfloat16_that_numpy_saved_is_read_as_such(tmp_path, reference):
    """ml_dtypes' arrays are two bytes a number in an .npz, and nothing says what they mean."""
    stage = reference.stages["layer.0"].astype(np.float32)
    bits = (stage.view(np.uint32) >> 16).astype(np.uint16)
    np.savez(tmp_path / "r.npz", **reference.inputs, **{"layer.0": bits.view("V2")})
    found = Reference.load(tmp_path / "r.npz")
    cut = (stage.view(np.uint32) >> 16 << 16).view(np.float32)
    np.testing.assert_array_equal(found.stages["layer.0"], cut)
    assert found.provenance == {"dtype": "bfloat16"}


def test_floats_of_8_bits_are_not_guessed(tmp_path, reference):
    odd = reference.stages["layer.0"].astype(np.uint8).view("V1")
    np.savez(tmp_path / "r.npz", **reference.inputs, **{"layer.0": odd})
    with pytest.raises(ValueError, match=r"holds \|V1; allowed: numbers \(8-bit floats, perhaps"):
        Reference.load(tmp_path / "r.npz")


def test_metadata_are_the_provenance(tmp_path, reference):
    metadata = {"format": "pt", "tools": "an engine 3.1"}
    arrays = {"input_ids": reference.inputs["input_ids"], "layer.0": reference.stages["layer.0"]}
    save_file(arrays, tmp_path / "r", metadata)
    found = Reference.load(tmp_path / "r")
    lacking = {"lacking": "attention_mask, token_type_ids"}
    assert found.provenance == {"tools": "an engine 3.1", "dtype": "float64", **lacking}


def test_the_number_of_layers_may_be_said(tmp_path, model, reference):
    last = {"last_hidden_state": reference.stages["layer.1"]}
    np.savez(tmp_path / "r.npz", **reference.inputs, **last)
    assert verify(model, Reference.load(tmp_path / "r.npz", num_hidden_layers=2)).ok
    with pytest.raises(ValueError, match="nothing here says how many layers"):
        Reference.load(tmp_path / "r.npz")


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"layer.0": np.zeros((1, 2, 3))}, "with input_ids or inputs_embeds among them"),
        ({"input_ids": np.ones((1, 2), int)}, "nothing to compare"),
        ({"input_ids": np.ones((1, 2), int), "input.x": np.ones(3)}, "['input_ids', 'x']"),
        ({"input_ids": np.ones((1, 2), int), "loss": np.ones(3)}, "there is no stage 'loss'"),
        ({"input_ids": np.ones((1, 2), int), "layer.0": np.ones((1, 3, 4))}, "needed: (B, T, C)"),
    ],
)
@pytest.mark.parametrize("form", WRITERS)
def test_what_is_no_recording_says_why_and_where(tmp_path, form, arrays, says):
    path = tmp_path / "r.npz"
    WRITERS[form](path, arrays)
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        Reference.load(path)
    assert str(path) in str(caught.value)


def test_a_single_array_says_what_is_needed(tmp_path):
    np.save(tmp_path / "r.npy", np.ones(3))
    with pytest.raises(ValueError, match=r"a single array; .* write them with numpy\.savez"):
        Reference.load(tmp_path / "r.npy")


def test_a_file_of_torch_that_holds_other_things_says_what_is_needed(tmp_path):
    (tmp_path / "r.pt").write_bytes((TORCH / "legacy.bin").read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"cut short.*A recording is one dict from names"):
        Reference.load(tmp_path / "r.pt")


def test_an_archive_without_a_directory_may_be_of_numpy_or_of_torch(tmp_path):
    (tmp_path / "r.pt").write_bytes((TORCH / "recording.pt").read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"neither as .npz nor as what torch.save writes: it is"):
        Reference.load(tmp_path / "r.pt")


# --- .npz files of strangers

NUMBERS = {
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
    save(tmp_path / "f.npz", **NUMBERS)
    found = read_npz(tmp_path / "f.npz")
    assert list(found) == list(NUMBERS)
    for name, array in NUMBERS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype.newbyteorder("=")


def test_no_pickle_is_read(tmp_path):
    np.savez(tmp_path / "f.npz", a=np.array([print, "x"], object))
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        read_npz(tmp_path / "f.npz")


def test_a_header_that_promises_too_much_is_refused(tmp_path):
    """NumPy asks for the memory, and the system gives none before it is used."""
    content = lying(b"(99999999999,)")
    assert np.lib.format.read_array_header_1_0(io.BytesIO(content[8:]))[0] == (99999999999,)
    archive(tmp_path / "f.npz", [("a.npy", content)])
    with pytest.raises(ValueError, match=r"is not a readable \.npz file"):
        read_npz(tmp_path / "f.npz")


def test_a_bomb_is_not_unfolded(tmp_path, monkeypatch):
    monkeypatch.setattr("minibert.verification.recordings.MAX_NPZ_BYTES", 2**20)
    np.savez_compressed(tmp_path / "f.npz", a=np.zeros(2**18))
    with pytest.raises(ValueError, match="absurdly compressed"):
        read_npz(tmp_path / "f.npz")
    np.savez(tmp_path / "g.npz", a=np.zeros(2**18))  # large, and worth it
    assert read_npz(tmp_path / "g.npz")["a"].shape == (2**18,)


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ([("a.npy", npy(np.ones(3))[:-1])], "is not a readable .npz file"),
        ([("a.npy", lying(b"(-6,)"))], "is not a readable .npz file"),
        ([("a.npy", b"")], "'a' holds something else than an array; allowed: numbers"),
        ([("a.npy", b"\x93NUMPY\x09\x00abc")], "version"),
        (
            [("a.npy", npy(np.ones(3)).replace(b"False", b"Folse"))],
            "file: an array in it is damaged",
        ),
        ([("a.npy", npy(np.ones(3)).replace(b"}", b"("))], "damaged|Cannot parse header"),
        ([("a.npy", npy(np.ones(3)).replace(b"'shape", b"'\x1bhape"))], r"keys: .*x1bhape"),
        ([("a.npy", lying(b"(9" + b"9" * 30 + b",)"))], "file: an array in it is damaged"),
        ([("a.npy", npy(np.ones(3))), ("b.txt", b"x")], "'b.txt' holds something else than an arr"),
        ([("a.npy", npy(np.array(["x"])))], "holds <U1; allowed: numbers"),
        ([("a.npy", npy(np.ones(2, "f4,f4")))], "allowed: numbers"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, members, says):
    path = archive(tmp_path / "f.npz", members)
    with pytest.raises(ValueError, match=says) as caught:
        read_npz(path)
    assert str(path) in str(caught.value)


def test_a_header_of_python_2_is_read_without_a_warning(tmp_path):
    content = npy(np.arange(3.0)).replace(b"(3,), } ", b"(3L,), }")
    path = archive(tmp_path / "f.npz", [("a.npy", content)])
    np.testing.assert_array_equal(read_npz(path)["a"], np.arange(3.0))


def test_two_arrays_of_one_name_are_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive(tmp_path / "f.npz", [("a.npy", npy(np.ones(3)))] * 2)
    with pytest.raises(ValueError, match="two of its members have one name"):
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


def test_many_members_are_refused_in_no_time(tmp_path):
    path = archive(tmp_path / "f.npz", [(f"{i}.npy", b"") for i in range(10_001)])
    began = time.perf_counter()
    with pytest.raises(ValueError, match="it has 10001 members; allowed: 10000"):
        read_npz(path)
    assert time.perf_counter() - began < 2


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_npz(tmp_path / "nothing.npz")


def test_what_holds_arrays_is_told_from_what_does_not(tmp_path):
    np.savez(tmp_path / "f.npz", a=np.ones(3))
    assert is_npz(tmp_path / "f.npz")
    assert not is_npz(archive(tmp_path / "g", [("archive/data.pkl", b"")]))
    (tmp_path / "h").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match=r"h' can be read neither as .npz nor as what torch.save"):
        is_npz(tmp_path / "h")


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
