"""Where it ran: processor, threads, versions, and the rate of NumPy's matrix product."""

import os
import platform
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

DISTRIBUTIONS = ("minibert-numpy", "numpy", "torch", "transformers", "onnxruntime", "onnx")
VARIABLES = ("OPENBLAS_", "OMP_", "GOMP_", "MKL_")

KERNEL_CHOICES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")

MATMUL = "NumPy matmul"
MATMUL_FLOPS = 2 * 1024 * 768 * 3072


def matmul() -> Callable[[], object]:
    """Return a call of the product that the rate is measured by: BERT-base's widest."""
    random = np.random.default_rng(0)
    left = random.standard_normal((1024, 768), np.float32)
    right = random.standard_normal((768, 3072), np.float32)
    return lambda: left @ right


def describe(threads: int) -> dict[str, Any]:
    """Return all that the numbers depend on."""
    return {
        "cpu": cpu_name(),
        "cores": cores(),
        "threads": threads,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in DISTRIBUTIONS},
        "blas": blas(),
        "environment": {k: v for k, v in sorted(os.environ.items()) if k.startswith(VARIABLES)},
    }


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_name() -> str:
    """Return the name that the processor gives itself."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def version(name: str) -> str | None:
    """Return the version of a distribution, None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def blas() -> str:
    """Return which BLAS NumPy uses, and which of its kernels."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "unknown (pip install threadpoolctl)"
    found = [
        f"{library['internal_api']} {library['version']}, {library.get('architecture')} kernel"
        for library in threadpool_info()
        if library["user_api"] == "blas" and "numpy" in library["filepath"]
    ]
    return "; ".join(found) or "unknown (not known to threadpoolctl)"


def head(machine: dict[str, Any]) -> str:
    """Return it as the lines above a table."""
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items() if v)
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads each",
        f"Python {machine['python']}, {versions}",
        f"NumPy's BLAS: {machine['blas']}",
    ]
    if machine["environment"]:
        lines.append("set: " + " ".join(f"{k}={v}" for k, v in machine["environment"].items()))
    if machine["load"] and machine["load"] > 0.5:
        lines.append(f"Other work runs here (load {machine['load']:.1f}): expect noise")
    return "\n".join(lines)


def with_the_kernel_of_this_processor() -> None:
    """Start this program anew without the variables that choose OpenBLAS's kernel, if any is set.

    Everybody else's NumPy runs with the kernel that OpenBLAS finds fit for the processor.
    """
    chosen = {name: os.environ.pop(name) for name in KERNEL_CHOICES if name in os.environ}
    if chosen:  # OpenBLAS has read them already
        print("unset: " + " ".join(f"{k}={v}" for k, v in chosen.items()), flush=True)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def put_first(folder: Path) -> None:
    """Let this process and those that it starts import from a folder before all else."""
    sys.path.insert(0, str(folder))
    others = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *([others] if others else [])])
