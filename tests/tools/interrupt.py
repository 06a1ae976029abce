"""Interrupt a model at moments drawn at random, so often: what hangs, or fails afterwards?

    python tests/tools/interrupt.py --times 500

Ctrl-C during imports and first uses, Ctrl-C in a threaded pass, a handler of a signal that runs a
model during a pass, and passes as the interpreter exits. It prints a line for each, and ends with 1
if anything hung or did not work any more. tests/runtime/test_threads.py does a few of each.
"""

import argparse
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "support"))

from interruptions import EXIT, FIRST_USE, INTERRUPTED

PATIENCE = 60  # seconds
PASSES = 100  # of a program


def outcome(program: str, delay: float | None = None) -> tuple[str, float]:
    """Run a program, interrupted after so many seconds; return its last line, and how long it took.

    In place of the line: that it hung, or the last line of its errors.
    """
    begun = time.monotonic()
    command = [sys.executable, "-c", program]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as run:
        if delay is not None:
            assert run.stdout
            run.stdout.readline()
            begun = time.monotonic()
            time.sleep(delay)
            run.send_signal(signal.SIGINT)
        try:
            out, errors = run.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            run.kill()
            return "hung", time.monotonic() - begun
    lines = (errors if run.returncode else out).strip().splitlines() or [f"{run.returncode}"]
    return lines[-1], time.monotonic() - begun


def imports(times: int, draw: random.Random) -> Counter[str]:
    """Ctrl-C while modules are imported, a model is opened, verified, swapped and graded."""
    length = outcome(FIRST_USE)[1] / 2  # it does all twice
    return Counter(outcome(FIRST_USE, draw.uniform(0, length))[0] for _ in range(times))


def passes(times: int, draw: random.Random, handler: str) -> Counter[str]:
    """Signals during passes in several threads."""
    found = Counter[str]()
    for _ in range(0, times, PASSES):
        how = {"handler": handler, "times": PASSES, "seed": draw.randrange(10**6)}
        found[outcome(INTERRUPTED.format(**how))[0]] += PASSES
    return found


def exits(times: int, draw: random.Random) -> Counter[str]:
    """Passes as the interpreter exits, three in each process."""
    found = Counter[str]()
    for _ in range(times):
        program = EXIT.format(before=draw.random() < 0.5)
        found[outcome(program)[0].partition(" ")[2]] += 1
    return found


def main() -> int:
    """Do all of it, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    times, draw = options.times, random.Random(options.seed)
    ran = {
        "Ctrl-C in a pass": (passes(times, draw, "raise KeyboardInterrupt"), {"True True"}),
        "a handler that runs a model": (passes(times, draw, "model(all_ids[:2])"), {"False True"}),
        "Ctrl-C in first uses": (imports(times, draw), {"in time", "interrupted"}),
        "a pass at exit": (exits(times, draw), {"(64, 20, 96) True"}),
    }
    for what, (found, _) in ran.items():
        print(f"{what}, {times} times:", ", ".join(f"{n} {said}" for said, n in found.items()))
    return 1 if any({*found} - right for found, right in ran.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
