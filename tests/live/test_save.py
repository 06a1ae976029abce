"""What is saved, as torch and transformers open it."""

import json
from collections import OrderedDict

import numpy as np
import pytest
from wide import WIDE

from minibert import BertConfig
from minibert.checkpoint.save import save_checkpoint, split
from minibert.checkpoint.source import open_weights

REASON = "a live check: pip install torch==2.13.0, then transformers"
torch = pytest.importorskip("torch", reason=REASON)
transformers = pytest.importorskip("transformers", reason=REASON)

HOWS = {
    "single": {},
    "shards": {"max_shard_size": "9KB"},
    "bin": {"safe_serialization": False},
    "bin shards": {"safe_serialization": False, "max_shard_size": "9KB"},
}


def odd_arrays():
    random = np.random.default_rng(0)
    base = random.normal(size=(5, 7, 3))
    nan = np.array([0x7FC01234, 0xFF800000, 0x80000000, 1], np.uint32).view(np.float32)
    return {
        "Fortran": np.asfortranarray(base),
        "Fortran single": np.asfortranarray(base[0].astype(np.float32)),
        "sliced": base[::2, 1:6:2],
        "big-endian": base.astype(">f4"),
        "scalar": np.array(2.5, np.float32),
        "scalar double": np.array(-0.0),
        "empty": np.empty((0, 3), np.float32),
        "empty within": np.empty((2, 0, 3)),
        "bits": nan,
        "mémoire": base[0].astype(np.float32),
    }


@pytest.mark.parametrize("mapped", [False, True])
def test_torch_loads_it_to_the_bit(tmp_path, mapped):
    arrays = odd_arrays()
    save_checkpoint(tmp_path, BertConfig(), arrays, safe_serialization=False)
    state = torch.load(tmp_path / "pytorch_model.bin", weights_only=True, mmap=mapped)
    assert type(state) is OrderedDict
    assert list(state) == list(arrays)
    for name, array in arrays.items():
        plain = np.array(array, array.dtype.newbyteorder("="), order="C")
        found = state[name].numpy()
        assert found.dtype == plain.dtype
        assert found.shape == plain.shape
        assert found.tobytes() == plain.tobytes()
        assert state[name].is_contiguous()
        assert state[name].data_ptr() % 64 == 0 or not mapped


@pytest.mark.parametrize("large", [1, 57, 400])
def test_torch_loads_what_needs_64_bits(tmp_path, monkeypatch, large):
    from minibert.checkpoint import torchwriter

    monkeypatch.setattr(torchwriter, "LARGE", large)
    arrays = odd_arrays()
    save_checkpoint(tmp_path, BertConfig(), arrays, safe_serialization=False)
    state = torch.load(tmp_path / "pytorch_model.bin", weights_only=True)
    for name, array in arrays.items():
        np.testing.assert_array_equal(state[name].numpy(), array)


def hidden_states(folder, **how):
    model, report = transformers.BertModel.from_pretrained(
        folder, attn_implementation="eager", output_loading_info=True, **how
    )
    assert not any(report.values())
    with torch.inference_mode():
        ids = torch.tensor([[1, 2, 3, 4, 5, 6, 7]])
        output = model.eval()(input_ids=ids, output_hidden_states=True)
    return [state.numpy() for state in output.hidden_states], model


def arrays_of(folder):
    return {name: tensor.stored() for name, tensor in open_weights(folder).tensors.items()}


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_transformers_opens_it(tmp_path, how, dtype):
    config = BertConfig.from_pretrained(WIDE, dtype=dtype)
    arrays = {name: a.astype(dtype) for name, a in arrays_of(WIDE).items()}
    save_checkpoint(tmp_path, config, arrays, **HOWS[how])
    expected, _ = hidden_states(WIDE, dtype=getattr(torch, dtype))
    found, model = hidden_states(tmp_path)
    assert str(model.dtype) == f"torch.{dtype}"
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), arrays[name])
    # torch's sums depend on where in memory the weights lie
    tolerance = 16 * np.finfo(dtype).eps
    for state, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(state, other, rtol=tolerance, atol=tolerance)


def test_transformers_opens_shards_under_hidden_names(tmp_path):
    """What a save leaves that is killed between its two indexes."""
    config = BertConfig.from_pretrained(WIDE)
    save_checkpoint(tmp_path, config, arrays_of(WIDE), max_shard_size="9KB")
    index = tmp_path / "model.safetensors.index.json"
    text = index.read_text()
    for name in set(json.loads(text)["weight_map"].values()):
        (tmp_path / name).rename(tmp_path / f".0123456789abcdef.{name}")
        text = text.replace(name, f".0123456789abcdef.{name}")
    index.write_text(text)
    found, _ = hidden_states(tmp_path)
    expected, _ = hidden_states(WIDE)
    for state, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(state, other, rtol=1e-6, atol=1e-6)


def test_shards_are_those_of_transformers(tmp_path):
    """The same names, the same tensors in each, the same total size; it sorts the tensors first."""
    _, model = hidden_states(WIDE)
    model.save_pretrained(tmp_path / "theirs", max_shard_size="9KB")

    def parts(name):
        return [int(part) if part.isdigit() else part for part in name.split(".")]

    tensors = model.state_dict()
    state = {name: tensors[name].numpy() for name in sorted(tensors, key=parts)}
    config = BertConfig.from_pretrained(WIDE)
    save_checkpoint(tmp_path / "ours", config, state, max_shard_size="9KB")
    ours, theirs = (
        json.loads((tmp_path / name / "model.safetensors.index.json").read_text())
        for name in ("ours", "theirs")
    )
    assert ours["weight_map"] == theirs["weight_map"]
    assert ours["metadata"]["total_size"] == theirs["metadata"]["total_size"]
    one, other = (
        {path.name for path in (tmp_path / name).iterdir()} for name in ("ours", "theirs")
    )
    assert one == other


@pytest.mark.parametrize("seed", range(20))
def test_the_hub_splits_in_the_same_way(seed):
    from huggingface_hub import split_state_dict_into_shards_factory

    random = np.random.default_rng(seed)
    tensors = {str(i): np.empty(size, np.int8) for i, size in enumerate(random.integers(0, 20, 30))}
    theirs = split_state_dict_into_shards_factory(
        tensors,
        get_storage_size=lambda array: array.nbytes,
        filename_pattern="model{suffix}.safetensors",
        max_shard_size=17,
    )
    ours = [list(shard) for shard in split(tensors, 17)]
    assert ours == list(theirs.filename_to_tensors.values())
