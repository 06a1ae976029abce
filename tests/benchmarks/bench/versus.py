"""Two checkouts of minibert, in turn: python tests/benchmarks versus PATH.

BERT-base's shape with the same drawn weights, one process each with the same number of threads.
A ratio above 1 says that this checkout is faster than the one at PATH: the median, over the rounds,
of the other's time divided by this one's. Rounds in which other processes took more than a
little of the cores are replaced by further ones, as long as there is time (Linux only).
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from bench.checkpoints import config_fields
from bench.machine import cores, describe, head
from bench.programs import Program
from bench.tables import duration, table
from bench.turns import PAUSE, ratio, turn_order
from bench.workloads import FORWARD, Shape, Workload

HERE = Path(__file__).parents[3]  # this checkout
QUIET = 0.15  # cores that others may take during a round
LEAST = 0.3  # seconds that are timed at once, in as many runs as that takes


class Side:
    """A checkout's process, which holds its model. For a with statement."""

    def __init__(self, name: str, checkout: Path, threads: int, config: dict[str, Any]) -> None:
        self.name = name
        paths = [str(checkout), str(Path(__file__).parents[1])]
        environment = {
            **Program("", threads).environment(),
            "PYTHONPATH": os.pathsep.join(paths),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.side", str(threads), json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=checkout,  # Python looks there first
        )
        self.checkout = checkout

    def __enter__(self) -> "Side":
        try:
            self.about = self._answer()
            if not Path(self.about["file"]).is_relative_to(self.checkout):
                raise RuntimeError(f"{self.checkout} did not run, but {self.about['file']}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.process.communicate()  # it ends when there are no more questions

    def run(self, workload: Workload, repeat: int = 1, save: Path | None = None) -> float:
        """Return the seconds of a run, the mean of as many as repeat says."""
        seconds: float = self._ask(workload, repeat, save)["seconds"]
        return seconds / repeat

    def cpu(self, workload: Workload) -> float:
        """Return the seconds of cores that the process has taken so far."""
        seconds: float = self._ask(workload, 0, None)["cpu"]
        return seconds

    def _ask(self, workload: Workload, repeat: int, save: Path | None) -> dict[str, Any]:
        question = {"lengths": workload.lengths, "repeat": repeat, "save": save and str(save)}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of the {self.name} checkout ended; see above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def compare(
    sides: Sequence[Side], workload: Workload, rounds: int, seconds: float
) -> dict[str, Any]:
    """Run a workload on both sides until there are enough quiet rounds, or the time is over."""
    difference = largest_difference(sides, workload)
    repeat = math.ceil(LEAST / min(side.run(workload) for side in sides))
    found: list[tuple[float, list[float]]] = []
    end = time.perf_counter() + seconds
    while len(quiet(found)) < rounds and (len(found) < rounds or time.perf_counter() < end):
        found.append(one_round(sides, workload, repeat, len(found)))
    kept = sorted(found)[:rounds]
    here, other = zip(*(times for _, times in kept), strict=True)
    return {
        "name": workload.name,
        "median": [statistics.median(here), statistics.median(other)],
        "ratio": ratio(other, here),
        "ratio of the least": min(other) / min(here),
        "largest_difference": difference,
        "rounds": {"quiet": len(quiet(kept)), "kept": len(kept), "all": len(found)},
        "seconds": [here, other],
    }


def quiet(rounds: Sequence[tuple[float, list[float]]]) -> list[tuple[float, list[float]]]:
    """Return the rounds in which others took little of the cores."""
    return [one for one in rounds if one[0] < QUIET]


def largest_difference(sides: Sequence[Side], workload: Workload) -> float:
    """Return how far the hidden states of real tokens are apart."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{side.name}.npy" for side in sides]
        for side, file in zip(sides, files, strict=True):
            side.run(workload, save=file)
        first, second = map(np.load, files)
        return float(np.abs(first - second).max())


def one_round(
    sides: Sequence[Side], workload: Workload, repeat: int, number: int
) -> tuple[float, list[float]]:
    """Return how many cores others took, and what each side took, the second time.

    The threads of the side before fall asleep first; a first run wakes a side's own threads.
    """
    before, busy, start = own_seconds(sides, workload), busy_seconds(), time.perf_counter()
    times = [0.0] * len(sides)
    for place in turn_order(len(sides), number):
        time.sleep(PAUSE)
        sides[place].run(workload)
        times[place] = sides[place].run(workload, repeat)
    passed = time.perf_counter() - start
    others = busy_seconds() - busy - (own_seconds(sides, workload) - before)
    return others / passed, times


def own_seconds(sides: Sequence[Side], workload: Workload) -> float:
    """Return the seconds of cores that this process and the sides have taken."""
    return time.process_time() + sum(side.cpu(workload) for side in sides)


def busy_seconds() -> float:
    """Return the seconds of cores that all processes have taken; 0 where that is not known."""
    file = Path("/proc/stat")
    if not file.exists():
        return 0.0
    user, nice, system, _, _, *others = map(int, file.read_text().splitlines()[0].split()[1:8])
    ticks = user + nice + system + sum(others)
    return float(ticks / os.sysconf("SC_CLK_TCK"))


def render(measured: Sequence[dict[str, Any]]) -> str:
    """Return the table."""
    header = ("  work", "this", "other", "ratio", "of the least", "difference", "quiet rounds")
    return table(header, [_row(one) for one in measured])


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    rounds = one["rounds"]
    noise = "" if rounds["quiet"] == rounds["kept"] else ": NOISY"
    return (
        f"  {one['name']}",
        *map(duration, one["median"]),
        f"{one['ratio']:.3f}",
        f"{one['ratio of the least']:.3f}",
        f"{one['largest_difference']:.1e}" if one["largest_difference"] else "-",
        f"{rounds['quiet']} of {rounds['all']}{noise}",
    )


def main(arguments: list[str]) -> None:
    """Measure and print, work by work."""
    asked = options(arguments)
    config = config_fields(Shape())
    machine = describe(asked.threads)
    print(head(machine), flush=True)
    with ExitStack() as stack:
        sides = [
            stack.enter_context(Side(name, path, asked.threads, config))
            for name, path in (("this", HERE), ("other", asked.path))
        ]
        for side in sides:
            print(f"{side.name}: {side.about['file']}, BLAS {side.about['blas']}", flush=True)
        measured = []
        for workload in FORWARD:
            if asked.only in workload.name:
                print(f"measuring: {workload.name} ...", file=sys.stderr, flush=True)
                measured.append(compare(sides, workload, asked.rounds, asked.seconds))
    print(f"\n{render(measured)}")
    if asked.json:
        asked.json.write_text(json.dumps({"machine": machine, "versus": measured}, indent=1))


def options(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python tests/benchmarks versus",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", type=Path, help="another checkout of minibert")
    parser.add_argument("--threads", type=int, default=cores(), help="for each side")
    parser.add_argument("--rounds", type=int, default=7, help="quiet ones, for each workload")
    parser.add_argument("--seconds", type=float, default=90, help="for each workload, about")
    parser.add_argument("--only", default="", metavar="TEXT", help="workloads named with TEXT")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured")
    read = parser.parse_args(arguments)
    read.path = read.path.resolve()
    if not (read.path / "minibert" / "__init__.py").exists():
        parser.error(f"{read.path} is no checkout of minibert: it holds no minibert/__init__.py")
    return read
