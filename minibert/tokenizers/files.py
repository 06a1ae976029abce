"""A tokenizer's folder: tokenizer.json, or vocab.txt with tokenizer_config.json."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from minibert.checkpoint.files import (
    describe,
    lines_of,
    make_folder,
    read_json,
    read_limited,
    replace_file,
    require_file,
    visible,
)
from minibert.checkpoint.limits import MAX_TOKENIZER_BYTES
from minibert.runtime.warn import warn
from minibert.tokenizers.added import AddedToken
from minibert.tokenizers.characters import ALL_SPACES, lower
from minibert.tokenizers.config_json import (
    BERT_CLASSES,
    FIELDS,
    TOKENIZER_CONFIG_NAME,
    added_tokens_in,
    class_in,
    read_config,
    settings_in,
    special_tokens_in,
)
from minibert.tokenizers.encoding import Template
from minibert.tokenizers.fields import naming
from minibert.tokenizers.options import TOKEN_NAMES, Settings
from minibert.tokenizers.tokenizer_json import from_json, to_json
from minibert.tokenizers.vocabulary import check_ids, next_id

TOKENIZER_NAME = "tokenizer.json"
VOCAB_NAME = "vocab.txt"

# in transformers, BertTokenizer takes these from tokenizer_config.json, or its default; other
# classes take them from tokenizer.json
_BOTH = (
    *("do_lower_case", "strip_accents", "tokenize_chinese_chars", "clean_text", "unk_token"),
    *("prefix", "max_input_chars_per_word", "decoder_cleanup", "template"),
)
# as many of the whole words of a lower-cased vocabulary may have a capital: symbols, abbreviations
_FEW = 0.2


def read_tokenizer(folder: Path, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the vocabulary and the settings in a folder, as keywords of BertTokenizer.

    ``overrides`` count before what the files say, and what these leave open is as in transformers;
    whether to lower-case is told by the vocabulary if there is nothing else. A warning tells of
    what the files disagree on or leave open. OSError for missing files, ValueError for wrong ones.
    """
    config = read_config(folder)
    of_bert = class_in(folder, config) in BERT_CLASSES
    with naming(folder / TOKENIZER_CONFIG_NAME):
        said = settings_in(config)
        added = added_tokens_in(folder, config)
        special = special_tokens_in(config)
    path = folder / TOKENIZER_NAME
    if path.exists():
        file = read_json(path, MAX_TOKENIZER_BYTES)
        with naming(path):
            found = from_json(file)
        if not (of_bert and "added_tokens_decoder" in config):
            added |= found["added_tokens"]
        keywords = {**found, **said, **_settle(folder, said, found, overrides, of_bert)}
    else:
        keywords = {**said, "vocab": read_vocab(folder / VOCAB_NAME)}
        if "do_lower_case" not in {**said, **overrides}:
            keywords["do_lower_case"] = _infer_lower_case(folder, keywords["vocab"])
    with naming(folder):
        keywords["added_tokens"] = _with_special(folder, keywords["vocab"], added, special)
    return {**keywords, **overrides}


def _settle(
    folder: Path,
    said: Mapping[str, Any],
    found: Mapping[str, Any],
    overrides: Mapping[str, Any],
    of_bert: bool,
) -> dict[str, Any]:
    """Return the settings that both files may hold; warn where those that count are overruled."""
    default = vars(Settings(do_lower_case=True))
    by_config = {name: said.get(name, default[name]) for name in _BOTH}
    by_file = {name: found[name] for name in _BOTH}
    compared = [name for name in _BOTH if name not in overrides and (of_bert or name in said)]
    shown = [_shown({**default, **said, **values}) for values in (by_config, by_file)]
    differ = [n for n in compared if by_config[n] != by_file[n] and shown[0][n] != shown[1][n]]
    if differ:
        one, other = (visible(", ".join(f"{n}={s[n]}" for n in differ), 350) for s in shown)
        first, second = TOKENIZER_CONFIG_NAME, TOKENIZER_NAME
        warn(
            f"the files in {str(folder)!r} disagree: {first} has {one} (said, or by default), "
            f"{second} has {other}; as in transformers, {first if of_bert else second} counts. "
            f"Pass {differ[0]}= to from_pretrained to say it"
        )
    return by_config if of_bert else by_file


