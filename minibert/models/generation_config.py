"""How a text is written: the fields of generation_config.json, their defaults, what is refused.

Names, defaults and the file are those of transformers. None stands for what nobody has set.
"""

import json
import os
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from minibert.checkpoint.files import read_json, visible
from minibert.checkpoint.hub import find_folder
from minibert.checkpoint.layout import GENERATION_NAME
from minibert.checkpoint.writing import make_folder, replace_file
from minibert.models import rules
from minibert.models.config import setting
from minibert.runtime.spelling import Spelled, nearest
from minibert.runtime.warn import warn

Config = TypeVar("Config", bound="GenerationConfig")

_SIZE, _COUNT = rules.or_null(rules.SIZE), rules.or_null(rules.NATURAL)
_FLAG, _SHARE = rules.or_null(rules.FLAG), rules.or_null(rules.PROBABILITY)
_POSITIVE, _TOKEN = rules.or_null(rules.POSITIVE), rules.or_null(rules.NATURAL)
_TOKENS = rules.or_null(rules.TOKEN_IDS)
_LISTS = rules.or_null(
    rules.Rule(
        lambda v: isinstance(v, list) and v != [] and all(x != [] and _are_ids(x) for x in v),
        "a list of words, each a list of token ids",
    )
)


def _are_ids(value: Any) -> bool:
    return isinstance(value, list) and rules.TOKEN_IDS.holds(value)


@dataclass(init=False, repr=False, eq=False)
class GenerationConfig(Spelled):
    """What ``generate`` does where its arguments do not say otherwise.

    ValueError for a value that is not allowed, TypeError for a keyword that is no field. Unknown
    fields of a file are kept and written back. What another library does with a field that is not
    computed here is refused by ``generate``, not by reading.
    """

    # how many tokens; those of the prompt, padding among them, count in a length
    max_length: int | None = setting(None, _SIZE)
    max_new_tokens: int | None = setting(None, _SIZE)
    min_length: int = setting(None, _COUNT)
    min_new_tokens: int | None = setting(None, _COUNT)
    # which way
    do_sample: bool = setting(None, _FLAG)
    num_beams: int = setting(None, _SIZE)
    num_return_sequences: int = setting(None, _SIZE)
    use_cache: bool = setting(None, _FLAG)
    # beams
    early_stopping: bool | str = setting(None, rules.one_of(True, False, "never", None))
    length_penalty: float = setting(None, rules.or_null(rules.number(-10, 10)))
    # samples
    temperature: float = setting(None, _POSITIVE)
    top_k: int = setting(None, _COUNT)  # 0: all
    top_p: float = setting(None, _SHARE)
    min_p: float | None = setting(None, _SHARE)
    # which words may come
    repetition_penalty: float = setting(None, _POSITIVE)
    no_repeat_ngram_size: int = setting(None, _COUNT)
    bad_words_ids: list[list[int]] | None = setting(None, _LISTS)
    suppress_tokens: list[int] | None = setting(None, _TOKENS)
    begin_suppress_tokens: list[int] | None = setting(None, _TOKENS)
    forced_bos_token_id: int | None = setting(None, _TOKEN)
    forced_eos_token_id: int | list[int] | None = setting(None, _TOKENS)
    # tokens with a meaning
    bos_token_id: int | None = setting(None, _TOKEN)
    eos_token_id: int | list[int] | None = setting(None, _TOKENS)
    pad_token_id: int | None = setting(None, _TOKEN)
    decoder_start_token_id: int | None = setting(None, _TOKEN)
    # what is returned
    return_dict_in_generate: bool = setting(None, _FLAG)
    output_scores: bool = setting(None, _FLAG)

    def __init__(self, **values: Any) -> None:
        self._fill(values)
        for name in values.keys() - self.names() - UNSUPPORTED.keys():
            raise TypeError(self.no_field("GenerationConfig", name))

    def _fill(self, values: Mapping[str, Any]) -> None:
        for name, value in {**dict.fromkeys(self.names()), **values}.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        rule = {f.name: f.metadata["rule"] for f in fields(self)}.get(name, rules.UNKNOWN)
        if isinstance(value, np.generic | np.ndarray):
            value = value.tolist()
        if rule is rules.UNKNOWN and (name.startswith("__") or name in dir(type(self))):
            raise ValueError(f"a generation config cannot have a field {name!r:.80}")
        if not rule.holds(value):
            raise ValueError(f"{name} is {reprlib.repr(value)}; allowed: {rule.allowed}")
        super().__setattr__(name, value)

    @classmethod
    def names(cls) -> set[str]:
        """Return the names of the fields that are used."""
        return {f.name for f in fields(cls)}

    @classmethod
    def no_field(cls, title: str, name: str, *more: str) -> str:
        """Return the sentence for a name that is no field, with the nearest that is."""
        known = sorted({*cls.names(), *more})
        near = nearest(name, known) or f". It takes {', '.join(known)}"
        return f"{title} has no argument {name[:80]!r}{near}"

    @classmethod
    def from_dict(cls: type[Config], values: Mapping[str, Any]) -> Config:
        """Return the config of these values; unknown ones are kept."""
        config = cls.__new__(cls)
        config._fill(values)
        return config

    @classmethod
    def from_pretrained(cls: type[Config], name: str | os.PathLike[str], **options: Any) -> Config:
        """Read generation_config.json of a folder or a Hub id; keywords override it.

        options: see BertModel.from_pretrained. OSError if it is not there, ValueError for what is
        in it.
        """
        folder, overrides = find_folder(name, ("config", "generation"), options)
        path = folder / GENERATION_NAME
        values = read_json(path)
        harmless = cls.names() | UNSUPPORTED.keys() | HARMLESS
        unknown = sorted(key for key in values.keys() - harmless if not key.startswith("_"))
        if unknown:
            told = ", ".join(visible(name, 30) for name in unknown[:8])
            warn(f"{str(path)!r} has fields that change nothing here: {told}; they are kept")
        for key in overrides.keys() - cls.names() - UNSUPPORTED.keys():
            raise TypeError(cls.no_field("GenerationConfig", key))
        try:
            return cls.from_dict({**values, **overrides})
        except ValueError as error:
            raise ValueError(f"{str(path)!r}: {error}") from None

    @classmethod
    def from_model_config(cls: type[Config], config: Any) -> Config:
        """Return what the config of a model says of generation, as it did before there was a file.

        ValueError for a value that is not allowed.
        """
        known, given = cls.names() | UNSUPPORTED.keys(), config.to_dict()
        known -= {"output_attentions", "output_hidden_states"}  # of the model's own calls
        values = {name: given[name] for name in known if given.get(name) is not None}
        if given.get("force_bos_token_to_be_generated") and "forced_bos_token_id" not in values:
            values["forced_bos_token_id"] = given.get("bos_token_id")
        return cls.from_dict(values)

    def merged(self, options: Mapping[str, Any]) -> "GenerationConfig":
        """Return these settings with others put over them, and transformers' defaults under them.

        Of a length and a number of new tokens, the one that is passed counts. ValueError for a
        setting of this config that is not computed here.
        """
        values = self.to_dict()
        for length, count in (("max_length", "max_new_tokens"), ("min_length", "min_new_tokens")):
            if options.get(length) is not None:
                values.pop(count, None)
        told = {name: value for name, value in options.items() if value is not None}
        values = {**DEFAULTS, **values, **told}
        for name, (harmless, what) in UNSUPPORTED.items():
            if not any(values.get(name) == value for value in (None, False, *harmless)):
                plain = harmless[0] if harmless else False
                raise ValueError(
                    f"{name} is {reprlib.repr(values[name])}: {what} is not computed here; "
                    f"leave it out, or pass {name}={plain!r}"
                )
        return self.from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        """Return what is set."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def to_json_string(self) -> str:
        """Return sorted JSON of what is set."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write generation_config.json into a folder, made if need be; whole or not at all."""
        make_folder(Path(folder))
        replace_file(Path(folder) / GENERATION_NAME, self.to_json_string().encode())

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.to_dict() == getattr(other, "to_dict", dict)()

    __hash__ = None  # type: ignore[assignment]  # it can change


