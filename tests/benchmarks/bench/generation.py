"""Text generation, minibert beside transformers with its cache, in turn; and its cost by tokens."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import minibert
from bench.engines import Absent, Engine, open_engines
from bench.growth import render_values
from bench.tables import duration, table
from bench.turns import in_turn, ratio
from bench.workloads import GENERATION, Integers, Writing

COUNTS = (1, 32, 64, 128, 256, 512)  # new tokens, in the table of growth
GROWTH = "tokens"  # what its work is named with
SECONDS = 2.0  # for each of its points

#: What writes, and the fields of a config with which it writes until it has the tokens asked for.
KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "GPT-2 small": ("GPT2LMHeadModel", "GPT2Config", {"eos_token_id": None}),
    "BART-base": (
        "BartForConditionalGeneration",
        "BartConfig",
        {"eos_token_id": None, "forced_eos_token_id": None}
        | dict.fromkeys(("encoder_layers", "decoder_layers"), 6)
        | dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 12)
        | dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 3072)
        | {"d_model": 768},
    ),
}


def measure(threads: int, seconds: float, only: str, show: Callable[[str], None]) -> dict[str, Any]:
    """Run the works whose names contain a text, and time what grows; each table is shown at once.

    A ratio above 1 says that minibert is faster.
    """
    measured: dict[str, Any] = {"absent": {}, "works": [], GROWTH: {}}
    for kind in KINDS:
        works = [work for work in GENERATION if work.kind == kind and only in work.name]
        grows = kind == "GPT-2 small" and only in GROWTH
        if not works and not grows:
            continue
        with tempfile.TemporaryDirectory() as name:
            engines, absent = opened(kind, Path(name), threads)
            measured["absent"] |= {f"{engine.name}, {kind}": engine.why for engine in absent}
            for work in works if engines else ():
                measured["works"].append(compare(work, engines, seconds))
                show(render_work(measured["works"][-1]))
            if grows:
                measured[GROWTH] = by_tokens(engines)
                show(f"Time by new tokens, after one\n{render_values(measured[GROWTH])}")
    return measured


def opened(kind: str, folder: Path, threads: int) -> tuple[list[Engine], list[Absent]]:
    """Draw a checkpoint of a kind, and open it in both engines; none if minibert has no such."""
    model, config, fields = KINDS[kind]
    if not hasattr(minibert, model):
        return [], [Absent("minibert", f"it has no {model}")]
    drawn = getattr(minibert, model)(getattr(minibert, config)(**fields), seed=0)
    drawn.save_pretrained(folder)
    return open_engines(folder, threads, writers(model))


def writers(model: str) -> dict[str, Callable[[Path, int], Any]]:
    """Return what opens a checkpoint as a model that writes: (ids, mask, options) -> ids."""

    def open_minibert(folder: Path, threads: int) -> Any:
        minibert.set_num_threads(threads)
        return getattr(minibert, model).from_pretrained(folder).generate

    def open_transformers(folder: Path, threads: int) -> Any:
        import torch
        import transformers

        transformers.utils.logging.disable_progress_bar()
        torch.set_num_threads(threads)
        kind = getattr(transformers, model)
        writer = kind.from_pretrained(folder, dtype=torch.float32).eval()

        @torch.inference_mode()
        def run(ids: Integers, mask: Integers, **options: Any) -> Any:
            inputs = {"attention_mask": torch.from_numpy(mask), "do_sample": False}
            return writer.generate(torch.from_numpy(ids), **inputs, **options).numpy()

        return run

    return {"minibert": open_minibert, "transformers": open_transformers}


def call(engine: Engine, work: Writing) -> Callable[[], Integers]:
    """Return a call that writes what a work asks for."""
    run: Callable[..., Integers] = engine.run
    return partial(run, *work.inputs(), **work.options())


def compare(work: Writing, engines: Sequence[Engine], seconds: float) -> dict[str, Any]:
    """Run one work in all engines; the first is what the others are compared with."""
    calls = {engine.name: call(engine, work) for engine in engines}
    written = {name: run() for name, run in calls.items()}
    times = in_turn(calls, seconds)
    first, count = engines[0].name, len(work.lengths) * work.count
    return {
        "name": f"{work.kind}, {work.name}",
        "engines": {
            name: {
                "median": median(taken),
                "minimum": min(taken),
                "ratio": ratio(taken, times[first]),
                "tokens_per_second": count / median(taken),
                "same": float(np.mean(written[name] == written[first])),
                "seconds": taken,
            }
            for name, taken in times.items()
        },
    }


def by_tokens(engines: Sequence[Engine]) -> dict[str, dict[str, float]]:
    """Return the least times by engine and number of new tokens, after a prompt of one."""
    least: dict[str, dict[str, float]] = {engine.name: {} for engine in engines}
    for count in COUNTS:
        work = Writing("", "", (1,), count)
        for name, times in in_turn({e.name: call(e, work) for e in engines}, SECONDS).items():
            least[name][str(count)] = min(times)
    return least


def render_work(work: Mapping[str, Any]) -> str:
    """Return one work's table."""
    rows = [
        (
            f"  {name}",
            duration(found["median"]),
            duration(found["minimum"]),
            f"{found['ratio']:.2f}",
            f"{found['tokens_per_second']:.0f}",
            f"{found['same']:.1%}",
        )
        for name, found in work["engines"].items()
    ]
    rounds = len(next(iter(work["engines"].values()))["seconds"])
    header = ("  engine", "median", "least", "ratio", "tokens a second", "same tokens")
    return f"{work['name']}: {rounds} rounds\n{table(header, rows)}"