def _shown(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as a person compares them: what is left open is as it comes out."""
    accents, template = settings["strip_accents"], settings["template"]
    template = template or Template.of_bert(settings["cls_token"], 0, settings["sep_token"], 0)
    slots = [*template.single, *template.pair]
    names = ["AB"[s.text] if s.text is not None else "+".join(map(str, s.tokens)) for s in slots]
    places = " ".join(f"{name}:{slot.type_id}" for name, slot in zip(names, slots, strict=True))
    accents = settings["do_lower_case"] if accents is None else accents
    shown = {**settings, "strip_accents": accents, "template": places}
    return {name: f"{shown[name]!r:.120}" for name in _BOTH}


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
    folder: Path, vocab: Mapping[str, int], settings: Settings, template: Template
) -> tuple[str, ...]:
    """Write tokenizer_config.json, tokenizer.json and vocab.txt; return where they are.

    vocab.txt is left out if its lines cannot hold the vocabulary; tokenizer.json holds all.
    """
    make_folder(folder)
    values = {
        TOKENIZER_CONFIG_NAME: _config_of(settings, template),
        TOKENIZER_NAME: to_json(vocab, settings, template),
    }
    files = {k: json.dumps(v, indent=2, ensure_ascii=False) + "\n" for k, v in values.items()}
    tokens = sorted(vocab, key=vocab.__getitem__)
    has_no_gaps = [vocab[token] for token in tokens] == list(range(len(tokens)))
    if has_no_gaps and all(t == t.strip() and len(t.splitlines()) < 2 for t in tokens):
        files[VOCAB_NAME] = "".join(f"{token}\n" for token in tokens)
    else:
        (folder / VOCAB_NAME).unlink(missing_ok=True)
    for name, content in files.items():
        replace_file(folder / name, content.encode())
    return tuple(str(folder / name) for name in files)


def _config_of(settings: Settings, template: Template) -> dict[str, Any]:
    """Return what tokenizer_config.json holds.

    The class is BertTokenizer if its defaults are what tokenizer.json alone would say.
    """
    config = {name: getattr(settings, name) for name in sorted(FIELDS) if name != "max_len"}
    config["model_input_names"] = [*settings.model_input_names]
    default, now = vars(Settings(do_lower_case=True)), {**vars(settings), "template": template}
    shown = _shown({**default, **config}), _shown(now)
    names = {token.content for token in settings.added_tokens.values() if token.special}
    config["extra_special_tokens"] = sorted(names - {config[name] for name in TOKEN_NAMES})
    config["tokenizer_class"] = (
        "BertTokenizer" if shown[0] == shown[1] else "PreTrainedTokenizerFast"
    )
    return config


def read_vocab(path: Path) -> dict[str, int]:
    """Read one token a line; its id is the number of the line, from 0, the last if on several."""
    if not path.exists():
        raise FileNotFoundError(
            f"{str(path.parent)!r} has neither {TOKENIZER_NAME} nor {VOCAB_NAME}: "
            "no tokenizer of a BERT model is there"
        )
    if found := describe(require_file(path)):
        raise ValueError(f"{str(path)!r} is not a vocabulary: it looks like {found}")
    lines = lines_of(read_limited(path, MAX_TOKENIZER_BYTES, b"\n"), repr(str(path)))
    tokens = [line.rstrip(ALL_SPACES) for line in lines]
    repeated = [token for token, count in Counter(tokens).items() if count > 1]
    if special := [t for t in repeated if t.startswith("[") and t.endswith("]")]:
        raise ValueError(f"{str(path)!r} has the special token {special[0]!r:.60} on several lines")
    if repeated:
        found = f"{len(repeated)} token(s) on several lines, {repeated[0]!r:.60} for one"
        warn(f"{str(path)!r} has {found}; the last line counts")
    return {token: number for number, token in enumerate(tokens)}


def _infer_lower_case(folder: Path, vocab: Mapping[str, int]) -> bool:
    """Return whether nearly all of the whole words are in lower case; and warn."""
    words = [t for t in vocab if t.isalpha()]  # no pieces, no marks such as [CLS] and <s>
    lowered = ["".join(map(lower, word)) for word in words]
    cased = [word for word, small in zip(words, lowered, strict=True) if word != small]
    count = len(cased) + sum(word.upper() != word for word in {*words} - {*cased})
    is_lower = len(cased) < _FEW * count or not cased
    warn(
        f"the files in {str(folder)!r} do not say whether texts are lower-cased; {len(cased)} of "
        f"{count} words in the vocabulary have a capital letter, so do_lower_case={is_lower}. "
        "Pass do_lower_case=True or False to say it"
    )
    return is_lower