#: What counts where nobody has said anything. A length of None: 20 new tokens.
DEFAULTS: dict[str, Any] = {
    **{"min_length": 0, "do_sample": False, "num_beams": 1, "num_return_sequences": 1},
    **{"use_cache": True, "early_stopping": False, "length_penalty": 1.0, "temperature": 1.0},
    **{"top_k": 50, "top_p": 1.0, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0},
    **{"return_dict_in_generate": False, "output_scores": False},
}
#: Fields of transformers that would change what is written -> values that do not, what they do.
UNSUPPORTED: dict[str, tuple[tuple[Any, ...], str]] = {
    "typical_p": ((1.0,), "typical sampling"),
    "epsilon_cutoff": ((0.0,), "epsilon sampling"),
    "eta_cutoff": ((0.0,), "eta sampling"),
    "top_h": ((), "top-H sampling"),
    "penalty_alpha": ((0.0,), "contrastive search"),
    "num_beam_groups": ((1,), "search with groups of beams"),
    "diversity_penalty": ((0.0,), "search with groups of beams"),
    "dola_layers": ((), "DoLa"),
    "guidance_scale": ((1,), "guidance without a classifier"),
    "sequence_bias": ((), "a bias of sequences"),
    "encoder_no_repeat_ngram_size": ((0,), "forbidding what the source says"),
    "encoder_repetition_penalty": ((1.0,), "a penalty for other words than the source's"),
    "exponential_decay_length_penalty": ((), "a penalty that grows with the length"),
    "renormalize_logits": ((), "normalising scores again"),
    "remove_invalid_values": ((), "replacing scores that are no numbers"),
    "constraints": ((), "forcing words"),
    "force_words_ids": ((), "forcing words"),
    "watermarking_config": ((), "a watermark"),
    "token_healing": ((), "mending the last token of a prompt"),
    "stop_strings": ((), "stopping at a text"),
    "max_time": ((), "a limit of time"),
    "prompt_lookup_num_tokens": ((), "guessing from the prompt"),
    "assistant_early_exit": ((), "guessing with a smaller model"),
    "use_mtp": ((), "guessing several tokens"),
    "output_logits": ((), "returning the scores before they are changed"),
    "output_attentions": ((), "returning what each step looked at"),
    "output_hidden_states": ((), "returning the states of each step"),
}
#: Fields of transformers that change no token: of memory, of speed, of what wrote the file.
HARMLESS = {
    *("transformers_version", "cache_implementation", "cache_config", "max_cache_len"),
    *("low_memory", "prefill_chunk_size", "compile_config", "disable_compile", "is_assistant"),
    *("num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold"),
    *("max_matching_ngram_size", "assistant_lookbehind", "target_lookbehind", "speculation_type"),
    *("assistant_ensemble_weight", "continuous_batching_config", "trust_remote_code"),
}
