"""Training: dropout, optimizers, and the loop."""
