"""Peak memory of BERT-base on 8 x 128 tokens, each engine in a process of its own.

Counted are the resident pages of the process, at their most: its own (anonymous) pages and the
pages of files that it maps, weights among them, alike. Linux only (/proc).
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from bench.checkpoints import draw
from bench.onnx_files import make_onnx_files
from bench.programs import IMPORTS, Program, absent, forward_program, installed
from bench.tables import megabytes, table
from bench.workloads import Shape, even

FORWARDS = 3
WEIGHTS = 437_951_328  # bytes of BERT-base in float32, with the pooler

# Not resource.getrusage: its ru_maxrss begins with the size of the process that started this one.
REPORT = """
import json
lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
kept = {"peak": "VmHWM", "anonymous": "RssAnon", "file": "RssFile"}
print(json.dumps({key: 1024 * int(lines[name].split()[0]) for key, name in kept.items()}))
"""


def measure(threads: int) -> dict[str, Any]:
    """Run each engine on one drawn checkpoint; and import each, for what that takes alone."""
    engines = list(installed())
    ids = even(8, 128).inputs()[0].tolist()
    more = f"for _ in range({FORWARDS - 1}): forward(ids)\n{REPORT}"
    with tempfile.TemporaryDirectory() as name:
        folder = draw(Path(name), Shape())
        if "onnxruntime fused" in engines:
            make_onnx_files(folder, folder)
        return {
            engine: {
                "import": _report(Program(f"{IMPORTS[engine]}\n{REPORT}", threads)),
                "forward": _report(forward_program(engine, folder, threads, ids, more)),
            }
            for engine in engines
        }


def _report(program: Program) -> dict[str, int]:
    report: dict[str, int] = json.loads(program.run()[1][-1])
    return report


def render(measured: dict[str, Any]) -> str:
    """Return the table."""
    base = measured["minibert"]["forward"]["peak"]
    rows = [
        (
            f"  {engine}",
            megabytes(found["forward"]["peak"]),
            f"{found['forward']['peak'] / base:.2f}",
            megabytes(found["forward"]["anonymous"]),
            megabytes(found["forward"]["file"]),
            megabytes(found["import"]["peak"]),
        )
        for engine, found in measured.items()
    ]
    header = ("  engine", "peak", "ratio", "at the end: own", "of files", "peak of import alone")
    return (
        f"Resident memory, {FORWARDS} forwards of BERT-base on 8 x 128 "
        f"(weights: {megabytes(WEIGHTS)})\n{table(header, rows)}{absent(measured)}"
    )
