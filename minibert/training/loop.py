"""The loop: a batch, its gradients, a step; and again. What there is is saved, and gone on from.

    history = minibert.train(model, examples, evaluate=held_out, folder="runs/one")

Everything that chance decides (the order of examples, what drops out) follows from the seed and the
number of the step, so a run that is gone on with ends in the same bits as one that never stopped.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """How to train."""

    epochs: float = 3
    batch_size: int = 16
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    warmup: float = 0.1  # share of the steps in which the rate grows
    schedule: str = "linear"  # or "cosine", "constant"
    largest_norm: float = 1.0  # of the gradients of a step: longer ones are cut
    accumulate: int = 1  # batches whose gradients make one step
    dropout: bool = True
    seed: int = 0
    frozen: tuple[str, ...] = ()  # patterns of tensors' names
    save_every: int = 0  # steps; 0: at the end of each epoch
