"""The command line: ``minibert verify`` and ``minibert inspect``."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from minibert.checkpoint.files import require_folder
from minibert.checkpoint.source import EMBEDDED_CHECKPOINT

REFERENCE_NAME = "reference.safetensors"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0 if all is well, 1 if something differs, 2 if it could not run."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.command(options)
    except (ValueError, TypeError, OSError) as error:
        print(f"minibert {options.name}: {error}", file=sys.stderr)
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="minibert", description="BERT in NumPy, and its proof.")
    commands = parser.add_subparsers(dest="name", required=True)
    verify = commands.add_parser("verify", help="compare a checkpoint's stages with a reference")
    verify.set_defaults(command=_verify)
    verify.add_argument(
        "folder", nargs="?", type=Path, default=EMBEDDED_CHECKPOINT, help="default: the embedded"
    )
    verify.add_argument(
        "--reference",
        metavar="FILE",
        help=f"a file, or the name of one that is shipped; default: FOLDER/{REFERENCE_NAME}",
    )
    verify.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    verify.add_argument("--atol", type=float, help="absolute tolerance, default 1e-5")
    verify.add_argument("--rtol", type=float, help="relative tolerance, default 1e-3")
    verify.add_argument("--json", action="store_true", help="print data instead of a table")
    inspect = commands.add_parser("inspect", help="show a checkpoint's config and tensors")
    inspect.set_defaults(command=_inspect)
    inspect.add_argument("folder", nargs="?", type=Path, default=EMBEDDED_CHECKPOINT)
    return parser


def _verify(options: argparse.Namespace) -> int:
    from minibert.models.bert import BertModel
    from minibert.verification.reference import Reference
    from minibert.verification.run import verify

    reference = Reference.load(_reference_path(options.folder, options.reference))
    model = BertModel.from_pretrained(options.folder, dtype=options.dtype)
    given = {"atol": options.atol, "rtol": options.rtol}
    tolerance = {name: value for name, value in given.items() if value is not None}
    report = verify(model, reference, **tolerance)
    print(json.dumps(report.to_dict(), indent=2) if options.json else report)
    return 0 if report.ok else 1


def _reference_path(folder: Path, given: str | None) -> Path:
    from minibert.verification.reference import shipped_references

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


def _inspect(options: argparse.Namespace) -> int:
    from minibert.inspection import inspect

    inspection = inspect(options.folder)
    print(inspection)
    return 1 if inspection.problems else 0
