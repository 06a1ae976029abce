"""Record what torch and transformers say about minibert/functions.py and minibert/activations.py.

Run by hand where torch and transformers are installed: python tests/tools/record_functions.py
It writes tests/data/functions.npz, which test_functions.py reads.
"""

from pathlib import Path

import numpy as np
import torch
import transformers
from transformers.activations import ACT2FN

NAMES = (
    *("gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "quick_gelu"),
    *("gelu_python", "gelu_python_tanh", "gelu_accurate", "gelu_10", "relu", "relu2", "relu6"),
    *("leaky_relu", "silu", "swish", "hardswish", "mish", "tanh", "sigmoid", "laplace"),
    *("sqrtsoftplus", "linear"),
)
EXTREMES = (0.0, 1e-44, 1e-38, 1e-30, 1e-8, 1e-3, 20.0, 88.0, 90.0, 710.0, 1e3, 1e4)
EPS = {"tiny": 1e-12, "large": 0.1}  # the large one shows that eps stands inside the root


def main() -> None:
    recorded = {"versions": f"torch {torch.__version__}, transformers {transformers.__version__}"}
    for dtype in (np.float32, np.float64):
        arrays = {**activations(dtype), **row_functions(dtype)}
        recorded |= {f"{name}.{np.dtype(dtype)}": array for name, array in arrays.items()}
    path = Path(__file__).parents[1] / "data" / "functions.npz"
    np.savez_compressed(path, **recorded)
    print(f"{path}: {path.stat().st_size} bytes, {recorded['versions']}")


def activations(dtype: type) -> dict[str, np.ndarray]:
    extremes = np.array(EXTREMES)
    x = np.concatenate([np.linspace(-12, 12, 241), extremes, -extremes]).astype(dtype)
    said = {f"activation.{name}": ACT2FN[name](torch.from_numpy(x)).numpy() for name in NAMES}
    return {"grid": x, **said}


def row_functions(dtype: type) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.normal(0.7, 3, (5, 37)).astype(dtype)
    x[0] = 0.3 + 1e-3 * x[0]  # a row that hardly varies: there the kind of variance shows
    scale, shift = random.normal(1, 0.3, (2, 37)).astype(dtype)
    matrix = random.normal(0, 0.3, (13, 37)).astype(dtype)
    bias = random.normal(0, 0.3, 13).astype(dtype)
    rows, scale_, shift_, matrix_, bias_ = map(torch.from_numpy, (x, scale, shift, matrix, bias))
    functional = torch.nn.functional
    said = {
        "softmax": functional.softmax(rows, -1),
        "linear": functional.linear(rows, matrix_, bias_),
    }
    for name, eps in EPS.items():
        said[f"layer_norm.{name}"] = functional.layer_norm(rows, (37,), scale_, shift_, eps)
    given = {"x": x, "scale": scale, "shift": shift, "matrix": matrix, "bias": bias}
    return given | {name: tensor.numpy() for name, tensor in said.items()}


if __name__ == "__main__":
    main()
