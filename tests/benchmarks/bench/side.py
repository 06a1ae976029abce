"""One checkout's side of a comparison: it answers what versus.py asks, in lines of JSON.

Of minibert it uses what every checkout has: BertConfig, BertModel and set_num_threads.
"""

import json
import sys
import time
from typing import Any

import numpy as np

import minibert
from bench.machine import blas
from bench.workloads import Workload


def main(threads: int, config: dict[str, Any]) -> None:
    """Draw a model, say where minibert is from, and answer until there are no more questions."""
    minibert.set_num_threads(threads)
    model = minibert.BertModel(minibert.BertConfig(**config), seed=0)
    say({"file": minibert.__file__, "version": minibert.__version__, "blas": blas()})
    for line in sys.stdin:
        question = json.loads(line)
        ids, mask = Workload("", tuple(question["lengths"])).inputs(config["vocab_size"])
        start = time.perf_counter()
        for _ in range(question["repeat"]):
            hidden = model(ids, mask).last_hidden_state
        seconds = time.perf_counter() - start
        if question["save"]:
            np.save(question["save"], hidden[mask == 1])
        say({"seconds": seconds, "cpu": time.process_time()})


def say(answer: dict[str, Any]) -> None:
    """Write an answer, and let it go at once."""
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
