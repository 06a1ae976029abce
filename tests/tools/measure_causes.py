"""Hold every planted fault against ``verify``: is it found, is it named, how long does it take?

    python tests/tools/measure_causes.py [--model wide|embedded|gpt2|bart]
        [--way all|hidden|last|ends] [--dtype float64|float32] [--only REGEX] [--every N]
        [--clean RUNS [--precision NAME]] [--quiet]

Prints what is not named, with the beginning of its verdict, and the totals. --clean: that many runs
without a fault instead, of each precision in turn, which must all be OK.
"""

import argparse
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

SUPPORT = Path(__file__).parents[1] / "support"
sys.path[:0] = [str(SUPPORT)]

import numpy as np  # noqa: E402
import planted_weights as precise  # noqa: E402
from planted import FAULTS  # noqa: E402
from planted_bart import FAULTS as BART_FAULTS  # noqa: E402
from planted_bart import PlantingBart, wide_bart  # noqa: E402
from planted_gpt2 import FAULTS as GPT2_FAULTS  # noqa: E402
from planted_gpt2 import PlantingGpt2, wide_gpt2  # noqa: E402
from planting import WAYS, Planting, embedded_model, wide_model  # noqa: E402

from minibert import Reference, verify  # noqa: E402
from minibert.verification.shapes import masks_of  # noqa: E402

#: Of each model: what makes it, what plants a fault in it, and its catalogue.
MODELS = {
    "wide": (wide_model, Planting, FAULTS),
    "embedded": (embedded_model, Planting, FAULTS),
    "gpt2": (wide_gpt2, PlantingGpt2, GPT2_FAULTS),
    "bart": (wide_bart, PlantingBart, BART_FAULTS),
}
NAMED = ("named", "among")
CLEAN = {
    "float64": None,
    "float32": None,
    "bfloat16": precise.throughout(precise.bfloat16),
    "float16": precise.throughout(precise.float16),
    "TF32": precise.short(precise.tf32),
}


def measured(planting, way, faults, quiet):
    """Print what is not named, and return all outcomes."""
    found = []
    for fault in faults:
        one = planting.outcome(fault, way)
        found.append(one)
        if not (quiet or one.state in ("named", "nothing")):
            print(f"{one.state:7} {one.seconds:5.1f} s  {way}: {fault.kind}: {fault.name}")
            if one.state != "named":
                print(f"          needed {fault.words!r}, said: {one.verdict[:250]}", flush=True)
    return found


def totals(outcomes):
    """Say how many faults are found and named, and of which kinds not."""
    seen = [one for one in outcomes if one.state != "nothing"]
    states = Counter(one.state for one in seen)
    found, named = len(seen) - states["missed"], sum(states[state] for state in NAMED)
    share = 100 * named / max(len(seen), 1)
    nothing = [one.fault.name for one in outcomes if one.state == "nothing"]
    line = f"{len(outcomes)} faults, {len(nothing)} change nothing; of {len(seen)} "
    line += f"found {found}, named {named} ({share:.1f} %): {dict(states)}"
    seconds = [one.seconds for one in seen]
    line += f"; {sum(seconds):.0f} s, longest {max(seconds, default=0):.1f} s"
    kinds = Counter(one.fault.kind for one in seen)
    right = Counter(one.fault.kind for one in seen if one.state in NAMED)
    line += "\n    " + ", ".join(f"{kind} {right[kind]}/{n}" for kind, n in kinds.items())
    return f"{line}\n    nothing beyond the rounding of float32: {'; '.join(nothing)}"


def alarms(model, name, planting, runs, precisions):
    """Print the false alarms among runs without a fault, and return how many there are."""
    wrong, random = Counter(), np.random.default_rng(8)
    for run in range(runs):
        inputs = planting.draw(model.config.vocab_size, left=bool(run % 2), seed=run)
        precision = precisions[run % len(precisions)]
        dtype = np.float64 if precision == "float64" else np.float32
        bert = planting.plain(model, planting.as_plain(inputs), dtype)
        if plant := CLEAN[precision]:
            plant(bert)
        with np.errstate(over="ignore"):
            stages = bert()
        for way, chosen in planting.ways.items():
            kept = {k: x for k, x in stages.items() if chosen(k)}
            if random.random() < 0.3:  # as programs that write nothing at padding
                real, source = masks_of(inputs)
                for stage, x in kept.items():
                    if x.ndim == 3:
                        of_source = "S" in model.stage_axes()[stage]
                        kept[stage] = x * (source if of_source else real)[..., None]
            report = verify(model, Reference(inputs, kept))
            if report.faults:
                wrong[f"{precision}, {way}"] += 1
                print(
                    f"ALARM {name} {precision} {way} seed {run}: {report.verdict[:250]}", flush=True
                )
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=MODELS, action="append")
    parser.add_argument("--way", choices=WAYS, action="append")
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64")
    parser.add_argument("--only", default="", help="a pattern of kind: name")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every n-th alone")
    parser.add_argument("--clean", type=int, default=0, metavar="RUNS")
    parser.add_argument("--precision", choices=CLEAN, action="append", help="of clean runs")
    parser.add_argument("--quiet", action="store_true", help="the totals alone")
    asked = parser.parse_args()
    lines, begun = [], time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.model or MODELS:
            make, planting, faults = MODELS[name]
            faults = [f for f in faults if re.search(asked.only, f"{f.kind}: {f.name}")]
            model = make(Path(folder) / name, asked.dtype)
            if asked.clean:
                wrong = alarms(model, name, planting, asked.clean, asked.precision or [*CLEAN])
                lines.append(f"{name}, clean: {asked.clean} runs, alarms {dict(wrong)}")
                continue
            planting = planting(model, asked.dtype)
            for way in asked.way or WAYS:
                found = measured(planting, way, faults[:: asked.every], asked.quiet)
                lines.append(f"{name}, {way}, {asked.dtype}: {totals(found)}")
    print(*lines, f"{time.perf_counter() - begun:.0f} s in all", sep="\n")


if __name__ == "__main__":
    main()
