"""A tokenizer's folder: tokenizer.json, or a vocabulary with tokenizer_config.json."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from minibert.checkpoint.files import read_json, visible
from minibert.checkpoint.limits import MAX_TOKENIZER_BYTES
from minibert.checkpoint.writing import make_folder, replace_file
from minibert.runtime.warn import warn
from minibert.tokenizers.added import AddedToken
from minibert.tokenizers.config_json import (
    TOKENIZER_CONFIG_NAME,
    added_tokens_in,
    class_in,
    read_config,
    settings_in,
    special_tokens_in,
)
from minibert.tokenizers.encoding import Template
from minibert.tokenizers.fields import naming
from minibert.tokenizers.forms import Form
from minibert.tokenizers.settings import TOKEN_NAMES, Settings
from minibert.tokenizers.tokenizer_json import from_json, to_json
from minibert.tokenizers.vocabulary import check_ids, next_id

TOKENIZER_NAME = "tokenizer.json"


def read_tokenizer(folder: Path, overrides: Mapping[str, Any], form: Form) -> dict[str, Any]:
    """Return the vocabulary and the settings in a folder, as keywords of the class.

    ``overrides`` count before what the files say, and what these leave open is as in transformers;
    whether to lower-case is told by BERT's vocabulary if there is nothing else. A warning tells of
    what the files disagree on or leave open. OSError for missing files, ValueError for wrong ones.
    """
    config = read_config(folder, form)
    is_own = class_in(folder, config, form) in form.classes
    with naming(folder / TOKENIZER_CONFIG_NAME):
        said = settings_in(config, form)
        added = added_tokens_in(folder, config)
        special = special_tokens_in(config)
    path = folder / TOKENIZER_NAME
    if path.exists():
        file = read_json(path, MAX_TOKENIZER_BYTES)
        with naming(path):
            found = from_json(file, form)
        if not (is_own and "added_tokens_decoder" in config):
            added |= found["added_tokens"]
        settled = _settle(folder, said, found, overrides, form, is_own)
        keywords = {**found, **said, **settled}
    else:
        silent = "do_lower_case" not in {**said, **overrides}
        keywords = {**said, **form.read_vocabulary(folder, silent)}
    with naming(folder):
        keywords["added_tokens"] = _with_special(folder, keywords["vocab"], added, special)
    return {**keywords, **overrides}


def _settle(
    folder: Path,
    said: Mapping[str, Any],
    found: Mapping[str, Any],
    overrides: Mapping[str, Any],
    form: Form,
    is_own: bool,
) -> dict[str, Any]:
    """Return the settings that both files may hold; warn where those that count are overruled.

    is_own: whether the class is of the form; others take what tokenizer.json says.
    """
    default = vars(form.settings())
    by_config = {name: said.get(name, default[name]) for name in form.settled}
    by_file = {name: found[name] for name in form.settled}
    compared = [name for name in form.settled if name not in overrides and (is_own or name in said)]
    shown = [form.shown({**default, **said, **values}) for values in (by_config, by_file)]
    differ = [n for n in compared if by_config[n] != by_file[n] and shown[0][n] != shown[1][n]]
    if differ:
        one, other = (visible(", ".join(f"{n}={s[n]}" for n in differ), 350) for s in shown)
        first, second = TOKENIZER_CONFIG_NAME, TOKENIZER_NAME
        warn(
            f"the files in {str(folder)!r} disagree: {first} has {one} (said, or by default), "
            f"{second} has {other}; as in transformers, {first if is_own else second} counts. "
            f"Pass {differ[0]}= to from_pretrained to say it"
        )
    return by_config if is_own else by_file


def _with_special(
    folder: Path,
    vocab: Mapping[str, int],
    added: Mapping[int, AddedToken],
    special: Iterable[AddedToken],
) -> dict[int, AddedToken]:
    """Return the added tokens and the special ones, which get new ids if they have none.

    The tokens that stand around every text must be in the vocabulary.
    """
    check_ids(vocab, added)
    tokens, new = dict(added), []
    ids = {**vocab, **{token.content: number for number, token in added.items()}}
    after = next_id(ids) - 1
    present = {token.content for token in added.values()}
    for token in special:
        if token.content in present:
            continue
        if token.content not in ids:
            new.append(token.content)
            ids[token.content] = after = after + 1
        present.add(token.content)
        tokens[ids[token.content]] = token
    if new:
        warn(
            f"the files in {str(folder)!r} name special tokens that have no id: "
            f"{visible(', '.join(new), 200)}. They get the next ones, from {ids[new[0]]}, as in "
            "transformers; a model needs a row of word embeddings for each"
        )
    return tokens


def write_tokenizer(
    folder: Path, vocab: Mapping[str, int], settings: Settings, template: Template, form: Form
) -> tuple[str, ...]:
    """Write tokenizer_config.json, tokenizer.json and the vocabulary; return where they are.

    Older files of the vocabulary are left out if they cannot hold it; tokenizer.json holds all.
    """
    make_folder(folder)
    values = {
        TOKENIZER_CONFIG_NAME: _config_of(settings, template, form),
        TOKENIZER_NAME: to_json(vocab, settings, template, form),
    }
    files = {k: json.dumps(v, indent=2, ensure_ascii=False) + "\n" for k, v in values.items()}
    for name, content in form.write_vocabulary(vocab, settings).items():
        if content:
            files[name] = content
        else:
            (folder / name).unlink(missing_ok=True)
    for name, content in files.items():
        replace_file(folder / name, content.encode())
    return tuple(str(folder / name) for name in files)


def _config_of(settings: Settings, template: Template, form: Form) -> dict[str, Any]:
    """Return what tokenizer_config.json holds.

    The class is the form's own if its defaults are what tokenizer.json alone would say.
    """
    names = sorted({*form.config_fields} - {"max_len"})
    config = {name: getattr(settings, name) for name in names}
    config["model_input_names"] = [*settings.model_input_names]
    default, now = vars(form.settings()), {**vars(settings), "template": template}
    is_own = form.shown({**default, **config}) == form.shown(now)
    special = {token.content for token in settings.added_tokens.values() if token.special}
    config["extra_special_tokens"] = sorted(special - {config[name] for name in TOKEN_NAMES})
    config["tokenizer_class"] = form.own_class if is_own else "PreTrainedTokenizerFast"
    return config
