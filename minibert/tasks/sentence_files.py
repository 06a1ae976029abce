"""A folder of sentence-transformers: from its files to modules and settings.

modules.json lists a Transformer, whose files may lie in a folder of their own, and what turns the
states of its tokens into one vector. What is not known here is refused by name: without it the
vectors would be others.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from minibert.checkpoint.files import read_json, read_json_list, visible
from minibert.checkpoint.layout import is_name
from minibert.checkpoint.load import open_weights
from minibert.functions import gelu, relu, sigmoid, silu, tanh
from minibert.runtime.arrays import Array
from minibert.tasks.sentence import (
    POOLINGS,
    SENTENCE,
    TOKENS,
    Dense,
    Module,
    Normalize,
    Pooling,
    SentenceSettings,
)

CONFIG_NAME = "config_sentence_transformers.json"
Function = Callable[[Array], Array]
#: The keys of a Pooling before sentence-transformers 5, in the order in which vectors are joined.
_POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_ACTIVATIONS: dict[str, Function] = {
    **{"Identity": lambda x: x, "Sigmoid": sigmoid, "Tanh": tanh},
    **{"ReLU": relu, "GELU": gelu, "SiLU": silu},
}
#: What a Transformer's own file may say besides, for it changes no number of a BERT.
_SAME = {
    "transformer_task": ("feature-extraction",),
    "module_output_name": (TOKENS,),
    "modality_config": (
        {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    ),
    "unpad_inputs": (True, False),
    "backend": ("torch",),
}


def read_settings(folder: str | os.PathLike[str]) -> SentenceSettings:
    """Read modules.json and what it names; the defaults if there is none.

    ValueError for a module, or a setting of one, that is not known here.
    """
    path = Path(folder) / "modules.json"
    if not path.exists():
        return SentenceSettings(folder=path.parent)
    first, *others = [_located(path, module) for module in read_json_list(path)] or [("", path)]
    if first[0] != "Transformer":
        raise ValueError(f"{str(path)!r} begins with the module {first[0]!r}, not a Transformer")
    if unknown := [kind for kind, _ in others if kind not in _READERS]:
        after = f"known after a Transformer: {', '.join(_READERS)}"
        raise ValueError(f"{str(path)!r} has the unknown module {unknown[0]!r}; {after}")
    if "Pooling" not in [kind for kind, _ in others]:
        raise ValueError(f"{str(path)!r} has no Pooling: nothing makes one vector of a text")
    modules = tuple(_READERS[kind](place) for kind, place in others)
    for module in modules:
        if isinstance(module, Pooling):
            break
        if module.reads == SENTENCE:
            found = f"has a {type(module).__name__} before the Pooling"
            raise ValueError(f"{str(path)!r} {found}, which makes the {SENTENCE} that it reads")
    own = _read_transformer(first[1])
    return SentenceSettings(modules, first[1], *own, *_read_config(path.with_name(CONFIG_NAME)))


def _located(path: Path, module: Any) -> tuple[str, Path]:
    """Return the class of a module, without the package's name, and its folder."""
    module = module if isinstance(module, dict) else {}
    kind, name = module.get("type"), module.get("path")
    if not isinstance(kind, str) or not kind.startswith("sentence_transformers."):
        found = f"{str(path)!r} has the unknown module {kind!r:.80}"
        raise ValueError(f"{found}; allowed: classes of sentence_transformers")
    if name != "" and not is_name(name):
        raise ValueError(f"{str(path)!r} names the folder {name!r:.80}; allowed: one beside it")
    return visible(kind.rpartition(".")[2], 80), path.parent / name


def _read(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def _setting(config: dict[str, Any], name: str, default: Any, allowed: Iterable[Any]) -> Any:
    """Return a setting of a file that is one of a few; ValueError that names it for another."""
    value = config.get(name, default)
    choices = [default, *allowed]
    if not any(value == choice and type(value) is type(choice) for choice in choices):
        words = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} of a module is {value!r:.80}; known: {words}")
    return value


def _read_transformer(folder: Path) -> tuple[int | None, bool]:
    """Return how many tokens of a text are read, and whether it is lower-cased before."""
    path = folder / "sentence_bert_config.json"
    config = _read(path)
    limit = config.pop("max_seq_length", None)
    if limit is not None and (type(limit) is not int or limit < 3):
        raise ValueError(f"{str(path)!r} has max_seq_length {limit!r:.80}; needed: 3 or more")
    lowercase = config.pop("do_lower_case", False)
    if not isinstance(lowercase, bool):
        raise ValueError(f"{str(path)!r} has do_lower_case {lowercase!r:.80}; needed: true, false")
    for name, value in config.items():
        if value not in (None, {}, *_SAME.get(name, ())):
            raise ValueError(f"{str(path)!r} has {name!r:.80}: {value!r:.200}, which is not known")
    return limit, lowercase


