"""Mutate every kind of file that minibert opens: each ends in an object, or in a sentence.

    python tests/tools/fuzz_files.py --inputs 100000 --seed 1

A finding is all else: an error that no ``raise`` of the package made, a warning of another library,
a text that is too long or has control characters in it, seconds of work, and an object that is
another one after it was saved and opened again. Seed and number make an input what it is:
``--seed 1 --first 4711 --inputs 1 --folder here`` makes that one again, and leaves it there.
"""

import argparse
import linecache
import os
import re
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, NoReturn

import numpy as np
import small_files
from mutations import (
    Mutate,
    fitting,
    in_header,
    in_member,
    in_pieces,
    json_values,
    lines,
    opcodes,
    some_bytes,
)

import minibert
from minibert import AutoConfig, AutoModel, AutoTokenizer, BertTokenizer, Reference, tasks
from minibert.checkpoint.tensors import TYPES
from minibert.checkpoint.torchfile import read_torch
from minibert.models.auto import CLASSES, MODELS
from minibert.tasks.sentence_files import score_activation
from minibert.tokenizers import GPT2Tokenizer, PreTrainedTokenizer, RobertaTokenizer
from minibert.verification.inputs import read_inputs

PACKAGE = str(Path(minibert.__file__).parent)
SECONDS, CHARACTERS = 3, 1000
TASKS: dict[type, Callable[..., object]] = {
    minibert.BertForSequenceClassification: partial(tasks.classify, "the guitar"),
    minibert.BertForTokenClassification: partial(tasks.tag, "the guitar is known"),
    minibert.BertForQuestionAnswering: partial(tasks.answer, "is", "the guitar"),
    minibert.BertForMaskedLM: partial(tasks.fill_mask, "the [MASK]"),
    minibert.BertForNextSentencePrediction: partial(tasks.next_sentence, "the guitar", "is"),
    minibert.BertModel: partial(tasks.embed, ["the guitar", "a"]),
    minibert.BartModel: partial(tasks.embed, ["the cat", "a"]),
    minibert.BartForSequenceClassification: partial(tasks.classify, "the cat"),
    minibert.BartForQuestionAnswering: partial(tasks.answer, "the", "the cat sat"),
    minibert.GPT2Model: partial(tasks.embed, ["the cat", "a"]),
    minibert.GPT2ForSequenceClassification: partial(tasks.classify, "the cat"),
    minibert.GPT2ForTokenClassification: partial(tasks.tag, "the cat sat"),
}
PYTHON = re.compile(r"NoneType|<class | object at 0x|Traceback|codec can|\[Errno|sys\.set")


# What is done with a file: it is opened, used, saved, and opened again


def require(found: object, expected: object, what: str) -> None:
    """Raise AssertionError, which is a finding, if two things differ."""
    if found != expected:
        raise AssertionError(
            f"another {what} after saving: {found!s:.300}; before {expected!s:.300}"
        )


@contextmanager
def saved(warning: Any = "error") -> Iterator[None]:
    """Whatever is wrong with what was saved is a finding."""
    with warnings.catch_warnings():
        warnings.simplefilter(warning)
        try:
            yield
        except (ValueError, TypeError, OSError, Warning) as error:
            raise AssertionError(f"what was saved does not open: {error!r:.600}") from error


def open_model(kind: Any, path: Path) -> None:
    """Read the config, save and read it again, then the model, and call it."""
    config, again = AutoConfig.from_pretrained(path.parent), path.parent / "again"
    with saved("ignore"):  # the same warnings once more
        config.save_pretrained(again)
        text = AutoConfig.from_pretrained(again).to_json_string()
    require(text, config.to_json_string(), "config")
    score_activation(path.parent, config)
    model = kind.from_pretrained(path.parent)
    if path.name not in ("config.json", "generation_config.json"):  # the numbers may be any
        return
    if kind not in TASKS:
        model([[[1, 2]]] if kind.with_choices else [[1, 2]])
    else:
        TASKS[kind](model=(model, AutoTokenizer.from_pretrained(path.parent)))
    if hasattr(model, "generate"):
        model.generate([[1, 2, 3], [4, 5, 6]], [[1, 1, 1], [1, 1, 0]])


