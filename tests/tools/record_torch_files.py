"""Record what torch.save writes, for tests/checkpoint/test_torchfile.py. Run by hand, with torch.

    python tests/tools/record_torch_files.py

It writes tests/data/torch/: the same state dict in every form that torch.save knows, alone
and in what a training saves; expected.npz, which holds what torch itself says that the numbers are;
and recording.pt, what transformers returns for tests/data/wide, as a user would save it.
"""

import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from torch import nn

FOLDER = Path(__file__).parents[1] / "data" / "torch"

# signs, zeros, the largest, the smallest normal, denormals, infinities, and a NaN with a payload;
# none for float16, because torch widens all of them to one and NumPy keeps the payload
SPECIAL_HALVES = [0x0000, 0x8000, 0x3C00, 0x7BFF, 0x0400, 0x0001, 0x83FF, 0x7C00, 0xFC00]
SPECIAL_BFLOATS = [0x0000, 0x8000, 0x3F80, 0x7F7F, 0x0080, 0x0001, 0x807F, 0x7F80, 0xFF80, 0x7FC1]


def bits(numbers: list[int], dtype: torch.dtype) -> torch.Tensor:
    """Return the tensor with these 16-bit patterns."""
    return torch.from_numpy(np.array(numbers, np.uint16).view(np.int16)).view(dtype)


def make_state() -> "OrderedDict[str, torch.Tensor]":
    """Return a state dict with every dtype and every kind of view, and with its _metadata."""
    torch.manual_seed(0)
    base, row = torch.randn(5, 7), torch.randn(3)
    state = nn.Linear(3, 2).state_dict()  # brings the _metadata along
    state |= {
        "double": torch.randn(3, 5, dtype=torch.float64),
        "half": bits(SPECIAL_HALVES, torch.float16),
        "bfloat": bits(SPECIAL_BFLOATS, torch.bfloat16),
        "base": base,
        "transposed": base.t(),
        "sliced": base[1:4, 2:7:2],
        "expanded": row.expand(5, 3),
        "shared.head": base.view(-1)[:11],
        "shared.tail": base.view(-1)[30:],
        "parameter": nn.Parameter(torch.randn(2, 3)),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "position_ids": torch.arange(7).expand(1, -1),
    }
    return state


def expected(tensor: torch.Tensor) -> np.ndarray:
    """Return a tensor's numbers, those of 16 bits widened to float32 by torch."""
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor).numpy()


def make_training(state: "dict[str, torch.Tensor]") -> dict[str, object]:
    """Return what a training saves: a model with tensors that are no weights, and its optimizer."""
    model = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    odd = {
        "odd.complex": torch.randn(3, dtype=torch.complex64),
        "odd.uint16": torch.arange(3).to(torch.uint16),
        "odd.float8": torch.randn(3).to(torch.float8_e4m3fn),
        "odd.sparse": torch.eye(3).to_sparse(),
        "odd.rows": torch.eye(3).to_sparse_csr(),
    }
    states = {"model_state_dict": {**state, **odd}, "optimizer": optimizer.state_dict()}
    return {"epoch": 3, **states, "loss": torch.tensor(0.5), "dtype": torch.float32}


def make_recording() -> dict[str, torch.Tensor]:
    """Return inputs and outputs of transformers' BertModel under its own names, in float32."""
    from transformers import BertModel

    from minibert import Reference

    wide = FOLDER.parent / "wide"
    reference = Reference.load(wide / "reference.safetensors")
    inputs = {name: torch.tensor(array) for name, array in reference.inputs.items()}
    model = BertModel.from_pretrained(wide, attn_implementation="eager").eval()
    with torch.no_grad():
        output = model(**inputs, output_hidden_states=True)
    states = {f"hidden_states.{i}": state for i, state in enumerate(output.hidden_states)}
    last = {name: output[name] for name in ("last_hidden_state", "pooler_output")}
    return {**inputs, **states, **last}


def main() -> None:
    """Write all the files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    state = make_state()
    torch.save(state, FOLDER / "zip.bin")
    torch.save(state, FOLDER / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.save(
        state, FOLDER / "legacy4.bin", pickle_protocol=4, _use_new_zipfile_serialization=False
    )
    training = make_training(state)
    torch.save(training, FOLDER / "training.bin")
    torch.save(training, FOLDER / "training_legacy.bin", _use_new_zipfile_serialization=False)
    torch.save(make_recording(), FOLDER / "recording.pt")
    np.savez(FOLDER / "expected.npz", **{name: expected(t) for name, t in state.items()})
    versions = {"torch": torch.__version__, "numpy": np.__version__}
    (FOLDER / "versions.json").write_text(json.dumps(versions) + "\n")


if __name__ == "__main__":
    main()
