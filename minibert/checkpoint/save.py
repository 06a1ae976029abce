"""From arrays to a folder that transformers and this package open, whole or not at all.

A save writes both files into a hidden folder beside their places, the weights first, and then moves
them:

1. The weights move to their place. Other weights that readers would prefer are removed, the ones in
   force last. So a single operation, a rename or a removal, brings the new weights into force.
2. config.json follows.

A save killed between the two leaves a config without weights in the hidden folder: it is in force,
as its weights are. ``read_config`` in load.py goes by that rule, and so does the next save. Hence a
reader finds the old pair or the new one at every moment.
"""

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.checkpoint.layout import CONFIG_NAME, FORMS, SHARD, weights_in_force
from minibert.checkpoint.safetensors import write_safetensors
from minibert.checkpoint.tensors import COMPUTED
from minibert.checkpoint.writing import (
    beside,
    make_folder,
    refuse_link,
    sync,
    why_not_saved,
    write_new,
)

Folder = str | os.PathLike[str]
Arrays = Mapping[str, NDArray[Any]]
SINGLE = ("model.safetensors", "pytorch_model.bin")


def save_checkpoint(
    folder: Folder, config: bytes, tensors: Arrays, *, safe_serialization: bool = True
) -> None:
    """Write config.json and model.safetensors into a folder, made if need be; whole or not at all.

    config: the content of config.json. tensors: float32 or float64, by the names that they get;
    they may lie in the files that are replaced. safe_serialization: False writes
    pytorch_model.bin instead.

    Other weights in the folder are removed: it holds one checkpoint. ValueError or TypeError for
    what cannot be saved; OSError if the folder cannot be written, which says what is there now.
    """
    _check(tensors)
    path, name = Path(folder), SINGLE[0 if safe_serialization else 1]
    missing = [above for above in (path, *path.parents) if not os.path.lexists(above)]
    try:
        make_folder(path)
        _save(path, name, lambda file: _write(file, tensors), config)
    except BaseException:
        for made in missing:
            with suppress(OSError):  # not there, or somebody else uses it
                made.rmdir()
        raise


def _check(tensors: Arrays) -> None:
    for name, array in tensors.items():
        if not isinstance(array, np.ndarray) or array.dtype.name not in COMPUTED:
            found = getattr(array, "dtype", type(array).__name__)
            raise TypeError(f"tensor {name!r:.80} is {found}; can be saved: {', '.join(COMPUTED)}")
        if name in ("", "__metadata__") or re.search("[\ud800-\udfff]", name):
            raise ValueError(f"a tensor cannot be saved under the name {name!r:.80}")


def _write(path: Path, tensors: Arrays) -> None:
    if path.name == SINGLE[0]:
        write_safetensors(path, tensors)
    else:
        from minibert.checkpoint.torchwriter import write_torch  # few need it, and all would wait

        write_torch(path, tensors)


def _save(folder: Path, name: str, write: Callable[[Path], None], config: bytes) -> None:
    """Put weights and a config into a folder; OSError, which says what is there now."""
    prepared, written = beside(folder / name), False
    state = "What was there is unchanged"
    try:
        _refuse_others(folder)
        with _locked(folder):
            try:
                _settle(folder)  # what a killed save has left
                prepared.mkdir()
                # the weights first: a config without weights beside it would count as in force
                old = folder / (weights_in_force(folder) or name)  # may have another form
                write_new(prepared / name, old, write)
                config_file = prepared / CONFIG_NAME
                write_new(config_file, folder / CONFIG_NAME, lambda file: file.write_bytes(config))
                sync(prepared)
                written = True
                _bring_into_force(prepared / name, folder)
                _settle(folder)
                _remove_others(folder, name)
            except BaseException:
                moved = written and not os.path.lexists(prepared / name)
                if moved and weights_in_force(folder) == name:
                    state = "The new checkpoint is in force all the same; to tidy up, save again"
                with suppress(OSError):
                    _settle(folder)
                raise
    except OSError as error:
        raise why_not_saved(folder, error, state) from error


def _refuse_others(folder: Path) -> None:
    for name in (*FORMS, CONFIG_NAME):
        refuse_link(folder / name)
        if (folder / name).is_dir():
            text = f"{name!r} is a folder, where a checkpoint has a file; move it away"
            raise IsADirectoryError(errno.EISDIR, text)


def _bring_into_force(weights: Path, folder: Path) -> None:
    weights.replace(folder / weights.name)
    sync(folder)
    for rival in reversed(FORMS[: FORMS.index(weights.name)]):
        (folder / rival).unlink(missing_ok=True)
        sync(folder)


def _settle(folder: Path) -> None:
    """Let a config follow its weights if they are in force; remove all hidden folders."""
    hexadecimal = "[0-9a-f]" * 16
    for name in SINGLE:
        for prepared in folder.glob(f".{name}.{hexadecimal}.tmp"):
            config = prepared / CONFIG_NAME
            if config.exists() and not os.path.lexists(prepared / name):
                if weights_in_force(folder) == name:
                    config.replace(folder / CONFIG_NAME)
                    sync(folder)
                else:  # not all of the others were removed: the old weights are still in force
                    (folder / name).unlink(missing_ok=True)
            config.unlink(missing_ok=True)  # before its weights, for the same reason
            shutil.rmtree(prepared)


def _remove_others(folder: Path, name: str) -> None:
    for path in sorted(folder.iterdir()):
        other = path.name in FORMS and path.name != name
        if (other or SHARD.fullmatch(path.name)) and not path.is_dir():
            path.unlink()
    sync(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    if os.name == "nt":  # there, a folder cannot be opened
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)  # a forked child has this handle too
        os.close(handle)