def open_tokenizer(kind: Any, path: Path) -> None:
    """Tokenize and decode, save, and do the same again."""
    tokenizer, again = kind.from_pretrained(path.parent), path.parent / "again"
    before = tokenized(tokenizer)
    with saved():
        tokenizer.save_pretrained(again)
        reopened = type(tokenizer).from_pretrained(again)
    with saved("ignore"):  # a row that is too long is told of once more
        require(tokenized(reopened), before, "tokenizer")


def tokenized(tokenizer: PreTrainedTokenizer) -> tuple[Any, ...]:
    """Return what a tokenizer makes of a few texts, and of their ids."""
    texts = ["the new [MASK]  Café a x y [X] [CLS]", "", " a<mask> new york's\n\n <x>12 é"]
    one = tokenizer(texts, return_offsets_mapping=True)
    two = tokenizer("plays [SEP]the", "İ guitars. ", truncation=True, max_length=9)
    decoded = [tokenizer.decode(ids, skip) for ids in one["input_ids"] for skip in (True, False)]
    return dict(one), dict(two), decoded, tokenizer.special_tokens_map, len(tokenizer)


def open_sentence(path: Path) -> None:
    """Embed two texts as a folder of sentence-transformers says."""
    folder = next(folder for folder in path.parents if (folder / "vocab.txt").exists())
    tasks.embed(["the guitar", "a"], model=folder)


def open_tensors(path: Path) -> None:
    """Read the numbers of all tensors."""
    for tensor in read_torch(path).values():
        if tensor.dtype in TYPES:
            np.array(tensor.raw())


def open_recording(path: Path) -> None:
    """Load what was recorded, save it, and load it again."""
    first, again = Reference.load(path, num_hidden_layers=2), path.with_name("again.safetensors")
    with saved():
        first.save(again)
        second = Reference.load(again)
    np.testing.assert_equal([second.inputs, second.stages], [first.inputs, first.stages])


def open_inputs(path: Path) -> None:
    """Read what a recording is to be made of, and call the model on it."""
    AutoModel.from_pretrained(path.parent)(**read_inputs([str(path)], path.parent))


# The kinds of files


class Kind(NamedTuple):
    """Files and what they hold, how the first of them is mutated, and what opens it."""

    files: dict[Path, bytes]
    mutations: tuple[Mutate, ...]
    open: Callable[[Path], None]


TEXT = (*[json_values] * 5, some_bytes)
LINES = (in_pieces(lines), some_bytes)
HEADER = (*[in_header(fitting)] * 3, in_header(json_values), in_header(some_bytes), some_bytes)
PICKLE = (in_pieces(opcodes), in_pieces(opcodes), partial(some_bytes, end=200), some_bytes)
ZIP = (*(in_member(mutate, "data.pkl") for mutate in PICKLE), in_member(some_bytes), some_bytes)
NPZ = (*[in_member(partial(some_bytes, end=128))] * 3, in_member(some_bytes), some_bytes)
HERE, AUTO = (partial(open_tokenizer, kind) for kind in (BertTokenizer, AutoTokenizer))
GPT2, ROBERTA = (partial(open_tokenizer, kind) for kind in (GPT2Tokenizer, RobertaTokenizer))
BASE, *HEADS = (partial(open_model, kind) for kind in MODELS if kind in CLASSES["bert"].values())
WRITER, *OTHERS = (
    partial(open_model, CLASSES["gpt2"][name])
    for name in ("CausalLM", "model", "SequenceClassification", "TokenClassification")
)

