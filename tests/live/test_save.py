"""What is saved, as torch and transformers open it."""

from collections import OrderedDict

import numpy as np
import pytest
from wide import WIDE

from minibert import BertConfig
from minibert.checkpoint.load import open_weights
from minibert.checkpoint.save import save_checkpoint

REASON = "a live check: pip install torch==2.13.0, then transformers"
torch = pytest.importorskip("torch", reason=REASON)
transformers = pytest.importorskip("transformers", reason=REASON)

HOWS = {"safetensors": {}, "bin": {"safe_serialization": False}}


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


def content(config):
    return config.to_json_string().encode()


@pytest.mark.parametrize("mapped", [False, True])
def test_torch_loads_it_to_the_bit(tmp_path, mapped):
    arrays = odd_arrays()
    save_checkpoint(tmp_path, content(BertConfig()), arrays, safe_serialization=False)
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
    return {name: tensor.raw() for name, tensor in open_weights(folder).tensors.items()}


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_transformers_opens_it(tmp_path, how, dtype):
    config = BertConfig.from_pretrained(WIDE, dtype=dtype)
    arrays = {name: a.astype(dtype) for name, a in arrays_of(WIDE).items()}
    save_checkpoint(tmp_path, content(config), arrays, **HOWS[how])
    expected, _ = hidden_states(WIDE, dtype=getattr(torch, dtype))
    found, model = hidden_states(tmp_path)
    assert str(model.dtype) == f"torch.{dtype}"
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), arrays[name])
    # torch's sums depend on where in memory the weights lie
    tolerance = 16 * np.finfo(dtype).eps
    for state, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(state, other, rtol=tolerance, atol=tolerance)