def _read_config(path: Path) -> tuple[str, int | None]:
    """Return the prompt and the size of the vectors, as said for the whole folder."""
    config = _read(path)
    prompts, name, size = (
        config.get(k) for k in ("prompts", "default_prompt_name", "truncate_dim")
    )
    if size is not None and (type(size) is not int or size < 1):
        raise ValueError(f"{str(path)!r} has truncate_dim {size!r:.80}; needed: 1 or more, or null")
    if not isinstance(prompts, dict | None):
        raise ValueError(f"{str(path)!r} has prompts {prompts!r:.80}; needed: a text for each name")
    # as there, two are known to every model, and null is no prompt
    known = {None: "", "query": "", "document": "", **(prompts or {})}
    prompt = (known[name] or "") if isinstance(name, str | None) and name in known else None
    if not isinstance(prompt, str):
        raise ValueError(f"{str(path)!r} has no text for its default_prompt_name {name!r:.80}")
    return prompt, size


def _read_pooling(folder: Path) -> Pooling:
    path = folder / "config.json"
    config = read_json(path)
    said = {key: on for key, on in config.items() if key.startswith("pooling_mode_")}
    modes = config.get("pooling_mode", [_POOLING_KEYS.get(key, key) for key in said if said[key]])
    modes = [modes] if isinstance(modes, str) else modes
    if not isinstance(modes, list) or not modes or any(mode not in POOLINGS for mode in modes):
        known = ", ".join(POOLINGS)
        raise ValueError(f"{str(path)!r} pools by {modes!r:.200}; known: one or more of {known}")
    if "pooling_mode" not in config:
        modes = [mode for mode in _POOLING_KEYS.values() if mode in modes]
    return Pooling(tuple(modes), _setting(config, "include_prompt", True, [False]))


def _read_normalize(folder: Path) -> Normalize:
    return Normalize(_reads(_read(folder / "config.json")))


def _reads(config: dict[str, Any]) -> str:
    """Return the feature that a module reads, and writes."""
    name: str = _setting(config, "module_input_name", SENTENCE, [TOKENS])
    _setting(config, "module_output_name", None, [name])
    return name


def _read_dense(folder: Path) -> Dense:
    config = read_json(folder / "config.json")
    weights = open_weights(folder)
    tensors = {name: tensor.read(np.float32) for name, tensor in weights.tensors.items()}
    size = tuple(config.get(key) for key in ("out_features", "in_features"))
    shapes = {"linear.weight": size}
    if _setting(config, "bias", True, [False]):
        shapes["linear.bias"] = size[:1]
    adds = _setting(config, "use_residual", False, [True])
    if adds and size[0] != size[1]:
        shapes["residual.weight"] = size
    found = {name: tensor.shape for name, tensor in tensors.items()}
    if found != shapes:
        where = repr(str(weights.files[0]))
        raise ValueError(f"{where} has {found!s:.300}; its config.json says {shapes!s:.300}")
    weight = tensors["linear.weight"]
    bias = tensors.get("linear.bias", np.zeros(len(weight), np.float32))
    residual = tensors.get("residual.weight", np.eye(*weight.shape, dtype=np.float32))
    name = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    return Dense(_reads(config), weight, bias, activation(name), residual if adds else None)


_READERS: dict[str, Callable[[Path], Module]] = {
    "Pooling": _read_pooling,
    "Dense": _read_dense,
    "Normalize": _read_normalize,
}


def activation(name: Any) -> Function:
    """Return the function of a class of torch.nn, by its full name; ValueError for another."""
    package, _, kind = name.rpartition(".") if isinstance(name, str) else ("", "", "")
    if not package.startswith("torch.nn") or kind not in _ACTIVATIONS:
        known = ", ".join(_ACTIVATIONS)
        raise ValueError(f"the activation function {name!r:.80} is not known; of torch.nn: {known}")
    return _ACTIVATIONS[kind]


def score_activation(folder: Path | None, config: Any) -> Function | None:
    """Return what a cross-encoder's files say is done to its logits; None if they say nothing."""
    name = _read(folder / CONFIG_NAME).get("activation_fn") if folder else None
    nested = getattr(config, "sentence_transformers", None)
    name = nested.get("activation_fn") if name is None and isinstance(nested, dict) else name
    name = getattr(config, "sbert_ce_default_activation_function", None) if name is None else name
    return None if name is None else activation(name)