MODEL, DENSE = "vocab.txt config.json model.safetensors", "2_Dense/model.safetensors"
SEQ2SEQ, *READERS = (
    partial(open_model, CLASSES["bart"][name])
    for name in ("Seq2SeqLM", "model", "SequenceClassification", "QuestionAnswering")
)
WEIGHTS, PAIRS = "model.safetensors=gpt2.safetensors", "vocab.json=roberta_vocab.json merges.txt"
BART = "model.safetensors=bart.safetensors"
BYTES = "vocab.json=gpt2_vocab.json merges.txt"
FOLDER = " ".join((*small_files.SENTENCE, MODEL, DENSE))
#: Files, the first of which is mutated (x=y: x, with what y holds); how; and what opens it.
TABLE: list[tuple[str, tuple[Mutate, ...], tuple[Callable[[Path], None], ...]]] = [
    ("config.json model.safetensors vocab.txt tokenizer_config.json", TEXT, (BASE, *HEADS)),
    ("adapter_config.json", TEXT, (BASE,)),
    ("model.safetensors config.json", HEADER, (BASE, HEADS[2])),
    ("model.safetensors.index.json config.json 0.safetensors 1.safetensors", TEXT, (BASE,)),
    ("pytorch_model.bin config.json", ZIP, (BASE, HEADS[2])),
    *((name, ZIP, (open_tensors,)) for name in ("zip.bin", "training.bin", "recording.pt")),
    *((name, PICKLE, (open_tensors,)) for name in ("legacy4.bin", "training_legacy.bin")),
    ("pytorch_model.bin=legacy.bin config.json", PICKLE, (open_tensors, BASE)),
    ("vocab.txt", LINES, (HERE,)),
    ("vocab.txt tokenizer_config.json", LINES, (HERE,)),
    ("tokenizer.json", TEXT, (HERE, HERE)),
    ("tokenizer.json tokenizer_config.json", TEXT, (HERE, HERE)),
    ("tokenizer_config.json vocab.txt config.json", TEXT, (HERE, AUTO)),
    ("tokenizer_config.json tokenizer.json config.json", TEXT, (HERE, AUTO)),
    ("tokenizer_config.json=fast.json tokenizer.json", TEXT, (HERE,)),
    ("special_tokens_map.json vocab.txt tokenizer_config.json=older.json", TEXT, (HERE,)),
    ("added_tokens.json vocab.txt tokenizer_config.json=older.json", TEXT, (HERE,)),
    ("config.json vocab.txt", TEXT, (AUTO,)),
    *((f"{name} {FOLDER}", TEXT, (open_sentence,)) for name in small_files.SENTENCE),
    (f"{DENSE} {FOLDER}", HEADER, (open_sentence,)),
    ("recording.npz", NPZ, (open_recording,)),
    ("recording.safetensors", HEADER, (open_recording,)),
    ("recording.pt", ZIP, (open_recording,)),
    (f"config.json=gpt2.json {WEIGHTS} {BYTES}", TEXT, (WRITER, *OTHERS)),
    ("model.safetensors=gpt2.safetensors config.json=gpt2.json", HEADER, (WRITER, *OTHERS)),
    ("pytorch_model.bin=gpt2.bin config.json=gpt2.json", ZIP, (WRITER,)),
    (f"generation_config.json config.json=gpt2.json {WEIGHTS}", TEXT, (WRITER,)),
    (f"config.json=bart.json {BART} {PAIRS}", TEXT, (SEQ2SEQ, *READERS)),
    (f"{BART} config.json=bart.json", HEADER, (SEQ2SEQ, *READERS)),
    (f"generation_config.json config.json=bart.json {BART}", TEXT, (SEQ2SEQ,)),
    ("vocab.json=gpt2_vocab.json merges.txt", TEXT, (GPT2,)),
    ("merges.txt vocab.json=gpt2_vocab.json", LINES, (GPT2,)),
    ("merges.txt vocab.json=roberta_vocab.json", LINES, (ROBERTA,)),
    ("tokenizer.json=gpt2_tokenizer.json", TEXT, (GPT2,)),
    ("tokenizer.json=roberta_tokenizer.json", TEXT, (ROBERTA,)),
    ("tokenizer_config.json=gpt2_tokens.json tokenizer.json=gpt2_tokenizer.json", TEXT, (GPT2,)),
    ("tokenizer_config.json=roberta.json tokenizer.json=roberta_tokenizer.json", TEXT, (AUTO,)),
    (f"tokenizer_config.json=roberta.json {PAIRS} config.json=gpt2.json", TEXT, (ROBERTA, AUTO)),
    (f"special_tokens_map.json=roberta_map.json {PAIRS}", TEXT, (ROBERTA,)),
    (f"added_tokens.json=roberta_added.json {PAIRS}", TEXT, (ROBERTA,)),
    (f"inputs.txt config.json=gpt2.json {WEIGHTS} {BYTES}", LINES, (open_inputs,)),
    ("inputs.json config.json model.safetensors", TEXT, (open_inputs,)),
    ("inputs.txt config.json model.safetensors vocab.txt", LINES, (open_inputs,)),
]


