"""Writing a tokenizer's files, as transformers and this package read them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minibert.checkpoint.files import make_folder, write_whole
from minibert.tokenizers.files import CONFIG_NAME, TOKENIZER_NAME, VOCAB_NAME
from minibert.tokenizers.tokenizer_json import write_tokenizer_json

if TYPE_CHECKING:
    from minibert.tokenizers.bert import BertTokenizer


def save_tokenizer(tokenizer: "BertTokenizer", folder: Path) -> tuple[str, ...]:
    """Write tokenizer_config.json, tokenizer.json and vocab.txt; return where they are.

    vocab.txt is left out if it cannot hold the vocabulary: it has a line for each id from 0, and
    no added tokens. tokenizer.json holds all.
    """
    make_folder(folder)
    files = {CONFIG_NAME: _json(_config(tokenizer)), TOKENIZER_NAME: _json(_tokenizer(tokenizer))}
    lines = _vocab_lines(tokenizer.wordpiece.vocab)
    if lines is None:
        (folder / VOCAB_NAME).unlink(missing_ok=True)
    else:
        files[VOCAB_NAME] = "".join(f"{line}\n" for line in lines)
    for name, content in files.items():
        write_whole(folder / name, content.encode())
    return tuple(str(folder / name) for name in files)


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def _config(tokenizer: "BertTokenizer") -> dict[str, Any]:
    normalizer = tokenizer.normalizer
    config = {
        **tokenizer.special_tokens_map,
        "clean_up_tokenization_spaces": tokenizer.clean_up_tokenization_spaces,
        "do_lower_case": normalizer.lowercase,
        "model_max_length": tokenizer.model_max_length,
        "padding_side": tokenizer.padding_side,
        "strip_accents": normalizer.strip_accents,
        "tokenize_chinese_chars": normalizer.handle_chinese_chars,
        "tokenizer_class": "BertTokenizer",
        "truncation_side": tokenizer.truncation_side,
    }
    return dict(sorted(config.items()))


def _tokenizer(tokenizer: "BertTokenizer") -> dict[str, Any]:
    wordpiece = tokenizer.wordpiece
    model = {
        "unk_token": wordpiece.unk_token,
        "continuing_subword_prefix": wordpiece.prefix,
        "max_input_chars_per_word": wordpiece.max_chars,
        "vocab": dict(sorted(wordpiece.vocab.items(), key=lambda item: item[1])),
    }
    return write_tokenizer_json(
        model,
        tokenizer.normalizer,
        tokenizer.added_tokens_decoder,
        tokenizer.template,
        tokenizer.decoder_cleanup,
    )


def _vocab_lines(vocab: Any) -> list[str] | None:
    tokens = sorted(vocab, key=vocab.__getitem__)
    whole = [vocab[token] for token in tokens] == list(range(len(tokens)))
    same = all(token == token.strip() and len(token.splitlines()) < 2 for token in tokens)
    return tokens if whole and same else None
