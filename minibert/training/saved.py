"""What a run leaves in its folder, and going on from it.

run.safetensors holds all that a run is gone on with. It is replaced in one step, so that a run that
is killed at any moment loses no more than the steps since the last save. The checkpoints beside it,
``last`` and ``best``, are for use.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from minibert.checkpoint.safetensors import read_safetensors, write_safetensors
from minibert.checkpoint.writing import replace_with, sync
from minibert.runtime.arrays import Array
from minibert.training.curve import write_curve

NAME = "run.safetensors"
KINDS = "weight", "mean", "square"  # of each field: the weight, and what the optimizer keeps
STATE = "state"  # JSON as a tensor: a history outgrows what a header may hold


def save(run: Any, folder: Path) -> None:
    """Write a run into a folder; OSError if that cannot be written, what was there unchanged."""
    for name in ("best", "last") if is_best(run.history) else ("last",):
        run.model.save_pretrained(folder / name)
    write_curve(run.history, folder)
    # the run itself comes last: if it is killed before that, it does these steps again
    state = json.dumps({"settings": run.settings.to_dict(), "history": run.history})
    arrays = {**_arrays(run), STATE: np.frombuffer(state.encode(), np.uint8)}
    replace_with(folder / NAME, lambda file: write_safetensors(file, arrays))
    sync(folder)


def is_best(history: Any) -> bool:
    """Tell whether the last step of a history has a smaller held-out loss than all before it."""
    losses = [row.get("held-out loss", np.inf) for row in history]
    return bool(losses[-1] < np.nanmin([np.inf, *losses[:-1]]))


def _arrays(run: Any) -> dict[str, Array]:
    kinds = zip(KINDS, (run.weights, run.optimizer.means, run.optimizer.squares), strict=True)
    return {f"{kind}.{field}": arrays[field] for kind, arrays in kinds for field in run.fields}


def resumed(run: Any, folder: Path) -> None:
    """Let a run go on where the one in a folder stopped, if there is one.

    ValueError if that is a run with other settings, or of another model.
    """
    path = folder / NAME
    if not path.exists():
        return
    arrays = {name: np.array(tensor.raw()) for name, tensor in read_safetensors(path).items()}
    try:
        state = json.loads(arrays[STATE].tobytes())
        settings, run.history = dict(state["settings"]), list(state["history"])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{str(path)!r} holds no run to go on with") from None
    _refuse_others(run, settings, arrays, path)
    for field in run.fields:
        run.weights[field][...] = arrays[f"weight.{field}"]
        run.optimizer.means[field] = arrays[f"mean.{field}"]
        run.optimizer.squares[field] = arrays[f"square.{field}"]
    run.step = run.optimizer.steps = len(run.history)


def _refuse_others(
    run: Any, settings: dict[str, Any], arrays: dict[str, Array], path: Path
) -> None:
    hint = "go on with the same, or pass resume=False to begin anew"
    for name, value in run.settings.to_dict().items():
        if (there := settings.get(name)) != value:
            raise ValueError(
                f"the run in {str(path)!r} has {name}={there!r}, not {value!r}: {hint}"
            )
    for field in run.fields:
        weight = run.weights[field]
        for there in (arrays.get(f"{kind}.{field}") for kind in KINDS):
            if there is None or (there.shape, there.dtype) != (weight.shape, weight.dtype):
                raise ValueError(f"the run in {str(path)!r} is of another model ({field}): {hint}")
