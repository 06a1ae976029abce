"""What training makes smaller: each loss with its gradient, as transformers and torch define them.

A loss is a number, the mean over what is labelled; where nothing is, it is NaN, as in torch, and
its gradient is 0. It is computed in float64, whatever the logits are: a sum over many tokens.
"""

import numpy as np

from minibert.activations import sigmoid
from minibert.derivatives import cross_entropy_backward
from minibert.runtime.arrays import Array, Integers

Loss = tuple[float, Array]  # and the gradient of the logits

IGNORED = -100  # the label of what does not count


def cross_entropy(logits: Array, labels: Integers) -> Loss:
    """Return the mean of ``log(sum(exp(x))) - x[label]``, and its gradient.

    logits: (N, classes); labels: (N,), IGNORED where a row does not count.
    """
    counts = labels != IGNORED
    rows, chosen = logits[counts], labels[counts]
    grad = np.zeros_like(logits)
    if not len(rows):
        return float("nan"), grad
    places = np.arange(len(rows)), chosen
    largest = rows.max(axis=1, keepdims=True)
    exponentials = np.exp(rows - largest)
    sums = exponentials.sum(axis=1, keepdims=True)
    terms = np.log(sums[:, 0], dtype=np.float64) + largest[:, 0] - rows[places]
    grad[counts] = cross_entropy_backward(exponentials / sums, chosen)
    return float(terms.mean()), grad


def mean_squared_error(values: Array, labels: Array) -> Loss:
    """Return the mean of ``(x - label)^2``, and its gradient ``2 (x - label) / n``."""
    difference = values - labels.astype(values.dtype)
    loss = float(np.square(difference, dtype=np.float64).mean())
    return loss, 2 * difference / difference.size


def binary_cross_entropy(logits: Array, labels: Array) -> Loss:
    """Return the mean of ``log(1 + exp(x)) - x * label``, and its gradient ``(s - label) / n``.

    s = sigmoid(x). labels: (N, L), each number between 0 and 1, as the logits are.
    """
    labels = labels.astype(logits.dtype)
    terms = np.logaddexp(0, logits, dtype=np.float64) - logits * labels
    return float(terms.mean()), (sigmoid(logits) - labels) / labels.size
