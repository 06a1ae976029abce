"""What to record a checkpoint on: texts, or arrays in a file."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minibert.checkpoint.files import lines_of, read_json, require_file, visible
from minibert.models.auto import AutoTokenizer
from minibert.runtime.arrays import number_array
from minibert.tasks.common import arrays_of
from minibert.verification.names import split_names
from minibert.verification.recordings import read_recording

#: The default. Their lengths differ, so that there is padding, and one has two segments.
TEXTS = ("The capital of France is Paris.", "Anna is in the garden.\tShe walks.", "It is red!")
FILES = (".txt", ".json", ".npz", ".safetensors", ".pt", ".pth", ".bin")


def read_inputs(
    given: Sequence[str], checkpoint: str | os.PathLike[str], **options: Any
) -> dict[str, Any]:
    """Return the arguments of a model's call, as arrays by name.

    given: texts, a tab between the two of a pair, for the checkpoint's own tokenizer, padded to the
    longest; or one file, known by its ending: .txt (a text a line), .json (an object of lists:
    input_ids, ...), .npz, .safetensors, .pt, .pth, .bin (arrays of these names; a recording will
    do, its stages are left aside). ``TEXTS`` where nothing is given. OSError for a file or a
    tokenizer that is not there; ValueError or TypeError for what cannot be used.
    options: of the checkpoint, if it is a Hub id, as in from_pretrained.
    """
    files = [text for text in given if Path(text).suffix in FILES]
    if not files:
        return _tokenized(given or TEXTS, checkpoint, options)
    if len(given) > 1:
        raise ValueError(f"{files[0]!r} is a file, and there is more: give one file, or texts")
    path = require_file(Path(files[0]))
    if path.suffix == ".txt":
        return _tokenized(lines_of(path.read_bytes(), str(path)), checkpoint, options)
    if path.suffix == ".json":
        found = {
            name: number_array(visible(name, 80), lists) for name, lists in read_json(path).items()
        }
    else:
        found, _ = split_names(read_recording(path)[0])
    if not found:
        raise ValueError(f"{str(path)!r} has no input_ids or other inputs in it")
    return found


def _tokenized(
    texts: Sequence[str], checkpoint: str | os.PathLike[str], options: dict[str, Any]
) -> dict[str, Any]:
    try:
        tokenizer = AutoTokenizer.from_pretrained(checkpoint, **options)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}. Without one, give a file with input_ids") from None
    pairs: list[Any] = [tuple(text.split("\t")) if "\t" in text else text for text in texts]
    for text in texts:
        if (tabs := text.count("\t")) > 1:
            raise ValueError(f"the text {text[:80]!r} has {tabs} tabs; allowed: 1")
    with warnings.catch_warnings():  # of what is too long: the model refuses it in a sentence
        warnings.simplefilter("ignore")
        return dict(arrays_of(tokenizer, pairs))
