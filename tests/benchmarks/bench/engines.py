"""The engines that are compared: each takes ids and a mask, and returns hidden states in NumPy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.onnx_files import make_onnx_files
from bench.workloads import Integers

Array = NDArray[np.floating[Any]]
Run = Callable[[Integers, Integers], Array]


@dataclass(frozen=True)
class Engine:
    """A name, and a call on ids and mask that returns the last hidden state."""

    name: str
    run: Run


@dataclass(frozen=True)
class Absent:
    """An engine that cannot be opened here, and why."""

    name: str
    why: str


def open_engines(
    folder: Path, threads: int, openers: Mapping[str, Callable[[Path, int], Run]]
) -> tuple[list[Engine], list[Absent]]:
    """Open the same checkpoint in each engine; what is not installed is listed as absent."""
    opened: list[Engine] = []
    absent: list[Absent] = []
    for name, opener in openers.items():
        try:
            opened.append(Engine(name, opener(folder, threads)))
        except ImportError as error:
            absent.append(Absent(name, f"{error}; pip install '.[bench]'"))
    return opened, absent


def open_minibert(folder: Path, threads: int) -> Run:
    """Open the checkpoint in minibert."""
    import minibert

    minibert.set_num_threads(threads)
    model = minibert.BertModel.from_pretrained(folder)
    return lambda ids, mask: model(ids, mask).last_hidden_state


def open_transformers(attention: str) -> Callable[[Path, int], Run]:
    """Return what opens the checkpoint in transformers, with this attention."""

    def opened(folder: Path, threads: int) -> Run:
        import torch
        import transformers

        transformers.utils.logging.disable_progress_bar()
        torch.set_num_threads(threads)
        model = transformers.BertModel.from_pretrained(
            folder, attn_implementation=attention, dtype=torch.float32
        ).eval()

        @torch.inference_mode()
        def run(ids: Integers, mask: Integers) -> Array:
            inputs = torch.from_numpy(ids), torch.from_numpy(mask)
            hidden: Array = model(*inputs).last_hidden_state.numpy()
            return hidden

        return run

    return opened


def open_onnxruntime(file: str) -> Callable[[Path, int], Run]:
    """Return what opens one of the files that onnx_files.py puts into the folder."""

    def opened(folder: Path, threads: int) -> Run:
        import onnxruntime

        if not (folder / file).exists():
            make_onnx_files(folder, folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        # As it comes, its idle threads spin for about a second, in the turns of the others;
        # with this they spin during a run only.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        path = str(folder / file)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

        def run(ids: Integers, mask: Integers) -> Array:
            inputs = {"input_ids": ids, "attention_mask": mask}
            hidden: Array = session.run(["last_hidden_state"], inputs)[0]
            return hidden

        return run

    return opened


ENGINES: dict[str, Callable[[Path, int], Run]] = {
    "minibert": open_minibert,
    "transformers sdpa": open_transformers("sdpa"),
    "transformers eager": open_transformers("eager"),
    "onnxruntime fused": open_onnxruntime("fused.onnx"),
    "onnxruntime plain": open_onnxruntime("plain.onnx"),
}
