"""Models with a head, wide ones, and recordings of their gradients."""

from learning import KINDS, family, read, sizes, told
from planting import widened

from minibert import record_model
from minibert.models.auto import MODELS

CLASSES = {kind.__name__: kind for kind in MODELS}
RECORDED = [kind for kind in KINDS if not kind.endswith("Choice")]
WIDE = {"Bert": "initializer_range", "GPT2": "initializer_range", "Bart": "init_std"}


def drawn(folder, kind, dtype="float64"):
    """Return a model of wide weights, of biases that are not 0 and norms that are not 1."""
    config = CLASSES[kind].config_class(**sizes(kind, **{WIDE[family(kind)]: 0.3}))
    return widened(CLASSES[kind](config, seed=1), folder, dtype)


def recorded(model, padding="right", **options):
    kind = type(model).__name__
    inputs = read(kind, padding)
    return record_model(model, inputs, labels=told(kind, inputs), **options)
