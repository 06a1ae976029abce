"""minibert beside transformers and onnxruntime: python tests/benchmarks --help.

Beside another checkout of minibert: python tests/benchmarks versus PATH.

All run the same float32 weights with the same number of threads. A ratio above 1 says that
minibert is faster: the median, over the rounds, of the other's time divided by minibert's.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import (
    forward,
    generation,
    growth,
    memory,
    picture,
    sizes,
    start,
    tokenizer,
    training,
    versus,
)
from bench.machine import cores, describe, head

Options = argparse.Namespace


def show(text: str) -> None:
    """Print it now, after an empty line."""
    print(f"\n{text}", flush=True)


#: A part's name, what measures it and what makes a table of it.
PARTS: dict[str, tuple[Callable[[Options], Any], Callable[[Any], str]]] = {
    "forward": (lambda o: forward.measure(o.threads, o.seconds, o.only, show), forward.render),
    "generation": (
        lambda o: generation.measure(o.threads, o.seconds, o.only, show),
        forward.render,
    ),
    "training": (lambda o: training.measure(o.threads, o.seconds, o.only, show), forward.render),
    "start": (lambda o: start.measure(o.threads, o.repeats), start.render),
    "memory": (lambda o: memory.measure(o.threads), memory.render),
    "size": (lambda o: sizes.measure(), sizes.render),
    "growth": (lambda o: growth.measure(o.threads), growth.render),
    "tokenizer": (lambda o: tokenizer.measure(o.only), tokenizer.render),
}


def options(arguments: list[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python tests/benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}, or all")
    parser.add_argument("--threads", type=int, default=cores(), help="for each engine")
    parser.add_argument(
        "--seconds",
        type=float,
        default=20,
        help="for each workload that is timed in turn",
    )
    parser.add_argument("--repeats", type=int, default=7, help="of every new process")
    parser.add_argument("--only", default="", metavar="TEXT", help="work or texts named with TEXT")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the growth (extra plot)")
    read = parser.parse_args(arguments)
    unknown = [part for part in read.parts if part not in (*PARTS, "all")]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; there is {', '.join(PARTS)}, all")
    read.parts = list(PARTS) if "all" in read.parts else read.parts or ["forward"]
    if read.plot and "growth" not in read.parts:
        parser.error("--plot draws the part growth: ask for it, too")
    return read


def main(arguments: list[str]) -> None:
    """Measure what was asked for, and print it part by part."""
    if arguments[:1] == ["versus"]:
        versus.main(arguments[1:])
        return
    asked = options(arguments)
    measured: dict[str, Any] = {"machine": describe(asked.threads)}
    print(head(measured["machine"]), flush=True)
    for part in asked.parts:
        measure, render = PARTS[part]
        print(f"measuring: {part} ...", file=sys.stderr, flush=True)
        measured[part] = measure(asked)
        show(render(measured[part]))
        if asked.json:  # after each part: they take minutes
            asked.json.write_text(json.dumps(measured, indent=1))
    if asked.plot:
        picture.save(measured["growth"], asked.plot)
