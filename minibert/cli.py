"""The command line: verify, compare, record, inspect, the tasks, and generate."""

import json
import os
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from minibert._version import __version__
from minibert.checkpoint.files import require_folder
from minibert.checkpoint.writing import write_whole
from minibert.commands.common import add_checkpoint, folder_of, hub_options
from minibert.commands.generate import add_generate
from minibert.commands.tasks import add_tasks
from minibert.commands.train import add_train
from minibert.data import EMBEDDED_CHECKPOINT, REFERENCE_NAME, shipped_references
from minibert.models.auto import AutoConfig, AutoModel
from minibert.models.inspect import inspect
from minibert.verification import Reference, compare_recordings, record_checkpoint, verify
from minibert.verification.inputs import read_inputs
from minibert.verification.page import page, token_texts
from minibert.verification.parts import is_gradient
from minibert.verification.table import table, wants_colour
from minibert.verification.told import of_its_class
from minibert.verification.way_back import has_gradients

_EXAMPLES = {
    "verify": "my_folder --reference recorded.npz --html report.html",
    "compare": "mine.npz theirs.safetensors --model my_folder",
    "inspect": "my_folder",
    "record": 'my_folder --inputs "A text." "Another one." -o reference.safetensors',
    "fill-mask": '"the ball is [MASK] ." --top-k 3',
    "next-sentence": '"the ball is red ." "it is on the table ." --model bert-base-uncased',
    "classify": '"What a nice film!" --model my_folder',
    "tag": '"Ada Lovelace lived in London." --model my_folder',
    "answer": '"Where is the ball?" "The ball is on the table." --model my_folder',
    "embed": "lines.txt -o vectors.npy",
    "generate": 'my_folder "Once upon a time" --max-new-tokens 40 --do-sample --seed 1',
    "train": "my_folder --task classify --data train.csv --eval dev.csv -o trained",
    "pretrain": "--tokenizer my_folder --data texts.txt -o trained",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0 if all is well, 1 if something differs, 2 if it could not run.

    130 and 141 are a Unix tool's: after Ctrl-C, and where nobody reads on.
    """
    options = _parser().parse_args(arguments)
    try:
        status: int = options.command(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13  # SIGPIPE, which Windows lacks
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except (ValueError, TypeError, OSError, ImportError, FloatingPointError) as error:
        print(f"minibert {options.name}: {error}", file=sys.stderr)
        return 2
    return status


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="minibert", description="BERT, GPT-2 in NumPy, and their proof.")
    parser.add_argument("--version", action="version", version=f"minibert {__version__}")
    commands = parser.add_subparsers(dest="name", required=True)

    def add(name: str, command: Callable[[Namespace], int], about: str, *texts: str) -> Any:
        example = f"example: minibert {name} {_EXAMPLES[name]}"
        added = commands.add_parser(name, help=about, description=about, epilog=example)
        added.set_defaults(command=command)
        for text in texts:
            added.add_argument(text)
        return added

    _add_checks(add)
    add_tasks(add)
    add_generate(add)
    add_train(add)
    return parser


def _add_checks(add: Any) -> None:
    check = add("verify", _verify, "compare a checkpoint's stages with a reference")
    add_checkpoint(check, "folder", nargs="?", default=EMBEDDED_CHECKPOINT)
    about = f"a file, or the name of one that is shipped; default: FOLDER/{REFERENCE_NAME}"
    check.add_argument("--reference", metavar="FILE", help=about)
    check.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    _add_report_options(check)
    compare = add("compare", _compare, "compare two recordings of the same inputs")
    compare.add_argument("first", metavar="A", help="a reference file")
    compare.add_argument("second", metavar="B", help="another")
    about = "a checkpoint with their weights: it shows which side is wrong, and where"
    add_checkpoint(compare, "--model", metavar="FOLDER", help=about)
    _add_report_options(compare)
    shown = add("inspect", _inspect, "show a checkpoint's config and tensors")
    add_checkpoint(shown, "folder", nargs="?", default=EMBEDDED_CHECKPOINT)
    _add_record(add)


def _add_record(add: Any) -> None:
    record = add("record", _record, "record a checkpoint's stages, as a reference")
    add_checkpoint(record, "model", nargs="?", default=EMBEDDED_CHECKPOINT)
    about = (
        "texts, a tab between the two of a pair; or one file: .txt (a text a line), .json, "
        ".npz, .safetensors or .pt with input_ids, ...; default: three sentences"
    )
    record.add_argument("--inputs", nargs="+", default=[], metavar="TEXT_OR_FILE", help=about)
    record.add_argument("-o", "--output", required=True, type=Path, metavar="FILE")
    sources = ["minibert", "transformers"]
    record.add_argument("--from", dest="source", default=sources[0], choices=sources)
    record.add_argument("--dtype", default="float64", choices=["float32", "float64"])
    about = (
        "record the gradients of the loss, too, with the head that config.json names; labels are "
        "those in the file of inputs (labels, ...), or else made up"
    )
    record.add_argument("--gradients", action="store_true", help=about)


def _add_report_options(parser: ArgumentParser) -> None:
    about = "require |ours - theirs| <= atol + rtol * |theirs| too; default"
    parser.add_argument("--atol", type=float, help=f"{about} 1e-5 if rtol is given")
    parser.add_argument("--rtol", type=float, help=f"{about} 1e-3 if atol is given")
    parser.add_argument("--json", action="store_true", help="print data instead of a table")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the report as a page, too")
    parser.add_argument("--stages", nargs="+", help="show the errors of these by token on the page")


def _verify(options: Namespace) -> int:
    folder = folder_of(options.folder, options)
    path = _reference_path(folder, options.reference)
    reference = Reference.load(path, _layers_of(folder))
    model = _model_for(folder, reference, dtype=options.dtype)
    report = verify(model, reference, options.atol, options.rtol)
    return _report(report, options, options.folder, reference.inputs)


def _layers_of(folder: Path) -> int:
    config: Any = AutoConfig.from_pretrained(folder)
    count: int = config.num_hidden_layers
    return count


def _model_for(folder: Path, *references: Reference, **more: Any) -> Any:
    """Open a checkpoint, with its head if gradients are recorded."""
    kind = of_its_class(folder) if any(map(has_gradients, references)) else AutoModel
    return kind.from_pretrained(folder, **more)


def _reference_path(folder: Path, given: str | None) -> Path:
    shipped = shipped_references()
    if given is not None:
        return Path(given) if Path(given).exists() else shipped.get(given, Path(given))
    path = require_folder(folder) / REFERENCE_NAME
    if not path.exists():
        raise FileNotFoundError(
            f"there is no {REFERENCE_NAME} in {str(folder)!r}: say which reference to use "
            f"with --reference FILE; shipped with minibert: {', '.join(shipped)}; "
            "`minibert record` makes one, of what another library computes, too"
        )
    return path


def _compare(options: Namespace) -> int:
    name = options.model
    folder = folder_of(name, options) if name else None
    layers = _layers_of(folder) if folder else None
    first, second = (Reference.load(path, layers) for path in (options.first, options.second))
    model = _model_for(folder, first, second) if folder else None
    report = compare_recordings(first, second, model, options.atol, options.rtol)
    return _report(report, options, name, first.inputs)


def _report(report: Any, options: Namespace, folder: Any, inputs: Any) -> int:
    if options.stages and not options.html:
        raise ValueError("--stages says what the page shows: say --html FILE, too")
    known = [row.stage for row in report.rows]
    if unknown := [name for name in options.stages or () if name not in known]:
        raise ValueError(f"--stages: no stage {unknown[0]!r} was compared; {', '.join(known)} were")
    if options.html:
        read, written = (
            _texts(inputs.get(f"{x}input_ids"), folder, options) for x in ("", "decoder_")
        )
        of_two = any(name.startswith("decoder_") for name in inputs)
        texts = {"tokens": written, "source": read} if of_two else {"tokens": read}
        write_whole(options.html, page(report, stages=options.stages, **texts).encode())
    if options.json:
        print(json.dumps(report.to_dict(), indent=2))
    else:
        print(table(report, wants_colour(sys.stdout)))
    return 0 if report.ok else 1


def _texts(ids: Any, folder: Any, options: Namespace) -> list[list[str]] | None:
    """Return the tokens of ids, if there are any and a folder that may know them."""
    is_known = folder and ids is not None and ids.ndim == 2
    return token_texts(folder, ids, **hub_options(options)) if is_known else None


def _record(options: Namespace) -> int:
    require_folder(options.output.parent)  # before the work, not after it
    inputs, hub = (
        read_inputs(options.inputs, options.model, **hub_options(options)),
        hub_options(options),
    )
    named = {"dtype": options.dtype, "gradients": options.gradients, **hub}
    made = record_checkpoint(options.model, inputs, options.source, **named)
    made.save(options.output)
    count = sum(map(is_gradient, made.stages))
    also = f" and {count} gradients" if count else ""
    tokens = made.real_tokens().sum()
    print(
        f"{options.output}: {len(made.stages) - count} stages{also}, {tokens} real tokens, "
        f"{made.provenance['dtype']}, by {made.provenance['tools']}"
    )
    return 0


def _inspect(options: Namespace) -> int:
    inspection = inspect(folder_of(options.folder, options))
    print(inspection)
    return 1 if inspection.problems else 0
