"""Record what torch's autograd finds of every model and head, small, so that tests need no torch.

    python tests/tools/record_gradients.py      # writes tests/training/data/gradients.npz

Needs torch and transformers. Of each gradient, of weights and of stages, there are in float64 the
sums of its numbers times some that are drawn (an error cannot hide from these), and the RMS error
of torch's float32. Weights, inputs and labels are drawn by NumPy: see tests/support/learning.py.
"""

import copy
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from learning import KINDS, arrays, read, rebuilt, told, wide

FILE = Path(__file__).parents[1] / "training" / "data" / "gradients.npz"
DRAWS, SIZE, LENGTH, SUMS = 8, 16, 29, 3


def drawn(kind, seed):
    """Return the inputs and the labels of one of the DRAWS."""
    padding = ("right", "none")[seed % 2]
    inputs = read(kind, padding, (SIZE, LENGTH), seed)
    return inputs, told(kind, inputs, seed=seed)


def single(kind):
    """Return the model in float32."""
    return wide(kind, "float32")


def double(model):
    """Return a model with the same weights in float64."""
    return rebuilt(model, {field: x.astype(np.float64) for field, x in arrays(model).items()})


def sums(name, grad):
    """Return some sums of a gradient's numbers, each times a number drawn from its shape."""
    numbers = np.random.default_rng([len(name), *grad.shape]).standard_normal((SUMS, grad.size))
    return numbers @ np.ravel(grad)


class Errors:
    """The RMS of errors, by name, over all that is added."""

    def __init__(self):
        self.squares, self.counts = {}, {}

    def add(self, found, exact):
        for name, grad in exact.items():
            error = np.square(found[name] - grad)
            self.squares[name] = self.squares.get(name, 0) + error.sum()
            self.counts[name] = self.counts.get(name, 0) + error.size

    def rms(self):
        return {name: np.sqrt(x / self.counts[name]) for name, x in self.squares.items()}


def main():
    import torch
    import transformers
    from autograd import autograd

    kept = {"tools": f"transformers {transformers.__version__}, torch {torch.__version__}"}
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            single(kind).save_pretrained(folder)
            options = {"attn_implementation": "eager", "dtype": torch.float32}
            model = getattr(transformers, kind).from_pretrained(folder, **options).eval()
        errors = Errors()
        for seed in range(DRAWS):
            (_, *found), (loss, *exact) = (
                autograd(x, *drawn(kind, seed)) for x in (model, copy.deepcopy(model).double())
            )
            found, exact = (
                {**weights, **{f"grad.{x}": grad for x, grad in stages.items()}}
                for weights, stages in (found, exact)
            )
            errors.add(found, exact)
            if seed == 0:
                kept[f"{kind}/loss"] = loss
                kept[f"{kind}/names"] = [*exact]
                kept[f"{kind}/sums"] = [sums(name, grad) for name, grad in exact.items()]
        kept[f"{kind}/errors"] = [errors.rms()[name] for name in kept[f"{kind}/names"]]
    np.savez_compressed(FILE, **kept)


if __name__ == "__main__":
    main()
