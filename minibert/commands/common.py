"""What commands share: a checkpoint as an argument, by folder or Hub id."""

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from minibert.checkpoint.hub import find_folder


def add_checkpoint(parser: ArgumentParser, name: str, **how: Any) -> None:
    """Let a command take a checkpoint, and of a Hub id what from_pretrained takes."""
    about = "a folder or a Hub id; default: the embedded checkpoint"
    parser.add_argument(name, **{"help": about, **how})
    hub = parser.add_argument_group("if it is a Hub id", "a token is taken from HF_TOKEN")
    hub.add_argument("--revision", help="a branch, a tag or a commit; default: main")
    hub.add_argument(
        "--cache-dir", metavar="DIR", help="where it is kept; default: as HF_HOME says"
    )
    hub.add_argument("--local-files-only", action="store_true", help="take what is kept, or fail")


def hub_options(options: Namespace) -> dict[str, Any]:
    """Return what a command was told of the Hub."""
    return {name: getattr(options, name) for name in ("revision", "cache_dir", "local_files_only")}


def folder_of(name: str | os.PathLike[str], options: Namespace, *more: str) -> Path:
    """Return the folder of a checkpoint, with more of WANTS than its config and weights."""
    return find_folder(name, ("config", "weights", *more), hub_options(options))[0]


def model_of(options: Namespace) -> Path | None:
    """Return the folder of a task's model, or None."""
    return options.model and folder_of(options.model, options, "tokenizer", "sentence")
