"""The commands that do tasks: fill-mask, next-sentence, classify, tag, answer, embed."""

import io
import sys
from argparse import BooleanOptionalAction, Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from minibert import tasks
from minibert.checkpoint.files import lines_of, require_folder, visible
from minibert.checkpoint.writing import write_whole
from minibert.commands.common import add_checkpoint, model_of


def add_tasks(add: Any) -> None:
    """Add the commands to the command line."""
    fill = add("fill-mask", _fill_mask, "likely words for each [MASK]", "text")
    fill.add_argument("--top-k", type=int, default=5)
    fill.add_argument("--targets", nargs="+", help="compare these words only")
    about = "does a text follow another?"
    follow = add("next-sentence", _next_sentence, about, "first", "second")
    classify = add("classify", _classify, "the labels of a text, or of a pair", "text")
    classify.add_argument("text_pair", nargs="?")
    tag = add("tag", _tag, "the label of each word", "text")
    choices = ["simple", "first", "average", "max"]
    tag.add_argument("--aggregation", default="first", choices=choices)
    tag.add_argument("--entities", action="store_true", help="join B- and I- labels")
    about = "the answer to a question in a context"
    answer = add("answer", _answer, about, "question", "context")
    answer.add_argument("--no-answer", action="store_true", help="there may be none")
    embed = add("embed", _embed, "vectors of the lines of a file, as .npy")
    embed.add_argument("file", nargs="?", help="default: standard input")
    embed.add_argument("-o", "--output", required=True, type=Path, metavar="FILE.npy")
    embed.add_argument("--pooling", choices=tasks.POOLINGS, help="default: as the model")
    embed.add_argument("--normalize", action=BooleanOptionalAction, help="to length 1")
    embed.add_argument("--batch-size", type=int, default=32)
    for task in (fill, follow, classify, tag, answer, embed):
        add_checkpoint(task, "--model")


def _print_scores(rows: Iterable[tuple[float, str] | tuple[float, str, str]]) -> int:
    """Print a score and one or two texts on each line."""
    for score, *texts in rows:
        *first, last = map(visible, texts)
        print(f"{score:.3f}", *(f"{text:16}" for text in first), last, sep="  ")
    return 0


def _fill_mask(options: Namespace) -> int:
    found = tasks.fill_mask(options.text, options.top_k, options.targets, model_of(options))
    masks = found if isinstance(found[0], list) else [found]
    words = (word for mask in masks for word in mask)
    return _print_scores((word["score"], word["token_str"], word["sequence"]) for word in words)


def _next_sentence(options: Namespace) -> int:
    found = tasks.next_sentence(options.first, options.second, model_of(options))
    return _print_scores((score, name) for name, score in found.items())


def _classify(options: Namespace) -> int:
    labels = tasks.classify(options.text, options.text_pair, model_of(options))
    return _print_scores((label["score"], label["label"]) for label in labels)


def _tag(options: Namespace) -> int:
    found = tasks.tag(options.text, options.aggregation, model_of(options), options.entities)
    rows = ((one["score"], one.get("entity_group") or one["label"], one["word"]) for one in found)
    return _print_scores(rows)


def _answer(options: Namespace) -> int:
    model = model_of(options)
    found = tasks.answer(options.question, options.context, options.no_answer, model=model)
    return _print_scores([(found["score"], found["answer"] or "(no answer)")])


def _embed(options: Namespace) -> int:
    require_folder(options.output.parent)  # before the work, not after it
    name = options.file or "standard input"
    content = Path(options.file).read_bytes() if options.file else sys.stdin.buffer.read()
    if not content:
        raise ValueError(f"{name} has no line to embed")
    how = options.pooling, options.normalize, options.batch_size, model_of(options)
    vectors = tasks.embed(lines_of(content, name), *how)
    array = io.BytesIO()
    np.save(array, vectors)
    write_whole(options.output, array.getvalue())
    print(f"{options.output}: {vectors.shape[0]} vectors of {vectors.shape[1]}, {vectors.dtype}")
    return 0
