"""Training: gradients, dropout, optimizers, and the loop."""

from minibert.training.batches import Example
from minibert.training.learning import gradients
from minibert.training.loop import train

__all__ = ["Example", "gradients", "train"]