def kinds(root: Path) -> list[Kind]:
    """Write a folder for each line of the table, and return the kinds."""
    small_files.write(root / "all")
    found: list[Kind] = []
    for number, (names, mutations, openers) in enumerate(TABLE):
        files: dict[Path, bytes] = {}
        for name, _, source in (name.partition("=") for name in names.split()):
            path = root / str(number) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            files[path] = (root / "all" / (source or name)).read_bytes()
        found += [Kind(files, mutations, opener) for opener in openers]
    return found


# What is found


class Slow(BaseException):
    """An input takes too long."""


def _stop(*_: Any) -> NoReturn:
    raise Slow


def _limit(seconds: float) -> None:
    """Have work that takes longer stopped, where the system can do that and main() asked for it."""
    if hasattr(signal, "setitimer") and signal.getsignal(signal.SIGVTALRM) is _stop:
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)


def finding(files: dict[Path, bytes], opener: Callable[[Path], None]) -> str | None:
    """Say what is wrong with what becomes of files, the first of which is opened; else None."""
    for path, content in files.items():
        path.write_bytes(content)
    began, error = time.process_time(), None
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            _limit(SECONDS)
            opener(next(iter(files)))
        except (Exception, Slow) as raised:
            error = raised
        _limit(0)
    found = [*map(_in_warning, told), _in_error(error) if error else None]
    if (seconds := time.process_time() - began) > SECONDS:
        found.append(f"it takes {seconds:.1f} s")
    return next(filter(None, found), None)


def _in_warning(one: warnings.WarningMessage) -> str | None:
    if one.category is UserWarning and one.filename == __file__:  # as minibert warns its caller
        return _in_text(str(one.message))
    return f"{one.filename}:{one.lineno} warns: {one.message!s:.300}"


def _in_error(error: BaseException) -> str | None:
    frame, line = list(traceback.walk_tb(error.__traceback__))[-1]
    file = frame.f_code.co_filename
    code = linecache.getline(file, line).strip()
    said = isinstance(error, ValueError | TypeError | OSError) and file.startswith(PACKAGE)
    if said and code.startswith("raise"):
        return _in_text(str(error))
    return f"{Path(file).name}:{line} {code[:80]!r}: {type(error).__name__}, {error!s:.700}"


def _in_text(text: str) -> str | None:
    if len(text) > CHARACTERS:
        return f"a text of {len(text)} characters: {text[:300]!r}"
    if not text.isprintable() or PYTHON.search(text):
        return f"control characters, or words of Python: {text!r:.700}"
    return None


def fuzz(root: Path, inputs: int, seed: int, first: int = 0) -> dict[str, str]:
    """Try inputs; return the findings by the number and the file of the input."""
    every, found = kinds(root), dict[str, str]()
    for number in range(first, first + inputs):
        draw = Random(f"{seed} {number}")
        kind = draw.choice(every)
        files, path = dict(kind.files), next(iter(kind.files))
        files[path] = draw.choice(kind.mutations)(draw, files[path])
        for other in files:
            if other != path and other.suffix == ".json" and draw.random() < 0.1:
                files[other] = json_values(draw, files[other])
        if said := finding(files, kind.open):
            found[f"{number} {path.name}"] = said
    return found


def main() -> int:
    """Try as many inputs as asked for; print the findings, and return 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("inputs", 10_000), ("seed", 1), ("first", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path, help="where to leave the files")
    asked = parser.parse_args()
    os.fsync = lambda handle: None  # nothing here is to outlast a crash
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGVTALRM, _stop)
    with tempfile.TemporaryDirectory() as folder:
        found = fuzz(asked.folder or Path(folder), asked.inputs, asked.seed, asked.first)
    same: dict[tuple[str, str], list[str]] = {}
    for place, said in found.items():
        number, name = place.split()
        gist = re.sub(r"'/.*?'|\d+", "", said)[:90]
        same.setdefault((name, gist), []).append(f"{number}: {said}")
    for (name, _), alike in same.items():
        print(f"{name}, {len(alike)} times; input {alike[0]}")
    print(f"{asked.inputs} inputs of seed {asked.seed}, {len(found)} findings")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
