"""Training: gradients, dropout, optimizers."""

from minibert.training.learning import gradients

__all__ = ["gradients"]
