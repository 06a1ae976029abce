"""Small checkpoints in every form, made without torch and byte by byte where need be."""

import io
import json
import pickle
import signal
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minibert.checkpoint.pickles import STORAGES, Global, Storage, View

SIZES = {
    "vocab_size": 23,
    "hidden_size": 15,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 29,
    "max_position_embeddings": 19,
    "type_vocab_size": 7,
}
MAGIC = 0x1950A86A20F9469CFC6C
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4}}


class TorchPickler(pickle._Pickler):
    """Writes the notes of our reader as torch.save writes the tensors that they stand for."""

    def save(self, value: Any, save_persistent_id: bool = True) -> None:
        match value:
            case Global(module, name):
                self.write(f"c{module}\n{name}\n".encode())
            case View(storage, offset, shape, strides):
                self.save(Global("torch._utils", "_rebuild_tensor_v2"))
                self.save((storage, offset, shape, strides, False, {}))
                self.write(b"R")
            case Storage(dtype, key, size):
                kind = next(kind for kind, of in STORAGES.items() if of == dtype)
                self.save(("storage", kind, key, "cpu", size))
                self.write(b"Q")
            case _:
                super().save(value, save_persistent_id)


def torch_pickle(value: Any) -> bytes:
    """Return a pickle in which a View is a tensor, a Global a name."""
    stream = io.BytesIO()
    TorchPickler(stream, 2).dump(value)
    return stream.getvalue()


def torch_zip(program: bytes, storages: dict[str, bytes], **more: bytes) -> bytes:
    """Return a zip file as torch.save has written it since 1.6."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        for key, content in storages.items():
            archive.writestr(f"archive/data/{key}", content)
        for name, content in more.items():
            archive.writestr(f"archive/{name}", content)
    return stream.getvalue()


def torch_legacy(program: bytes, storages: dict[str, tuple[int, bytes]], **changes: Any) -> bytes:
    """Return a file as torch.save wrote it before 1.6; a storage is its size and its bytes."""
    parts = {"magic": MAGIC, "protocol": 1001, "system": SYSTEM} | changes
    keys = changes.get("keys", list(storages))
    numbers = [size.to_bytes(8, "little") + content for size, content in storages.values()]
    preamble = [torch_pickle(parts[name]) for name in ("magic", "protocol", "system")]
    return b"".join([*preamble, program, torch_pickle(keys), *numbers])


def safetensors_bytes(header: dict[str, Any] | bytes, data: bytes = b"") -> bytes:
    """Return a safetensors file with this header, right or wrong."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def whole_views(arrays: dict[str, np.ndarray]) -> tuple[dict[str, View], dict[str, bytes]]:
    """Return a state dict of float32 tensors, each with a storage of its own."""
    views, storages = {}, {}
    for number, (name, array) in enumerate(arrays.items()):
        storage = Storage("F32", str(number), array.size)
        strides = tuple(stride // 4 for stride in array.strides)
        views[name] = View(storage, 0, array.shape, strides)
        storages[str(number)] = array.tobytes()
    return views, storages


def write_zip(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write float32 arrays in the zip form."""
    views, storages = whole_views(arrays)
    path.write_bytes(torch_zip(torch_pickle(views), storages))


def write_legacy(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write float32 arrays in the legacy form."""
    views, storages = whole_views(arrays)
    sized = {key: (len(content) // 4, content) for key, content in storages.items()}
    path.write_bytes(torch_legacy(torch_pickle(views), sized))


def write_safetensors(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write float32 arrays as safetensors."""
    header, data = {}, b""
    for name, array in arrays.items():
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": offsets}
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(safetensors_bytes(text + b" " * (-len(text) % 8), data))


WRITERS = {
    "safetensors": ("model.safetensors", write_safetensors),
    "zip": ("pytorch_model.bin", write_zip),
    "legacy": ("pytorch_model.bin", write_legacy),
}


def write_weights(folder: Path, form: str, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays in one of WRITERS' forms; in two shards if the form ends with -sharded."""
    name, write = WRITERS[form.removesuffix("-sharded")]
    if not form.endswith("-sharded"):
        write(folder / name, arrays)
        return
    stem, suffix = name.split(".")
    weight_map = {}
    for i in (1, 2):
        shard = f"{stem}-{i:05}-of-00002.{suffix}"
        part = {key: arrays[key] for key in list(arrays)[i - 1 :: 2]}
        write(folder / shard, part)
        weight_map |= dict.fromkeys(part, shard)
    (folder / f"{name}.index.json").write_text(json.dumps({"weight_map": weight_map}))


@contextmanager
def deadline(seconds: int = 5) -> Iterator[None]:
    """Fail what takes longer. pytest's failure is no Exception: no test takes it for its own."""

    def ring(*_: Any) -> None:
        pytest.fail(f"it took more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def bert_names() -> dict[str, tuple[int, ...]]:
    """Return the standard names and shapes of a tiny BERT, typed out from its paper's sizes."""
    c, f = SIZES["hidden_size"], SIZES["intermediate_size"]
    tables = {"word": "vocab_size", "position": "max_position_embeddings"}
    tables["token_type"] = "type_vocab_size"
    names: dict[str, tuple[int, ...]] = {
        f"embeddings.{table}_embeddings.weight": (SIZES[size], c) for table, size in tables.items()
    }
    norms = {"embeddings.LayerNorm": (c,)}
    linears: dict[str, tuple[int, int]] = {}
    for i in range(SIZES["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        linears |= {f"{layer}.attention.self.{part}": (c, c) for part in ("query", "key", "value")}
        linears[f"{layer}.attention.output.dense"] = (c, c)
        linears[f"{layer}.intermediate.dense"] = (f, c)
        linears[f"{layer}.output.dense"] = (c, f)
        norms |= {f"{layer}.attention.output.LayerNorm": (c,), f"{layer}.output.LayerNorm": (c,)}
    linears["pooler.dense"] = (c, c)
    names |= {f"{name}.weight": shape for name, shape in (linears | norms).items()}
    return names | {f"{name}.bias": shape[:1] for name, shape in (linears | norms).items()}


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """Random float32 weights of a tiny BERT by standard name."""
    random = np.random.default_rng(0)
    return {
        name: random.normal(0, 0.3, shape).astype(np.float32)
        for name, shape in bert_names().items()
    }


@pytest.fixture
def write_one(tmp_path: Path) -> Callable[..., Path]:
    """Return what writes a safetensors file with the single tensor 'w', whole and aligned."""

    def write_one(dtype: str, shape: tuple[int, ...], data: bytes) -> Path:
        entry = {"dtype": dtype, "shape": list(shape), "data_offsets": [0, len(data)]}
        header = json.dumps({"w": entry}).encode()
        path = tmp_path / "model.safetensors"
        path.write_bytes(safetensors_bytes(header + b" " * (-len(header) % 8), data))
        return path

    return write_one


@pytest.fixture
def make() -> SimpleNamespace:
    """What builds files and texts, for tests cannot import this module."""
    return SimpleNamespace(
        deadline=deadline,
        sizes=SIZES,
        torch_pickle=torch_pickle,
        torch_zip=torch_zip,
        torch_legacy=torch_legacy,
        safetensors_bytes=safetensors_bytes,
        write_weights=write_weights,
    )
