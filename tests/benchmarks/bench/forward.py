"""Forward passes of BERT-base's shape, in every engine, in turn."""

import json
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.checkpoints import draw
from bench.engines import ENGINES, Engine, open_engines
from bench.machine import MATMUL, MATMUL_FLOPS, matmul
from bench.tables import duration, table
from bench.turns import in_turn, ratio
from bench.workloads import FORWARD, Shape, Workload, useful_flops


def measure(threads: int, seconds: float, only: str, show: Callable[[str], None]) -> dict[str, Any]:
    """Open all engines on one drawn checkpoint, and run the workloads whose names contain a text.

    The first engine, minibert, is what the others are compared with. Each table is shown at once.
    """
    shape = Shape()
    with tempfile.TemporaryDirectory() as name:
        folder = draw(Path(name), shape)
        opened, absent = open_engines(folder, threads, ENGINES)
        nodes = folder / "nodes.json"
        workloads = []
        for workload in FORWARD:
            if only in workload.name:
                workloads.append(compare(workload, shape, opened, seconds))
                show(render_workload(workloads[-1]))  # now: all of them take minutes
        return {
            "absent": {engine.name: engine.why for engine in absent},
            "onnx_nodes": json.loads(nodes.read_text()) if nodes.exists() else None,
            "workloads": workloads,
        }


def compare(
    workload: Workload, shape: Shape, engines: Sequence[Engine], seconds: float
) -> dict[str, Any]:
    """Run one workload in all engines."""
    ids, mask = workload.inputs(shape.vocabulary)
    hidden = {engine.name: engine.run(ids, mask)[mask == 1] for engine in engines}
    calls = {engine.name: partial(engine.run, ids, mask) for engine in engines}
    times = in_turn({**calls, MATMUL: matmul()}, seconds)
    rate = MATMUL_FLOPS / statistics.median(times.pop(MATMUL))
    flops = useful_flops(shape, workload.lengths)
    first = engines[0].name
    return {
        "name": workload.name,
        "lengths": workload.lengths,
        "useful_flops": flops,
        "matmul_flops_per_second": rate,
        "engines": {
            name: {
                "median": statistics.median(taken),
                "minimum": min(taken),
                "ratio": ratio(taken, times[first]),
                "largest_difference": float(np.abs(hidden[name] - hidden[first]).max()),
                "share_of_matmul_rate": flops / statistics.median(taken) / rate,
                "seconds": taken,
            }
            for name, taken in times.items()
        },
    }


def render(measured: dict[str, Any]) -> str:
    """Return what is left to say after the tables: which engines are absent."""
    lines = [f"absent: {name} ({why})" for name, why in measured["absent"].items()]
    return "\n".join(lines or ["ratio above 1: minibert is faster"])


def render_workload(workload: dict[str, Any]) -> str:
    """Return one workload's table."""
    engines = workload["engines"]
    rows = [
        (
            f"  {name}",
            duration(found["median"]),
            duration(found["minimum"]),
            f"{found['ratio']:.2f}",
            f"{found['largest_difference']:.1e}" if found["largest_difference"] else "-",
            f"{found['share_of_matmul_rate']:.0%}",
        )
        for name, found in engines.items()
    ]
    rounds = len(next(iter(engines.values()))["seconds"])
    header = ("  engine", "median", "least", "ratio", "difference", "of matmul")
    return (
        f"{workload['name']}: {workload['useful_flops'] / 1e9:.1f} GFLOP of use, {rounds} rounds, "
        f"{MATMUL} {workload['matmul_flops_per_second'] / 1e9:.0f} GFLOP/s\n{table(header, rows)}"
    )
