"""Grade a class at once: so many notebooks, each a Python of its own that calls minibert.grade.

    python tests/tools/grade_class.py --notebooks 40

It prints how long it takes, how many functions ran at the same time and in how many threads, and
ends with 1 if a notebook hangs or gets another result than alone, or if more functions run at once
than there are cores. Linux alone: the threads are counted in /proc.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from minibert.runtime.cores import cores

LIMIT = 3.0  # seconds that a function may take
#: What a notebook holds, and how its result begins.
STUDENTS = {
    "right": ("def f(x): return 0.5 * x * (1 + erf(x / 2**0.5))", "gelu: right"),
    "wrong": ("def f(x): return np.maximum(x, 0)", "gelu: wrong, 0 of 1"),
    "slow": ("def f(x): time.sleep(0.02); return 0.5 * x * (1 + erf(x / 2**0.5))", "gelu: right"),
    "busy": ("def f(x):\\n    y = np.ones((500, 500)); y @ y; return x", "gelu: wrong, 0 of 1"),
    "endless": ("def f(x):\\n    while True: pass", "gelu: wrong, 0 of 1"),
    "loud": ("def f(x): print('x' * 10000); return x", "gelu: wrong, 0 of 1"),
    "exits": ("def f(x): raise SystemExit", "gelu: wrong, 0 of 1"),
    "starts": (
        "def f(x):\\n    [threading.Thread(target=time.sleep, args=(1,)).start() for _ in range(3)]"
        "\\n    return x",
        "gelu: wrong, 0 of 1",
    ),
}
NOTEBOOK = """
import sys, threading, time
import numpy as np
import minibert
from minibert.functions import erf
exec(sys.argv[1].replace("\\\\n", chr(10)))
print("\\n" + repr(minibert.grade(gelu=f, time_limit=float(sys.argv[2]))))
"""


def children(parents: Iterable[int]) -> list[int]:
    """Return the processes that these have begun."""
    wanted, found = {*parents}, []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended just now
            continue
        if fields[0] != "Z" and int(fields[1]) in wanted:
            found.append(int(path.parent.name))
    return found


def threads(processes: Iterable[int]) -> int:
    """Return how many threads these have."""
    count = 0
    for number in processes:
        try:
            count += len([*Path(f"/proc/{number}/task").iterdir()])
        except OSError:
            continue
    return count


def main() -> int:
    """Begin all notebooks, watch them, and hold their results against what they must be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--notebooks", type=int, default=40)
    count = parser.parse_args().notebooks
    kinds = [[*STUDENTS][i % len(STUDENTS)] for i in range(count)]
    command = [sys.executable, "-c", NOTEBOOK]
    begun, busy, widest, in_all = time.monotonic(), 0, 0, 0
    running = [
        subprocess.Popen([*command, STUDENTS[kind][0], str(LIMIT)], stdout=subprocess.PIPE)
        for kind in kinds
    ]
    deadline = begun + 20 * LIMIT + count
    try:
        while any(one.poll() is None for one in running) and time.monotonic() < deadline:
            notebooks = [one.pid for one in running if one.poll() is None]
            graded = children(notebooks)
            busy, widest = max(busy, len(graded)), max(widest, threads(graded))
            in_all = max(in_all, threads([*notebooks, *graded]))
            time.sleep(0.01)
        hung = [kind for kind, one in zip(kinds, running, strict=True) if one.poll() is None]
    finally:
        for one in running:
            one.kill()
    results = [one.communicate()[0].decode().splitlines()[-1:] for one in running]
    pairs = zip(kinds, results, strict=True)
    wrong = [f"{kind}: {said}" for kind, said in pairs if not _fits(said, STUDENTS[kind][1])]
    print(
        f"{count} notebooks in {time.monotonic() - begun:.0f} s on {cores()} cores; at once "
        f"{busy} functions in {widest} threads, {in_all} with the notebooks'; "
        f"{len(hung)} hang, {len(wrong)} differ"
    )
    print(*hung, *wrong, sep="\n", end="")
    return 1 if hung or wrong or busy > cores() else 0


def _fits(said: list[str], expected: str) -> bool:
    return bool(said) and said[0].startswith(expected)


if __name__ == "__main__":
    sys.exit(main())
