"""The command that goes on with prompts, or with BART writes what it makes of a text."""

import json
import signal
import sys
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minibert.checkpoint.files import lines_of, visible
from minibert.commands.common import add_checkpoint, folder_of
from minibert.models.auto import (
    CLASSES,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    model_type,
)
from minibert.runtime.progress import progress, work

#: Fields of GenerationConfig that are options, and what they take.
_COUNTS = (
    *("max_new_tokens", "min_new_tokens", "num_beams", "num_return_sequences", "top_k"),
    "no_repeat_ngram_size",
)
_NUMBERS = ("temperature", "top_p", "min_p", "repetition_penalty", "length_penalty")
_EARLY = {"true": True, "false": False, "never": "never"}


def add_generate(add: Any) -> None:
    """Add the command to the command line."""
    command: ArgumentParser = add("generate", _generate, "write on from prompts")
    add_checkpoint(command, "model", metavar="CHECKPOINT", help="a folder or a Hub id")
    about = "default: the lines of --file, or of standard input"
    command.add_argument("prompts", nargs="*", metavar="PROMPT", help=about)
    command.add_argument("--file", type=Path, help="a prompt a line")
    options = command.add_argument_group(
        "how", "names and meanings of transformers; default: as the checkpoint says"
    )
    for kind, names in ((int, _COUNTS), (float, _NUMBERS)):
        for name in names:
            options.add_argument(f"--{name.replace('_', '-')}", type=kind)
    options.add_argument("--early-stopping", choices=_EARLY)
    options.add_argument("--do-sample", action=BooleanOptionalAction, help="draw words")
    options.add_argument("--seed", type=int, help="of what is drawn; default: another each time")
    command.add_argument("--json", action="store_true", help="print data in place of texts")


def _generate(options: Namespace) -> int:
    folder = folder_of(options.model, options, "generation", "tokenizer")
    auto = AutoModelForSeq2SeqLM if _has_two_stacks(folder) else AutoModelForCausalLM
    model = auto.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    named = (*_COUNTS, *_NUMBERS, "do_sample", "seed")
    asked = {name: getattr(options, name) for name in named if getattr(options, name) is not None}
    if options.early_stopping is not None:
        asked["early_stopping"] = _EARLY[options.early_stopping]
    prompts = _prompts(options)
    defaults = model.generation_config
    beams, texts = (
        asked.get(name) or getattr(defaults, name) or 1
        for name in ("num_beams", "num_return_sequences")
    )
    if len(prompts) * beams * texts == 1 and not options.json and hasattr(tokenizer, "decoder"):
        return _stream(model, tokenizer, prompts[0], asked)
    inputs = _inputs(tokenizer, prompts)
    rows, is_whole = _rows(model, inputs, asked, beams > 1)
    found = [*_texts(model, tokenizer, prompts, rows)]
    if options.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print("\n".join(_shown(text["text"]) for text in found))
    return 0 if is_whole else 128 + signal.SIGINT


def _has_two_stacks(folder: Path) -> bool:
    return "Seq2SeqLM" in CLASSES[model_type(folder)]


def _prompts(options: Namespace) -> list[str]:
    if options.prompts and options.file:
        raise ValueError("there are prompts and a --file of them: pass one of the two")
    if options.prompts:
        return list(options.prompts)
    name = str(options.file or "standard input")
    content = options.file.read_bytes() if options.file else sys.stdin.buffer.read()
    if not content:
        raise ValueError(f"{name} has no line to go on from")
    return lines_of(content, name)


def _stream(model: Any, tokenizer: Any, prompt: str, asked: dict[str, Any]) -> int:
    """Print a text word by word; Ctrl-C ends the line."""
    steps = model.stream(**_inputs(tokenizer, [prompt]), **asked)
    decode = tokenizer.decoder(skip_special_tokens=True)
    try:
        print("" if model.config.is_encoder_decoder else _shown(prompt), end="", flush=True)
        for words in steps:
            print(_shown(decode(words)), end="", flush=True)
    finally:
        print(_shown(decode([], final=True)), flush=True)
    return 0


def _rows(
    model: Any, inputs: dict[str, Any], asked: dict[str, Any], has_beams: bool
) -> tuple[list[list[int]], bool]:
    """Return the words of each text, and whether that is all: Ctrl-C leaves what there is."""
    if has_beams:
        begun = 1 if model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
        rows = model.generate(**inputs, **asked, progress=True)[:, begun:]
        return rows.tolist(), True
    steps: list[Any] = []
    with work("generate"):
        try:
            for words in model.stream(**inputs, **asked):
                steps.append(words.tolist())
                progress(f"token {len(steps)}")
        except KeyboardInterrupt:
            return [*map(list, zip(*steps, strict=True))], False
    return [*map(list, zip(*steps, strict=True))], True


def _texts(
    model: Any, tokenizer: Any, prompts: list[str], rows: list[list[int]]
) -> Iterator[dict[str, Any]]:
    for i, row in enumerate(rows):
        prompt = prompts[i * len(prompts) // len(rows)]
        text = tokenizer.decode(row, skip_special_tokens=True)
        begun = "" if model.config.is_encoder_decoder else prompt
        yield {"prompt": prompt, "text": begun + text, "ids": row}


def _inputs(tokenizer: Any, prompts: list[str]) -> dict[str, Any]:
    """Return the ids of prompts as one batch. What pads them is not looked at."""
    rows = [tokenizer(prompt)["input_ids"] for prompt in prompts]
    longest = max(map(len, rows))
    ids = [[0] * (longest - len(row)) + row for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    return {"input_ids": np.array(ids, np.int64), "attention_mask": np.array(mask, np.int64)}


def _shown(text: str) -> str:
    """Return a text as a terminal may show it: what does not print is escaped, lines remain."""
    return "\n".join("\t".join(map(visible, line.split("\t"))) for line in text.split("\n"))
