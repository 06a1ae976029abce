"""Functions to swap for ours."""

from minibert.runtime.swap import OPERATIONS

IDS = [[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]]


def hidden(model, ids=IDS):
    return model(ids).last_hidden_state


def doubled(x):
    return 2 * x


def halved(x):
    return x / 2


class Again:
    """Calls ours by its name, and keeps what arrived and what left."""

    def __init__(self, name):
        self.name, self.arrived, self.left = name, [], []

    def __call__(self, *args):
        self.arrived.append(args)
        self.left.append(OPERATIONS[self.name](*args))
        return self.left[-1]
