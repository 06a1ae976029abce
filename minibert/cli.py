"""The command line: verify, compare, record, inspect, and the tasks."""

import argparse
import io
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minibert.checkpoint.files import lines_of, require_folder, visible, write_whole
from minibert.data import EMBEDDED_CHECKPOINT, REFERENCE_NAME, shipped_references


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0 if all is well, 1 if something differs, 2 if it could not run."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.command(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"minibert {options.name}: {error}", file=sys.stderr)
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="minibert", description="BERT in NumPy, and its proof.")
    commands = parser.add_subparsers(dest="name", required=True)
    _add_checks(commands)
    _add_record(commands)
    _add_tasks(commands)
    return parser


def _add_checks(commands: Any) -> None:
    verify = commands.add_parser("verify", help="compare a checkpoint's stages with a reference")
    verify.set_defaults(command=_verify)
    about = "a folder or a Hub id; default: the embedded checkpoint"
    verify.add_argument("folder", nargs="?", default=EMBEDDED_CHECKPOINT, help=about)
    verify.add_argument(
        "--reference",
        metavar="FILE",
        help=f"a file, or the name of one that is shipped; default: FOLDER/{REFERENCE_NAME}",
    )
    verify.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    _add_report_options(verify)
    compare = commands.add_parser("compare", help="compare two recordings of the same inputs")
    compare.set_defaults(command=_compare)
    compare.add_argument("first", metavar="A", help="a reference file")
    compare.add_argument("second", metavar="B", help="another")
    about = "a checkpoint with their weights: it shows which side is wrong, and where"
    compare.add_argument("--model", metavar="FOLDER", help=about)
    _add_report_options(compare)
    inspect = commands.add_parser("inspect", help="show a checkpoint's config and tensors")
    inspect.set_defaults(command=_inspect)
    inspect.add_argument("folder", nargs="?", default=EMBEDDED_CHECKPOINT)


def _add_record(commands: Any) -> None:
    record = commands.add_parser("record", help="record a checkpoint's stages, as a reference")
    record.set_defaults(command=_record)
    record.add_argument("model", nargs="?", default=EMBEDDED_CHECKPOINT, help="a folder or Hub id")
    record.add_argument(
        "--inputs",
        nargs="+",
        default=[],
        metavar="TEXT_OR_FILE",
        help="texts, a tab between the two of a pair; or one file: .txt (a text a line), .json, "
        ".npz, .safetensors or .pt with input_ids, ...; default: three sentences",
    )
    record.add_argument("-o", "--output", required=True, type=Path, metavar="FILE")
    record.add_argument(
        "--from", dest="source", default="minibert", choices=["minibert", "transformers"]
    )
    record.add_argument("--dtype", default="float64", choices=["float32", "float64"])


def _add_report_options(parser: Any) -> None:
    about = "require |ours - theirs| <= atol + rtol * |theirs| too; default"
    parser.add_argument("--atol", type=float, help=f"{about} 1e-5 if rtol is given")
    parser.add_argument("--rtol", type=float, help=f"{about} 1e-3 if atol is given")
    parser.add_argument("--json", action="store_true", help="print data instead of a table")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the report as a page, too")
    parser.add_argument("--stages", nargs="+", help="show the errors of these by token on the page")


def _add_tasks(commands: Any) -> None:
    def task(name: str, command: Any, about: str, *arguments: str) -> Any:
        parser = commands.add_parser(name, help=about)
        parser.set_defaults(command=command)
        for argument in arguments:
            parser.add_argument(argument)
        parser.add_argument(
            "--model", help="a folder or a Hub id; default: the embedded checkpoint"
        )
        return parser

    fill = task("fill-mask", _fill_mask, "likely words for each [MASK]", "text")
    fill.add_argument("--top-k", type=int, default=5)
    fill.add_argument("--targets", nargs="+", help="compare these words only")
    task("next-sentence", _next_sentence, "does a text follow another?", "first", "second")
    classify = task("classify", _classify, "the labels of a text, or of a pair", "text")
    classify.add_argument("text_pair", nargs="?")
    tag = task("tag", _tag, "the label of each word", "text")
    tag.add_argument("--aggregation", default="first", choices=["first", "average", "max"])
    about = "the answer to a question in a context"
    answer = task("answer", _answer, about, "question", "context")
    answer.add_argument("--no-answer", action="store_true", help="there may be none")
    embed = task("embed", _embed, "vectors of the lines of a file, as .npy")
    embed.add_argument("file", nargs="?", help="default: standard input")
    embed.add_argument("-o", "--output", required=True, type=Path, metavar="FILE.npy")
    embed.add_argument("--pooling", choices=["mean", "cls", "max"], help="default: as the model")
    embed.add_argument("--normalize", action=argparse.BooleanOptionalAction, help="to length 1")
    embed.add_argument("--batch-size", type=int, default=32)


def _folder(name: str | os.PathLike[str]) -> Path:
    from minibert.checkpoint.hub import find_folder

    return find_folder(name, ("config", "weights"), {})[0]


