"""How to train: what a user may choose, checked."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from minibert.training.optimizers import DECAYS, schedule


@dataclass(frozen=True)
class Settings:
    """How to train. ValueError for a value that is not allowed."""

    epochs: int = 3
    batch_size: int = 16
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    warmup: float = 0.1  # share of the steps in which the rate grows
    schedule: str = "linear"  # what the rate does after that; "cosine", "constant"
    largest_norm: float = 1.0  # of the gradients of a step: longer ones are cut
    accumulate: int = 1  # batches whose gradients make one step
    dropout: bool = True  # with the rates of the config
    bias_correction: bool = True  # as torch's AdamW; BERT's own has none
    betas: tuple[float, float] = (0.9, 0.999)  # shares of the means of gradients that stay
    eps: float = 1e-8
    seed: int = 0
    frozen: tuple[str, ...] = ()  # patterns of the names of tensors that stay
    save_every: int = 0  # steps between saves; 0: at the end of each epoch alone

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate"):
            self._need(name, getattr(self, name) >= 1, "1 and more")
        for name in ("learning_rate", "largest_norm", "eps"):
            self._need(name, getattr(self, name) > 0, "more than 0")
        for name in ("weight_decay", "seed", "save_every"):
            self._need(name, getattr(self, name) >= 0, "0 and more")
        self._need("betas", all(0 <= beta < 1 for beta in self.betas), "two numbers from 0 to 1")
        self._need("warmup", 0 <= self.warmup < 1, "0 to 1, a share of the steps")
        self._need("schedule", self.schedule in DECAYS, ", ".join(DECAYS))

    def _need(self, name: str, fits: bool, allowed: str) -> None:
        if not fits:
            raise ValueError(f"{name} is {getattr(self, name)!r}; allowed: {allowed}")

    def rate(self, steps: int) -> Callable[[int], float]:
        """Return what the learning rate is multiplied by at each of so many steps."""
        return schedule(self.schedule, steps, round(self.warmup * steps))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON holds them."""
        return {**asdict(self), "frozen": [*self.frozen], "betas": [*self.betas]}
