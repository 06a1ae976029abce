"""Record what torch's AdamW, its clipping and transformers' schedules make of drawn gradients.

python tests/tools/record_optimizers.py    # needs torch and transformers
"""

from pathlib import Path

import numpy as np

PATH = Path(__file__).parents[1] / "training" / "data" / "optimizers.npz"
STEPS, WARMUP = 200, 17
SHAPES = {"matrix": (5, 3), "bias": (7,)}


def gradients(step):
    random = np.random.default_rng(step)
    scale = 10 ** random.uniform(-3, 1)
    return {name: scale * random.standard_normal(shape) for name, shape in SHAPES.items()}


def main():
    import torch
    from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

    found, random = {}, np.random.default_rng(1000)
    drawn = {name: random.standard_normal(shape) for name, shape in SHAPES.items()}
    for kind, schedule in (
        ("linear", get_linear_schedule_with_warmup),
        ("cosine", get_cosine_schedule_with_warmup),
    ):
        weights = {n: torch.nn.Parameter(torch.tensor(x)) for n, x in drawn.items()}
        groups = [
            {"params": [weights["matrix"]], "weight_decay": 0.1},
            {"params": [weights["bias"]], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=3e-2, betas=(0.8, 0.97), eps=1e-5)
        rates = schedule(optimizer, WARMUP, STEPS)
        norms, used = [], []
        for step in range(STEPS):
            for name, grad in gradients(step).items():
                weights[name].grad = torch.tensor(grad)
            norms.append(torch.nn.utils.clip_grad_norm_(weights.values(), 1.5).item())
            used.append(rates.get_last_lr()[0] / 3e-2)
            optimizer.step()
            rates.step()
        found |= {f"{kind}.{name}": weight.detach().numpy() for name, weight in weights.items()}
        found |= {f"{kind}.rates": np.array(used), "norms": np.array(norms)}
    np.savez_compressed(PATH, **found, **{f"drawn.{name}": x for name, x in drawn.items()})


if __name__ == "__main__":
    main()
