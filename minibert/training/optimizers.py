"""AdamW, its schedule of learning rates, and the clipping of gradients.

Kingma and Ba, "Adam", arXiv:1412.6980; Loshchilov and Hutter, "Decoupled Weight Decay
Regularization", arXiv:1711.05101. Numbers follow torch's; without ``bias_correction`` they are
those of BERT's own optimizer (google-research/bert, optimization.py).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from minibert.runtime.arrays import Array
from minibert.runtime.threads import shares, spread

Arrays = dict[str, Array]

BLOCK = 32_000  # numbers that move at a time: with what is computed on the way, in the cache


@dataclass
class AdamW:
    """Moves each weight against its gradient, by about the learning rate.

    weight_decay: the share of each matrix, times the learning rate, that is taken off at each step;
    biases and norms keep theirs. bias_correction: whether the first steps make up for means that
    began at 0; BERT's own optimizer does without, with eps 1e-6.
    """

    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01
    bias_correction: bool = True
    steps: int = 0
    means: Arrays = field(default_factory=dict)  # of the gradients, by name
    squares: Arrays = field(default_factory=dict)  # of their squares

    def step(self, weights: Arrays, gradients: Mapping[str, Array], rate: float = 1.0) -> None:
        """Change the weights that have a gradient, in place.

        rate: what the learning rate is multiplied by at this step.
        """
        self.steps += 1
        for name, grad in gradients.items():
            weight = weights[name]
            if name not in self.means:
                self.means[name], self.squares[name] = np.zeros_like(weight), np.zeros_like(weight)
            self._move(weight, grad, self.means[name], self.squares[name], rate)

    def _move(self, weight: Array, grad: Array, mean: Array, square: Array, rate: float) -> None:
        decay = 1 - self.learning_rate * rate * self.weight_decay if weight.ndim > 1 else 1.0
        first, second = self.betas
        corrected = 1 - second**self.steps if self.bias_correction else 1.0
        size = rate * self.learning_rate / (1 - first**self.steps if self.bias_correction else 1.0)
        arrays = [x.reshape(-1) for x in (weight, grad, mean, square)]

        def block(part: slice) -> None:
            w, g, m, s = (x[part] for x in arrays)
            w *= decay
            m += (1 - first) * (g - m)
            s *= second
            s += (1 - second) * np.square(g)
            w -= size * m / (np.sqrt(s) / math.sqrt(corrected) + self.eps)

        spread(block, shares(weight.size, math.ceil(weight.size / BLOCK)))


def norm_of(gradients: Mapping[str, Array]) -> float:
    """Return the length of all gradients as one vector."""
    return math.sqrt(sum(float(np.vdot(g, g)) for g in gradients.values()))


def clip(gradients: Mapping[str, Array], largest: float) -> float:
    """Make all gradients smaller, in place, if they are together longer; return how long they were.

    Pascanu et al., arXiv:1211.5063, as torch's clip_grad_norm_ does it.
    """
    norm = norm_of(gradients)
    scale = largest / (norm + 1e-6)
    if scale < 1:
        for grad in gradients.values():
            grad *= scale
    return norm


# what a rate is after the warm-up, by the share of the steps that is left
DECAYS: dict[str, Callable[[float], float]] = {
    "linear": lambda left: left,
    "cosine": lambda left: 0.5 * (1 - math.cos(math.pi * left)),  # arXiv:1608.03983
    "constant": lambda left: 1.0,
}


def schedule(decay: str, steps: int, warmup: int = 0) -> Callable[[int], float]:
    """Return the rate at each step: from 0 up to 1 in the warm-up, and then as the decay says."""

    def rate(step: int) -> float:
        if step < warmup:
            return step / warmup
        return DECAYS[decay](max(0.0, (steps - step) / max(1, steps - warmup)))

    return rate