def _verify(options: argparse.Namespace) -> int:
    from minibert.models.bert import BertModel
    from minibert.verification import Reference, verify

    folder = _folder(options.folder)
    path = _reference_path(folder, options.reference)
    model = BertModel.from_pretrained(folder, dtype=options.dtype)
    reference = Reference.load(path, model.config.num_hidden_layers)
    report = verify(model, reference, options.atol, options.rtol)
    return _report(report, options, folder, reference.inputs)


def _compare(options: argparse.Namespace) -> int:
    from minibert.models.bert import BertModel
    from minibert.verification import Reference, compare_recordings

    first, second = Reference.load(options.first), Reference.load(options.second)
    model = BertModel.from_pretrained(options.model) if options.model else None
    report = compare_recordings(first, second, model, options.atol, options.rtol)
    return _report(report, options, options.model, first.inputs)


def _report(report: Any, options: argparse.Namespace, folder: Any, inputs: Any) -> int:
    from minibert.verification.table import table, wants_colour

    if options.stages and not options.html:
        raise ValueError("--stages says what the page shows: say --html FILE, too")
    known = [row.stage for row in report.rows]
    if unknown := [name for name in options.stages or () if name not in known]:
        raise ValueError(f"--stages: no stage {unknown[0]!r} was compared; {', '.join(known)} were")
    if options.html:
        from minibert.verification.page import page, token_texts

        ids = inputs.get("input_ids")
        tokens = token_texts(folder, ids) if folder and ids is not None and ids.ndim == 2 else None
        write_whole(options.html, page(report, tokens, options.stages).encode())
    if options.json:
        print(json.dumps(report.to_dict(), indent=2))
    else:
        print(table(report, wants_colour(sys.stdout)))
    return 0 if report.ok else 1


def _reference_path(folder: Path, given: str | None) -> Path:
    shipped = shipped_references()
    if given is None:
        path = require_folder(folder) / REFERENCE_NAME
        if not path.exists():
            raise FileNotFoundError(
                f"there is no {REFERENCE_NAME} in {str(folder)!r}: say which reference to use "
                f"with --reference FILE; shipped with minibert: {', '.join(shipped)}"
            )
        return path
    return Path(given) if Path(given).exists() else shipped.get(given, Path(given))


def _record(options: argparse.Namespace) -> int:
    from minibert.verification.inputs import read_inputs
    from minibert.verification.record import record_checkpoint

    require_folder(options.output.parent)  # before the work, not after it
    inputs = read_inputs(options.inputs, options.model)
    made = record_checkpoint(options.model, inputs, options.source, options.dtype)
    made.save(options.output)
    print(
        f"{options.output}: {len(made.stages)} stages, {made.real_tokens().sum()} real tokens, "
        f"{made.provenance['dtype']}, by {made.provenance['tools']}"
    )
    return 0


def _inspect(options: argparse.Namespace) -> int:
    from minibert.models.inspect import inspect

    inspection = inspect(_folder(options.folder))
    print(inspection)
    return 1 if inspection.problems else 0


def _fill_mask(options: argparse.Namespace) -> int:
    from minibert.tasks import fill_mask

    found = fill_mask(options.text, options.top_k, options.targets, options.model)
    for mask in found if isinstance(found[0], list) else [found]:
        for word in mask:
            print(
                f"{word['score']:.3f}  {visible(word['token_str']):16}  {visible(word['sequence'])}"
            )
    return 0


def _next_sentence(options: argparse.Namespace) -> int:
    from minibert.tasks import next_sentence

    for name, score in next_sentence(options.first, options.second, options.model).items():
        print(f"{score:.3f}  {visible(name)}")
    return 0


def _classify(options: argparse.Namespace) -> int:
    from minibert.tasks import classify

    for label in classify(options.text, options.text_pair, options.model):
        print(f"{label['score']:.3f}  {visible(label['label'])}")
    return 0


def _tag(options: argparse.Namespace) -> int:
    from minibert.tasks import tag

    for word in tag(options.text, options.aggregation, options.model):
        print(f"{word['score']:.3f}  {visible(word['label']):16}  {visible(word['word'])}")
    return 0


def _answer(options: argparse.Namespace) -> int:
    from minibert.tasks import answer

    found = answer(options.question, options.context, options.no_answer, model=options.model)
    print(f"{found['score']:.3f}  {visible(found['answer'] or '(no answer)')}")
    return 0


def _embed(options: argparse.Namespace) -> int:
    from minibert.tasks import embed

    require_folder(options.output.parent)  # before the work, not after it
    name = options.file or "standard input"
    content = Path(options.file).read_bytes() if options.file else sys.stdin.buffer.read()
    if not content:
        raise ValueError(f"{name} has no line to embed")
    vectors = embed(
        lines_of(content, name),
        options.pooling,
        options.normalize,
        options.batch_size,
        options.model,
    )
    array = io.BytesIO()
    np.save(array, vectors)
    write_whole(options.output, array.getvalue())
    print(f"{options.output}: {vectors.shape[0]} vectors of {vectors.shape[1]}, {vectors.dtype}")
    return 0
