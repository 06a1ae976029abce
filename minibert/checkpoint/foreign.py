"""What others leave where a checkpoint is looked for: what it is, and what makes it readable."""

import os
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from minibert.checkpoint.files import first_of, read_json, visible
from minibert.checkpoint.layout import CONFIG_NAME, weights_in_force

_WITH_VERSION_4 = "open it in transformers 4 with {}=True, and save it with save_pretrained()"
_EXPORTED = "take the checkpoint that it was exported from"
#: Patterns of file names -> what such a file is, and the way to what can be read; None: of no use.
FOREIGN: dict[str, tuple[str, str] | None] = {
    "adapter_config.json": (
        "an adapter, which changes another model{}",
        "open that model with it in peft, call merge_and_unload() and then save_pretrained()",
    ),
    "adapter_model.*": None,  # goes with its config
    "bert_config.json": (
        "the config of a model as Google published it",
        f"rename it to {CONFIG_NAME}",
    ),
    "*.ckpt.index": ("a TensorFlow checkpoint", _WITH_VERSION_4.format("from_tf")),
    "*.h5": ("a TensorFlow model", _WITH_VERSION_4.format("from_tf")),
    "*.msgpack": ("a Flax model", _WITH_VERSION_4.format("from_flax")),
    "*.pb": ("a TensorFlow graph", _EXPORTED),
    "*.tflite": ("a TensorFlow Lite graph", _EXPORTED),
    "*.onnx": ("a graph for ONNX Runtime", _EXPORTED),
    "openvino_model.*": ("a graph for OpenVINO", _EXPORTED),
    "*.mlmodel": ("a Core ML model", _EXPORTED),
    "*.gguf": ("a model for llama.cpp", _EXPORTED),
    "*.ot": ("a model for rust-bert", _EXPORTED),
    "training_args.bin": None,
    "optimizer.*": None,
    "scheduler.*": None,
    "rng_state*": None,
    "*.safetensors": (
        "a file of tensors",
        "rename it to model.safetensors if they are the model's",
    ),
    **dict.fromkeys(
        ("*.bin", "*.pt", "*.pth", "*.ckpt"),
        ("a PyTorch file", "rename it to pytorch_model.bin if it has the model's weights"),
    ),
}
#: Models whose tensors have BERT's names and are computed with in another way.
OTHER_MODELS = (
    *("roberta", "xlm_roberta", "camembert", "longformer", "electra", "mpnet", "luke", "ernie"),
    *("layoutlm", "layoutlmv2", "markuplm", "nezha", "esm", "data2vec_text", "rembert", "splinter"),
    *("nystromformer", "mra", "yoso", "convbert", "mobilebert", "xmod", "big_bird", "roformer"),
)


def what_is_there(folder: Path) -> str:
    """Say what of others lies in a folder, as the end of a sentence; "" if nothing is known."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries)
    base = _base_of_adapter(folder) if "adapter_config.json" in names else ""
    inside = [n for n in names if n[0] != "." and weights_in_force(folder / n)][:1]
    said = [f"; a checkpoint is in its folder {visible(name, 80)!r}: open that" for name in inside]
    return "".join([foreign_among(names, base), *said])


def foreign_among(names: Iterable[str], base: str = "") -> str:
    """Say what of others is among the names of files, as the end of a sentence."""
    said: dict[tuple[str, str], str] = {}
    for name in sorted(names):
        matching = (FOREIGN[p] for p in FOREIGN if fnmatch(name.rpartition("/")[2], p))
        if kind := next(matching, None):
            said.setdefault(kind, f"{visible(name, 80)!r} is {kind[0].format(base)}: {kind[1]}")
    return "".join(f"; {sentence}" for sentence in first_of([*said.values()], 3))


def _base_of_adapter(folder: Path) -> str:
    try:
        found = read_json(folder / "adapter_config.json").get("base_model_name_or_path")
    except (OSError, ValueError):
        found = None
    return f", {visible(found, 80)!r}" if found else ""


def refuse_other_models(prefix: str) -> None:
    """ValueError if the prefix of the names is that of a model that is computed in another way."""
    if found := [step for step in prefix.split(".") if step in OTHER_MODELS]:
        raise ValueError(
            f"the names of the tensors begin with {visible(prefix, 80)!r}: these are the weights "
            f"of {found[0]}, which has names of BERT and computes something else"
        )


def foreign_code(config: Mapping[str, Any], known: str) -> str:
    """Say which class the config names that the pattern does not; "" if there is none."""
    said = []
    code = config.get("auto_map")
    if isinstance(code, dict):
        code = {key: code[key] for key in code if not str(key).startswith("AutoTokenizer")}
    if code:
        said.append(f"auto_map {visible(code, 200)}, code of its own that is not run here")
    names = config.get("architectures")
    names = [str(name) for name in names] if isinstance(names, list) else []
    if names and not any(re.fullmatch(known, name) for name in names):
        others = [visible(name, 80) for name in first_of(names, 3)]
        said.append(f"the architecture {', '.join(others)}")
    return " and ".join(said)
