"""Steps of training, minibert beside transformers, in turn: forward, backward and AdamW.

Both learn the same labels of the same batches from the same weights, without dropout, each with as
many threads. The peak memory is that of a process of each engine's own (Linux only).
"""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import minibert
from bench.engines import Engine, open_engines
from bench.memory import REPORT
from bench.programs import Program
from bench.tables import duration, megabytes, table
from bench.turns import in_turn, ratio
from bench.workloads import Integers, Workload, even, spread

RATE = 1e-5
STEPS = 3  # of a process whose memory is measured
IGNORED = -100
Step = Callable[[], float]  # of a batch: the loss


@dataclass(frozen=True)
class Lesson:
    """A batch, and the model that learns from it."""

    work: Workload
    model: str = "BertForSequenceClassification"
    config: Mapping[str, Any] = field(default_factory=dict)  # besides that of BERT-base
    labelled: float | None = None  # the share of tokens with a label; None: each sequence has one

    def batch(self) -> dict[str, Integers]:
        """Return the arguments of a call, by name."""
        ids, mask = self.work.inputs(self.config.get("vocab_size", 30522))
        random, labels = np.random.default_rng(1), np.arange(len(ids)) % 2
        if self.labelled is not None:
            chosen = (random.random(ids.shape) < self.labelled) & (mask > 0)
            labels = np.where(chosen, ids, IGNORED)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}


EMBEDDED = {
    "vocab_size": 1200,
    "hidden_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 384,
}
LESSONS = (
    Lesson(even(8, 128)),
    Lesson(Workload("32 sentences of 5 to 53, padded", spread(32, 5, 53, seed=1))),
    Lesson(
        Workload("32 x 96 wide, 4 layers", spread(32, 5, 53, seed=2)),
        "BertForMaskedLM",
        EMBEDDED,
        labelled=0.15,
    ),
)


def open_minibert(lesson: Lesson, folder: Path, threads: int) -> Step:
    """Return a step of minibert."""
    from minibert.training.learning import learn
    from minibert.training.optimizers import AdamW
    from minibert.training.weights import trainable

    minibert.set_num_threads(threads)
    model, weights = trainable(getattr(minibert, lesson.model).from_pretrained(folder))
    optimizer, given = AdamW(RATE), lesson.batch()

    def step() -> float:
        loss, found = learn(model, model.batch(**given))
        optimizer.step(weights, found)
        return loss

    return step


def open_transformers(lesson: Lesson, folder: Path, threads: int) -> Step:
    """Return a step of transformers, with attention and AdamW as they come."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(threads)
    model = getattr(transformers, lesson.model).from_pretrained(folder, dtype=torch.float32).eval()
    optimizer = torch.optim.AdamW(model.parameters(), RATE)
    given = {name: torch.from_numpy(x) for name, x in lesson.batch().items()}

    def step() -> float:
        optimizer.zero_grad()
        loss = model(**given).loss
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


OPENERS = {"minibert": open_minibert, "transformers": open_transformers}


def measure(threads: int, seconds: float, only: str, show: Callable[[str], None]) -> dict[str, Any]:
    """Run the lessons whose names contain a text; each table is shown at once."""
    measured: dict[str, Any] = {"absent": {}, "works": []}
    for i, lesson in enumerate(LESSONS):
        if only not in lesson.work.name:
            continue
        with tempfile.TemporaryDirectory() as name:
            folder = draw(lesson, Path(name))
            openers: Any = {n: partial(opener, lesson) for n, opener in OPENERS.items()}
            engines, absent = open_engines(folder, threads, openers)
            measured["absent"] |= {engine.name: engine.why for engine in absent}
            found = compare(lesson, engines, seconds)
            del engines  # and their memory
            for name in found["engines"]:
                found["engines"][name]["peak"] = peak(name, i, folder, threads)
        measured["works"].append(found)
        show(render_work(found))
    return measured


def draw(lesson: Lesson, folder: Path) -> Path:
    """Save a drawn checkpoint of a lesson's model."""
    config = minibert.BertConfig(num_labels=2, **lesson.config)
    getattr(minibert, lesson.model)(config, seed=0).save_pretrained(folder)
    return folder


def compare(lesson: Lesson, engines: Sequence[Engine], seconds: float) -> dict[str, Any]:
    """Take steps in all engines; the first is what the others are compared with."""
    calls: dict[str, Any] = {engine.name: engine.run for engine in engines}
    losses = {name: call() for name, call in calls.items()}
    times = in_turn(calls, seconds)
    first, count = engines[0].name, sum(lesson.work.lengths)
    return {
        "name": lesson.work.name,
        "engines": {
            name: {
                "median": median(taken),
                "minimum": min(taken),
                "ratio": ratio(taken, times[first]),
                "tokens_per_second": count / median(taken),
                "loss": losses[name],
                "seconds": taken,
            }
            for name, taken in times.items()
        },
    }


def peak(engine: str, lesson: int, folder: Path, threads: int) -> int | None:
    """Return the bytes that a process took at most, in some steps; None where that is not known."""
    if not Path("/proc/self/status").exists():
        return None
    text = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from pathlib import Path; from bench.training import LESSONS, OPENERS\n"
        f"step = OPENERS[{engine!r}](LESSONS[{lesson}], Path({str(folder)!r}), {threads})\n"
        f"for _ in range({STEPS}): step()\n{REPORT}"
    )
    found: int = json.loads(Program(text, threads).run()[1][-1])["peak"]
    return found


def render_work(work: Mapping[str, Any]) -> str:
    """Return one lesson's table."""
    rows = [
        (
            f"  {name}",
            duration(found["median"]),
            duration(found["minimum"]),
            f"{found['ratio']:.2f}",
            f"{found['tokens_per_second']:.0f}",
            "-" if found["peak"] is None else megabytes(found["peak"]),
            f"{found['loss']:.5f}",
        )
        for name, found in work["engines"].items()
    ]
    rounds = len(next(iter(work["engines"].values()))["seconds"])
    header = ("  engine", "median", "least", "ratio", "tokens a second", "peak memory", "loss")
    return f"A step, {work['name']}: {rounds} rounds\n{table(header, rows)}"
