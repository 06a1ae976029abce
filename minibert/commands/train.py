"""The commands that train: a checkpoint on a task, or a model from nothing on texts."""

import warnings
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from pathlib import Path
from typing import Any

from minibert.checkpoint.files import read_json
from minibert.checkpoint.layout import CONFIG_NAME
from minibert.commands.common import add_checkpoint, folder_of
from minibert.models.auto import (
    AutoConfig,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)
from minibert.models.bert import BertConfig
from minibert.models.bert_heads import BertForMaskedLM
from minibert.tokenizers import BertTokenizer
from minibert.training.data import READERS, Reader
from minibert.training.loop import History, train
from minibert.training.settings import Settings

HEADS: dict[str, Any] = {
    "classify": AutoModelForSequenceClassification,
    "regress": AutoModelForSequenceClassification,
    "tag": AutoModelForTokenClassification,
    "mask": AutoModelForMaskedLM,
}
SMALL: dict[str, Any] = {
    **{"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4},
    **{"intermediate_size": 512, "max_position_embeddings": 128},
}
COUNTS = "epochs", "batch_size", "accumulate", "seed", "save_every"
NUMBERS = "learning_rate", "weight_decay", "warmup", "largest_norm"


def add_train(add: Any) -> None:
    """Add the commands to the command line."""
    command: ArgumentParser = add("train", _train, "train a checkpoint on a task")
    add_checkpoint(command, "model", metavar="CHECKPOINT", help="a folder or a Hub id")
    command.add_argument("--task", required=True, choices=READERS)
    _add_options(command)
    command = add("pretrain", _pretrain, "train a BERT from nothing on texts, words hidden")
    about = "a config.json, or a folder with one; the sizes that it leaves out are small"
    command.add_argument("--config", type=Path, help=about)
    about = "a folder with its vocab.txt or tokenizer.json, or a Hub id"
    command.add_argument("--tokenizer", required=True, metavar="FOLDER", help=about)
    _add_options(command)


def _add_options(command: ArgumentParser) -> None:
    about = "CSV or TSV with a first line of names (text, text_pair, label), JSON lines, or .txt"
    command.add_argument("--data", required=True, type=Path, metavar="FILE", help=about)
    command.add_argument("--eval", type=Path, metavar="FILE", help="held out, in the same form")
    command.add_argument("-o", "--output", required=True, type=Path, metavar="FOLDER")
    about = "tokens of an example; longer ones are cut"
    command.add_argument("--max-length", type=int, help=f"{about}; default: as the model has it")
    options, usual = command.add_argument_group("how"), Settings()
    for kind, names in ((int, COUNTS), (float, NUMBERS)):
        for name in names:
            default = getattr(usual, name)
            flag = f"--{name.replace('_', '-')}"
            options.add_argument(flag, type=kind, default=default, help=f"default: {default:g}")
    options.add_argument("--schedule", default=usual.schedule, help=f"default: {usual.schedule}")
    options.add_argument("--dropout", action=BooleanOptionalAction, default=True)
    options.add_argument("--frozen", nargs="+", default=[], metavar="PATTERN")
    about = "whether a run that OUT has is gone on with"
    options.add_argument("--resume", action=BooleanOptionalAction, default=True, help=about)


def _train(options: Namespace) -> int:
    folder = folder_of(options.model, options, "tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    read, kind = READERS[options.task], HEADS[options.task]
    config: Any = AutoConfig.from_pretrained(folder)
    longest = min(config.max_position_embeddings, tokenizer.model_max_length)
    reader = Reader(tokenizer, int(options.max_length or longest))
    given = read(reader, options.data)
    held_out = read(reader, options.eval, given.names).examples if options.eval else ()
    more: dict[str, Any] = {}
    if given.names:
        named = dict(enumerate(given.names))
        more = {"id2label": named, "label2id": {name: i for i, name in named.items()}}
    if options.task == "regress":
        more["problem_type"] = "regression"
    with warnings.catch_warnings():  # that a head is drawn: it is what is to be trained
        warnings.simplefilter("ignore")
        model = kind.from_pretrained(folder, ignore_mismatched_sizes=True, **more)
    return _run(model, given.examples, held_out, tokenizer, options)


def _pretrain(options: Namespace) -> int:
    tokenizer = BertTokenizer.from_pretrained(options.tokenizer)
    config = _config_of(options.config, len(tokenizer))
    reader = Reader(tokenizer, options.max_length or config.max_position_embeddings)
    examples = reader.mask(options.data).examples
    held_out = reader.mask(options.eval).examples if options.eval else ()
    return _run(BertForMaskedLM(config, options.seed), examples, held_out, tokenizer, options)


def _config_of(path: Path | None, vocab_size: int) -> BertConfig:
    """Return a config with the fields of a file, if one is given; without, the model is small."""
    if path is None:
        return BertConfig(**SMALL, vocab_size=vocab_size)
    file = path / CONFIG_NAME if path.is_dir() else path
    values = SMALL | read_json(file)
    try:
        return BertConfig.from_dict(values, vocab_size=vocab_size)
    except ValueError as error:
        raise ValueError(f"{str(file)!r}: {error}") from None


def _run(model: Any, examples: Any, held_out: Any, tokenizer: Any, options: Namespace) -> int:
    named = (*COUNTS, *NUMBERS, "schedule", "dropout", "resume")
    settings = {name: getattr(options, name) for name in named}
    settings["frozen"] = tuple(options.frozen)
    try:
        _, history = train(model, examples, evaluate=held_out, folder=options.output, **settings)
    finally:  # what a stopped run has saved is for use, too
        for name in ("last", "best"):
            if (options.output / name).exists():
                tokenizer.save_pretrained(options.output / name)
    print(_told(history, options.output))
    return 0


def _told(history: History, folder: Path) -> str:
    last = history[-1]
    said = [f"{name} {value:.4g}" for name, value in last.items() if name.startswith("held-out")]
    told = f"step {last['step']:g}: loss {last['loss']:.4g}{''.join(f', {x}' for x in said)}"
    best = "best (by held-out loss), " if (folder / "best").exists() else ""
    return f"{told}\n{folder}: last, {best}curve.svg, curve.csv"
