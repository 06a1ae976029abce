"""What a run leaves in its folder, and going on from it.

run.safetensors holds all that a run is gone on with. It is replaced in one step, so that a run that
is killed at any moment loses no more than the steps since the last save. The checkpoints beside it,
``last`` and ``best``, are for use.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from minibert.checkpoint.files import beside, make_folder, sync, why_not_saved
from minibert.training.curve import write_curve

NAME = "run.safetensors"


def save(run: Any, folder: Path) -> None:
    """Write a run into a folder; OSError if that cannot be written."""
    from safetensors.numpy import save_file

    path = folder / NAME
    temporary = beside(path)
    try:
        make_folder(folder)
        held_out = run.history[-1].get("held-out loss") if run.history else None
        if held_out is not None and held_out < run.best:
            run.best = held_out
            run.model.save_pretrained(folder / "best")
        save_file(_arrays(run), temporary, {"state": json.dumps(_state(run))})
        temporary.replace(path)
        sync(folder)
        run.model.save_pretrained(folder / "last")
        write_curve(run.history, folder)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise why_not_saved(folder, error, "The save before it is unchanged") from error


def _arrays(run: Any) -> dict[str, Any]:
    kinds = {"weight": run.weights, "mean": run.optimizer.means, "square": run.optimizer.squares}
    return {
        f"{kind}.{field}": np.ascontiguousarray(arrays[field])
        for kind, arrays in kinds.items()
        for field in run.fields
        if field in arrays
    }


def _state(run: Any) -> dict[str, Any]:
    return {
        "step": run.step,
        "steps": run.optimizer.steps,
        "best": run.best,
        "settings": run.settings.to_dict(),
        "history": run.history,
    }


def resumed(run: Any, folder: Path) -> None:
    """Let a run go on where the one in a folder stopped, if there is one.

    ValueError if that is a run with other settings, or of another model.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / NAME
    if not path.exists():
        return
    try:
        with safe_open(path, framework="numpy") as file:
            state = json.loads((file.metadata() or {})["state"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{str(path)!r} holds no run to go on with: {error}") from None
    _refuse_others(run, state, arrays, path)
    for field in run.fields:
        run.weights[field][...] = arrays[f"weight.{field}"]
        if f"mean.{field}" in arrays:
            run.optimizer.means[field] = arrays[f"mean.{field}"]
            run.optimizer.squares[field] = arrays[f"square.{field}"]
    run.step, run.optimizer.steps = state["step"], state["steps"]
    run.best, run.history = state["best"], state["history"]


def _refuse_others(run: Any, state: dict[str, Any], arrays: dict[str, Any], path: Path) -> None:
    hint = "go on with the same, or pass resume=False to begin anew"
    for name, value in run.settings.to_dict().items():
        if (there := state["settings"].get(name)) != value:
            raise ValueError(
                f"the run in {str(path)!r} has {name}={there!r}, not {value!r}: {hint}"
            )
    for field in run.fields:
        there = arrays.get(f"weight.{field}")
        if there is None or there.shape != run.weights[field].shape:
            raise ValueError(f"the run in {str(path)!r} is of another model ({field}): {hint}")
