"""Small programs, one an engine, each run in a new process: what a user would write."""

import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from bench.onnx_files import NEEDED

IMPORTS = {
    "minibert": "from minibert import BertModel",
    "transformers sdpa": "from transformers import BertModel",
    "onnxruntime fused": "import numpy, onnxruntime",
}

#: Each loads from ``folder`` and defines ``forward(ids)``, ids being a list of lists.
FORWARD = {
    "minibert": """
        model = BertModel.from_pretrained(folder)
        def forward(ids):
            return model(ids).last_hidden_state
        """,
    "transformers sdpa": """
        import torch
        model = BertModel.from_pretrained(folder).eval()
        @torch.inference_mode()
        def forward(ids):
            return model(torch.tensor(ids)).last_hidden_state.numpy()
        """,
    "onnxruntime fused": """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(folder + "/fused.onnx", options)
        def forward(ids):
            ids = numpy.array(ids)
            inputs = {"input_ids": ids, "attention_mask": numpy.ones_like(ids)}
            return session.run(["last_hidden_state"], inputs)[0]
        """,
}

PACKAGES = {
    "minibert": ("minibert",),
    "transformers sdpa": ("transformers", "torch"),
    "onnxruntime fused": NEEDED,
}


@dataclass(frozen=True)
class Program:
    """A text for ``python -c``, and the number of threads that it may use."""

    text: str
    threads: int

    def run(self) -> tuple[float, list[str]]:
        """Return the seconds from the start of the process to its first line, and all lines."""
        command = [sys.executable, "-c", self.text]
        with tempfile.TemporaryFile("w+") as errors:  # a pipe that nobody reads may fill
            start = time.perf_counter()
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, env=self.environment()
            ) as process:
                assert process.stdout is not None
                first = process.stdout.readline()
                seconds = time.perf_counter() - start
                rest = process.stdout.read()
            if process.returncode:
                errors.seek(0)
                raise RuntimeError(f"a program failed:\n{self.text}\n{errors.read()[-2000:]}")
        return seconds, [first.rstrip(), *rest.splitlines()]

    def environment(self) -> dict[str, str]:
        """Return the environment: so many threads, no Hub, and bytecode is written.

        What pip installs has its bytecode already; the first run writes that of a checkout.
        """
        own = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        limits = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        return {**own, **dict.fromkeys(limits, str(self.threads)), "HF_HUB_OFFLINE": "1"}


def forward_program(
    engine: str, folder: Path, threads: int, ids: Sequence[Sequence[int]], then: str = ""
) -> Program:
    """Return what loads a checkpoint, runs once, says so in a line, and goes on."""
    parts = (
        IMPORTS[engine],
        f"folder, threads, ids = {str(folder)!r}, {threads}, {[list(row) for row in ids]}",
        textwrap.dedent(FORWARD[engine]),
        "print(abs(forward(ids)).sum(), flush=True)",
        then,
    )
    return Program("\n".join(parts), threads)


def installed() -> Iterator[str]:
    """Yield the engines whose packages are here."""
    for engine, packages in PACKAGES.items():
        if all(find_spec(package) for package in packages):
            yield engine


def absent(measured: Container[str]) -> str:
    """Return a line for each engine that was not measured, to stand below a table."""
    return "".join(
        f"\nabsent: {engine} (needs {', '.join(packages)}); pip install '.[bench]'"
        for engine, packages in PACKAGES.items()
        if engine not in measured
    )
