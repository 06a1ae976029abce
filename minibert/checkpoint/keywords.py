"""The keywords of transformers' from_pretrained that have no effect here, each with its reason.

A value that asks for nothing else than what is done anyway is accepted; for any other there is a
sentence, because to drop it in silence would be to guess.
"""

from collections.abc import Callable, Mapping
from typing import Any

from minibert.checkpoint.files import visible

Accepts = Callable[[Any], bool]


def _off(value: Any) -> bool:
    return value is None or value is False or value == {}


def _flag(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _any(value: Any) -> bool:
    return True


def _one_of(*values: Any) -> Accepts:
    return lambda value: value is None or str(value) in values


def _on_cpu(value: Any) -> bool:
    places = value.values() if isinstance(value, Mapping) else [value]
    return all(str(x) in ("None", "cpu", "auto", "balanced", "sequential") for x in places)


_CPU = "NumPy computes on the CPU alone"
_ATTENTION = ("eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3")
_FORMS = "safetensors are read where they are there, else pytorch_model.bin, and no code is run"
_QUANTIZED = "the arithmetic is float32 or float64, never quantized"
_LATER = "load the model, and then look at its"
_FOLDER = "pass the path of the folder that holds the files"
#: Keyword -> which values change nothing, and what there is in place of all others.
_KEYWORDS: dict[str, tuple[Accepts, str]] = {
    # where and how it is computed
    "attn_implementation": (
        _one_of(*_ATTENTION),
        f"there is one attention, which computes what all of these do: {', '.join(_ATTENTION)}",
    ),
    **dict.fromkeys(("device_map", "device"), (_on_cpu, _CPU)),
    **dict.fromkeys(("tp_plan", "tp_size", "device_mesh", "distributed_config"), (_off, _CPU)),
    **dict.fromkeys(("low_cpu_mem_usage", "_fast_init", "offload_state_dict"), (_flag, "")),
    **dict.fromkeys(("max_memory", "offload_folder", "offload_buffers"), (_any, "")),
    **dict.fromkeys(("load_in_8bit", "load_in_4bit", "quantization_config"), (_off, _QUANTIZED)),
    "use_kernels": (_off, _CPU),
    # what is read
    "trust_remote_code": (_flag, ""),  # none is ever run
    **dict.fromkeys(("code_revision", "mirror", "resume_download", "proxies"), (_any, "")),
    "use_safetensors": (lambda value: value in (None, True), _FORMS),
    "weights_only": (lambda value: value in (None, True), _FORMS),
    **dict.fromkeys(("from_tf", "from_flax"), (_off, "convert it with transformers first")),
    **dict.fromkeys(("gguf_file", "variant", "adapter_kwargs"), (_off, _FORMS)),
    "use_auth_token": (_off, "it is called token= now"),
    "subfolder": (lambda value: not value, _FOLDER),
    **dict.fromkeys(("tokenizer_file", "vocab_file"), (_off, _FOLDER)),
    "state_dict": (_off, f"save the tensors into a folder with its config.json; {_FOLDER}"),
    "key_mapping": (_off, "rename the tensors in the file"),
    # what is returned
    "config": (_off, "pass what is to differ as keywords, as num_labels=3"),
    "generation_config": (_off, "pass to generate what it is to do"),
    "output_loading_info": (_off, f"{_LATER} loading_report"),
    "return_unused_kwargs": (_off, "a keyword that is no field is refused"),
    "add_pooling_layer": (lambda value: value is True, f"{_LATER} last_hidden_state alone"),
    # of tokenizers
    **dict.fromkeys(("use_fast", "from_slow", "legacy"), (_flag, "")),
    "tokenizer_type": (_one_of("bert", "gpt2", "bart", "roberta"), "no other tokenizer is there"),
    "backend": (_one_of("tokenizers"), "there is no other"),
}


def without_effect(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options without those of transformers that would change nothing.

    TypeError, with what to do, for one that asks for something else.
    """
    for name, value in options.items():
        accepts, instead = _KEYWORDS.get(name, (_any, ""))
        if not accepts(value):
            told = instead or "True, False and None change nothing"
            raise TypeError(
                f"{name}={visible(repr(value), 80)} is of transformers and not here: {told}"
            )
    return {name: value for name, value in options.items() if name not in _KEYWORDS}
