"""tokenizer_config.json, and the files beside it that say the same.

Every field is used, known to change nothing here, refused, or named in a warning.
"""

from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any

from minibert.checkpoint.files import read_json, visible
from minibert.checkpoint.layout import CONFIG_NAME
from minibert.runtime.warn import warn
from minibert.tokenizers.added import AddedToken
from minibert.tokenizers.fields import naming, typed, typed_list
from minibert.tokenizers.forms import Form
from minibert.tokenizers.settings import EXTRA_NAMES, TOKEN_NAMES
from minibert.tokenizers.tokenizer_json import read_added_token

TOKENIZER_CONFIG_NAME = "tokenizer_config.json"
_TOKENS_MAP_NAME = "special_tokens_map.json"
_ADDED_NAME = "added_tokens.json"

# read elsewhere, or without effect on the fast tokenizer of transformers
_OTHERS = set(
    """
    tokenizer_class added_tokens_decoder extra_special_tokens additional_special_tokens auto_map
    name_or_path special_tokens_map_file tokenizer_file vocab_file from_slow use_fast backend
    is_local local_files_only files_loaded init_inputs verbose processor_class chat_template
    do_basic_tokenize never_split max_length max_seq_length stride truncation truncation_strategy
    padding pad_to_multiple_of pad_token_type_id add_prefix_space add_bos_token add_eos_token
    errors model_type transformers_version _commit_hash full_tokenizer_file trust_remote_code
    cache_dir revision return_offsets_mapping legacy mecab_kwargs sudachi_kwargs jumanpp_kwargs
""".split()  # noqa: SIM905
)

# the classes that do what any tokenizer.json says
ANY_CLASSES = {"PreTrainedTokenizer", "TokenizersBackend"}


def read_config(folder: Path, form: Form) -> dict[str, Any]:
    """Return what tokenizer_config.json says; ValueError for what is not allowed.

    Without an added_tokens_decoder, the older special_tokens_map.json counts before it.
    """
    config: dict[str, Any] = {}
    for path in (folder / TOKENIZER_CONFIG_NAME, folder / _TOKENS_MAP_NAME):
        if path.exists() and "added_tokens_decoder" not in config:
            said = read_json(path)
            with naming(path):
                _check(said, form)
                extra = [*_listed(config), *_listed(said)]
            config |= {**said, EXTRA_NAMES[0]: extra, EXTRA_NAMES[1]: None}
            if unknown := [name for name in said if not _is_known(name, form)]:
                class_in(folder, config, form)  # of another kind, that is what is to be said
                shown = visible(", ".join(unknown), 200)
                warn(f"{str(path)!r} has fields that are unknown here and not used: {shown}")
    return config


def _check(said: Mapping[str, Any], form: Form) -> None:
    for name, kinds in form.config_fields.items():
        if name in said:
            typed(said, name, None, *kinds)
    typed_list(said, "model_input_names", str)
    for name, allowed in form.allowed.items():
        if said.get(name) not in allowed:
            found, needed = f"{name} is {said[name]!r:.60}", ", ".join(map(repr, allowed))
            raise ValueError(f"{found}; {form.title} has one of: {needed}")


def _is_known(name: str, form: Form) -> bool:
    known = name in form.config_fields or name in form.allowed
    return known or name in _OTHERS or name.endswith("_token")


def _listed(config: Mapping[str, Any]) -> list[Any]:
    """Return the special tokens without a role, which are in a list, or in an object by name."""
    found: list[Any] = []
    for name in EXTRA_NAMES:
        value = typed(config, name, None, list, dict, NoneType) or []
        entries = [*value.values()] if isinstance(value, dict) else value
        found += typed_list({name: entries}, name, str, dict)
    return found


def settings_in(config: Mapping[str, Any], form: Form) -> dict[str, Any]:
    """Return the settings that a config says, as keywords of the class."""
    said = {name: config[name] for name in form.config_fields if name in config}
    older = said.pop("max_len", None)
    said = {k: _content(v) for k, v in said.items() if v is not None or k in form.null_is_said}
    return said if older is None else {"model_max_length": older, **said}


def _content(value: Any) -> Any:
    return typed(value, "content", None, str) if isinstance(value, dict) else value


def special_tokens_in(config: Mapping[str, Any]) -> list[AddedToken]:
    """Return the special tokens that a config names, those with a role first."""
    roles = [*TOKEN_NAMES, *(k for k in config if k.endswith("_token") and k not in TOKEN_NAMES)]
    found = [*(config.get(role) for role in roles), *_listed(config)]
    entries = [{"content": e, "normalized": False} if isinstance(e, str) else e for e in found]
    return [read_added_token({**e, "special": True}) for e in entries if isinstance(e, dict)]


def added_tokens_in(folder: Path, config: Mapping[str, Any]) -> dict[int, AddedToken]:
    """Return the added tokens by id, as two generations of files wrote them."""
    if "added_tokens_decoder" in config:
        try:
            decoder = typed(config, "added_tokens_decoder", None, dict)
            return {int(number): read_added_token(entry) for number, entry in decoder.items()}
        except ValueError as error:
            raise ValueError(f"added_tokens_decoder cannot be read: {error}") from None
    path = folder / _ADDED_NAME
    ids = read_json(path) if path.exists() else {}
    special = {token.content for token in special_tokens_in(config)}
    if not all(type(number) is int for number in ids.values()):
        raise ValueError(f"{_ADDED_NAME} has an id that is no whole number")
    return {number: AddedToken(t, special=t in special) for t, number in ids.items()}


def class_in(folder: Path, config: Mapping[str, Any], form: Form) -> str:
    """Return the class of a tokenizer, without "Fast"; ValueError if it is not of the form."""
    path, said = folder / TOKENIZER_CONFIG_NAME, config
    if said.get("tokenizer_class") is None and (folder / CONFIG_NAME).exists():
        path, said = folder / CONFIG_NAME, read_json(folder / CONFIG_NAME)
    with naming(path):
        found = typed(said, "tokenizer_class", None, str, NoneType) or form.own_class
        if found.removesuffix("Fast") not in form.classes | ANY_CLASSES:
            needed = f"{form.own_class}, or PreTrainedTokenizerFast with a tokenizer.json of "
            other = f"which splits words in another way than {form.name}"
            needed = f"{needed}{form.name}'s form"
            raise ValueError(f"the tokenizer_class is {found!r:.60}, {other}; allowed: {needed}")
    if config.get("auto_map") is not None:
        warn(
            f"{str(folder / TOKENIZER_CONFIG_NAME)!r} names code of its own (auto_map), which is "
            f"not run: the texts are split as {found} does it"
        )
    return found.removesuffix("Fast")
