"""Kill saves at moments drawn at random, and read beside a save: what is found is old or new.

    python tests/tools/kill_saves.py --kills 1000 --reads 5000

Two models take turns in one folder, in both forms of file; their configs differ, too, so that
weights beside the other's config are told. It prints what was found, and ends with 1 if anything
was a mixture of the two, or if a reader was refused. tests/support/save_and_kill.py kills at each
operation in turn; here the kernel chooses.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np

from minibert import BertConfig, BertModel, set_num_threads

SIZES = {"vocab_size": 50, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
SIZES |= {"intermediate_size": 40, "max_position_embeddings": 16}
EPS = {"A": 1e-12, "B": 1e-5}
MODELS = {
    name: BertModel(BertConfig(layer_norm_eps=eps, **SIZES), seed)
    for seed, (name, eps) in enumerate(EPS.items())
}
WEIGHTS = {name: model.state_dict() for name, model in MODELS.items()}


def found(folder: Path) -> str:
    """Say which of the two models a reader finds; or that it is a mixture, or what it says."""
    try:
        model = BertModel.from_pretrained(folder)
    except (OSError, ValueError) as error:
        return f"refused: {error}"
    state = model.state_dict()
    for name, weights in WEIGHTS.items():
        same = all(np.array_equal(state[key], weights[key]) for key in weights)
        if same and model.config.layer_norm_eps == EPS[name]:
            return name
    return "a mixture"


def save(folder: Path, name: str, safe: bool) -> None:
    """Save one of the two."""
    MODELS[name].save_pretrained(folder, safe_serialization=safe)


def other(name: str) -> str:
    """Return the one of the two that this is not."""
    return "B" if name == "A" else "A"


def fork(work: Callable[[], None]) -> int:
    """Let a child do the work; return its number."""
    number = os.fork()
    if not number:
        try:
            work()
        finally:
            os._exit(0)
    return number


def kill(child: int) -> bool:
    """Kill a child; tell whether it was still at work."""
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


def kills(folder: Path, times: int, draw: random.Random) -> Counter[str]:
    """Kill so many saves, each at a moment of the time that such a one has just taken."""
    save(folder, "A", True)
    before, length, seen = "A", 0.0, Counter[str]()
    while seen.total() < times:
        if seen.total() % 10 == 0:  # a machine may be busier now than before
            begun = time.perf_counter()
            os.waitpid(fork(partial(save, folder, before, True)), 0)
            length = time.perf_counter() - begun
        new, safe = other(before), draw.random() < 0.5
        child = fork(partial(save, folder, new, safe))
        time.sleep(draw.uniform(0, length))
        was_killed, now = kill(child), found(folder)
        if was_killed:
            seen[{before: "old", new: "new"}.get(now, now)] += 1
        before = now if now in MODELS else before
    return seen


def reads(folder: Path, times: int, draw: random.Random) -> Counter[str]:
    """Read so often while another process saves one of the two after the other."""
    save(folder, "A", True)

    def save_on() -> None:
        for i in count(1):
            save(folder, "AB"[i % 2], draw.random() < 0.5)

    child = fork(save_on)
    try:
        return Counter(found(folder) for _ in range(times))
    finally:
        kill(child)


def main() -> int:
    """Do both, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--reads", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    set_num_threads(1)
    draw, wrong = random.Random(options.seed), 0
    for work, times in ((kills, options.kills), (reads, options.reads)):
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            seen = work(Path(folder), times, draw)
            took = time.perf_counter() - begun
        parts = ", ".join(f"{number} {what}" for what, number in sorted(seen.items()))
        print(f"{work.__name__}: {times} in {took:.0f} s: {parts}", flush=True)
        wrong += sum(number for what, number in seen.items() if what not in ("old", "new", *"AB"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
