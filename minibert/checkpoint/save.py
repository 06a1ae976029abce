"""From arrays to a folder that transformers and this package open."""

import json
import operator
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.checkpoint.files import make_folder, new_file
from minibert.checkpoint.publish import Arrays, publish
from minibert.checkpoint.safetensors import read_safetensors
from minibert.models.config import PretrainedConfig

DTYPES = {"float32": "F32", "float64": "F64"}  # as NumPy and as the safetensors format calls them
UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def save_checkpoint(
    folder: str | os.PathLike[str],
    config: PretrainedConfig,
    tensors: Arrays,
    *,
    safe_serialization: bool = True,
    max_shard_size: int | str = "50GB",
) -> None:
    """Write config.json and model.safetensors into a folder, made if need be; whole or not at all.

    tensors: float32 or float64, by standard name; they may lie in the files that are replaced.
    safe_serialization: False writes pytorch_model.bin instead.
    max_shard_size: in bytes, or as text such as "5GB"; what is larger becomes shards and an index.

    Other weights in the folder are removed: it holds one checkpoint. ValueError or TypeError for
    what cannot be saved; OSError if the folder cannot be written, which says what is there now.
    """
    _check(tensors)
    shards = split(tensors, shard_limit(max_shard_size))
    weights = "model.safetensors" if safe_serialization else "pytorch_model.bin"
    write = _write_safetensors if safe_serialization else _write_torch
    head = weights if len(shards) == 1 else f"{weights}.index.json"
    content = config.to_json_string().encode()
    path = Path(folder)
    missing = [above for above in (path, *path.parents) if not os.path.lexists(above)]
    try:
        make_folder(path)
        publish(path, head, _named(weights, shards), write, content)
    except BaseException:
        for made in missing:
            with suppress(OSError):  # not there, or somebody else uses it
                made.rmdir()
        raise


def shard_limit(size: int | str) -> int:
    """Return a size in bytes; ValueError if it is none."""
    limit = 0
    if isinstance(size, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]I?B)\s*", size.upper(), re.ASCII)
        limit = int(float(found[1]) * UNITS[found[2]]) if found else 0
    elif not isinstance(size, bool):
        with suppress(TypeError):
            limit = operator.index(size)
    if limit < 1:
        raise ValueError(
            f"max_shard_size is {size!r:.80}; allowed: a whole number of bytes above 0, or text "
            "such as '200MB', '5GB' or '1GiB'"
        )
    return limit


def _check(tensors: Arrays) -> None:
    for name, array in tensors.items():
        if not isinstance(array, np.ndarray) or array.dtype.name not in DTYPES:
            found = getattr(array, "dtype", type(array).__name__)
            raise TypeError(f"tensor {name!r:.80} is {found}; can be saved: {', '.join(DTYPES)}")
        try:
            possible = name not in ("", "__metadata__") and bool(name.encode())
        except UnicodeEncodeError:  # half of a pair of surrogates
            possible = False
        if not possible:
            raise ValueError(f"a tensor cannot be saved under the name {name!r:.80}")


def split(tensors: Arrays, limit: int) -> list[dict[str, NDArray[Any]]]:
    """Fill one shard after the other, as transformers does; what is too large has its own."""
    shards: list[dict[str, NDArray[Any]]] = []
    current: dict[str, NDArray[Any]] = {}
    size = 0
    for name, array in tensors.items():
        if array.nbytes > limit:
            shards.append({name: array})
            continue
        if size + array.nbytes > limit:
            shards.append(current)
            current, size = {}, 0
        current[name] = array
        size += array.nbytes
    return [*shards, current] if current or not shards else shards


def _named(weights: str, shards: list[dict[str, NDArray[Any]]]) -> dict[str, Arrays]:
    """Return what is in each file, by the names that transformers gives to files."""
    stem, suffix = weights.split(".")
    count = len(shards)
    if count == 1:
        return {weights: shards[0]}
    return {f"{stem}-{i:05}-of-{count:05}.{suffix}": part for i, part in enumerate(shards, 1)}


def _write_safetensors(path: Path, tensors: Arrays) -> None:
    with new_file(path) as file:
        for block in safetensors_blocks(tensors):
            file.write(block)
    read_safetensors(path)  # reads the header only, and has the library check it


def _write_torch(path: Path, tensors: Arrays) -> None:
    from minibert.checkpoint.torchfile import read_torch  # few need it, and all would wait
    from minibert.checkpoint.torchwriter import torch_blocks

    with new_file(path) as file:
        for block in torch_blocks(tensors):
            file.write(block)
    read_torch(path)


def safetensors_blocks(tensors: Arrays) -> Iterator[bytes | memoryview]:
    """Yield a safetensors file piece by piece, in the library's order: wide dtypes, then by name.

    The library itself writes an array as it lies in memory: garbage, if that is not C order.
    """
    names = sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # transformers asks for it
    end = 0
    for name in names:
        array = tensors[name]
        begin, end = end, end + array.nbytes
        kind = {"dtype": DTYPES[array.dtype.name], "shape": array.shape}
        header[name] = kind | {"data_offsets": (begin, end)}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in names:
        yield raw(tensors[name])


def raw(array: NDArray[Any]) -> memoryview:
    """Return an array's bytes, little-endian and in C order; a view if they lie so already."""
    plain = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
    return plain.reshape(-1).view(np.uint8).data
