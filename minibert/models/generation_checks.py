"""What is asked of generate, checked before anything is run: a sentence for what cannot be."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert import arguments
from minibert.models.generation_config import DEFAULTS, UNSUPPORTED, GenerationConfig
from minibert.runtime.arrays import Integers, number_array

NEW = 20  # tokens, where nobody says how many
_SAMPLING = ("temperature", "top_k", "top_p", "min_p")
_BEAMS = ("length_penalty", "early_stopping", "output_scores")


def ends_of(settings: GenerationConfig) -> list[int]:
    """Return the tokens that end a text."""
    found = settings.eos_token_id
    ends: list[int] = np.atleast_1d([] if found is None else found).tolist()
    return [int(token) for token in ends]


def prompts_of(
    input_ids: Any, attention_mask: Any, settings: GenerationConfig, vocab_size: int
) -> tuple[Integers, NDArray[np.bool_]]:
    """Return the ids that are given, (B, T), and which of them are no padding."""
    if input_ids is None:
        if settings.bos_token_id is None:
            raise ValueError("there is no bos_token_id to begin with: pass input_ids")
        input_ids = [[settings.bos_token_id]]
    elif (array := number_array("input_ids", input_ids)).size == 0:
        begin = (
            "; leave it out to begin with bos_token_id" if settings.bos_token_id is not None else ""
        )
        what = f"input_ids is empty: its shape is {array.shape}"
        raise ValueError(f"{what}. There is no token to go on from{begin}")
    ids = arguments.indices("input_ids", input_ids, vocab_size, "vocab_size")
    mask, allowed = arguments.mask(attention_mask, ids.shape)
    if allowed is not None:
        raise ValueError("attention_mask has an axis for queries; to generate it is (B, T)")
    if attention_mask is None and settings.pad_token_id not in (None, *ends_of(settings)):
        mask = ids != settings.pad_token_id
    if not mask.any(axis=1).all():
        row = int(mask.any(axis=1).argmin())
        raise ValueError(f"prompt {row} is padding alone: there is nothing to go on from")
    return ids, mask


def settings_of(
    base: GenerationConfig, options: dict[str, Any], seed: int | None, vocab_size: int
) -> GenerationConfig:
    """Return all settings; TypeError or ValueError for options that are none, or do nothing."""
    others = ("input_ids", "attention_mask", "generation_config", "streamer", "seed", "progress")
    for name in options.keys() - GenerationConfig.names() - UNSUPPORTED.keys():
        raise TypeError(GenerationConfig.no_field("generate", name, *others))
    settings = base.merged(options)
    told = {
        name: value for name, value in options.items() if value not in (None, DEFAULTS.get(name))
    }
    useless = [n for n in _SAMPLING if n in told] + ["seed"] * (seed is not None)
    if useless and not settings.do_sample:
        hint = "pass do_sample=True, too, or leave it out"
        raise ValueError(f"{useless[0]} does nothing unless words are drawn: {hint}")
    useless = [n for n in _BEAMS if n in told]
    if useless and settings.num_beams == 1:
        raise ValueError(
            f"{useless[0]} does nothing without beams: pass num_beams, or leave it out"
        )
    for pair in (("max_length", "max_new_tokens"), ("min_length", "min_new_tokens")):
        if told.keys() >= {*pair}:
            raise ValueError(f"{pair[0]} and {pair[1]} say the same in two ways: pass one of them")
    if seed is not None and seed < 0:
        raise ValueError(f"seed is {seed}; allowed: whole numbers from 0 on")
    _check_number_of_texts(settings)
    _check_words(settings, vocab_size)
    return settings


def _check_number_of_texts(settings: GenerationConfig) -> None:
    texts, beams = settings.num_return_sequences, settings.num_beams
    if beams == 1 < texts and not settings.do_sample:
        what = "the likeliest words make one text; pass do_sample=True, or num_beams"
        raise ValueError(f"num_return_sequences is {texts}: {what}")
    if 1 < beams < texts:
        raise ValueError(f"num_return_sequences is {texts}; allowed: 1 to num_beams, {beams}")


def _check_words(settings: GenerationConfig, vocab_size: int) -> None:
    """Raise ValueError for words to force or to forbid that the model does not have."""
    forced = {n: getattr(settings, n) for n in ("forced_bos_token_id", "forced_eos_token_id")}
    words = {name: [] if word is None else word for name, word in forced.items()}
    words["bad_words_ids"] = [token for word in settings.bad_words_ids or () for token in word]
    for name, ids in words.items():
        if wrong := [token for token in np.atleast_1d(ids).tolist() if token >= vocab_size]:
            allowed = f"0 to {vocab_size - 1} (vocab_size is {vocab_size})"
            raise ValueError(f"{name} has {wrong[0]}; allowed: {allowed}")


def count_of(
    settings: GenerationConfig,
    options: dict[str, Any],
    prompts: Integers,
    mask: NDArray[np.bool_],
    positions: int,
) -> int:
    """Return how many words are written at most; ValueError if the model has no more positions."""
    length, longest = prompts.shape[1], int(mask.sum(axis=1).max())
    of_model = f"this model has positions for {positions} (max_position_embeddings)"
    name = "max_new_tokens" if settings.max_new_tokens is not None else "max_length"
    count: int = min(NEW, positions - length)
    if settings.max_new_tokens is not None:
        count = settings.max_new_tokens
    elif settings.max_length is not None:
        count = settings.max_length - length
        if count < 1:
            what = f"max_length is {settings.max_length}, and the prompts are {length} tokens long"
            raise ValueError(f"{what}: pass a larger one, or max_new_tokens")
    elif count < 1:
        raise ValueError(f"the prompts are {length} tokens long; {of_model}: cut them")
    if longest + count > positions:
        what = f"a prompt of {longest} tokens and {name}={getattr(settings, name)}"
        raise ValueError(f"{what} make {longest + count}; {of_model}")
    least = settings.min_length - length
    least = least if settings.min_new_tokens is None else settings.min_new_tokens
    if least > count and options.keys() & {"min_length", "min_new_tokens"}:
        raise ValueError(
            f"at least {least} words are to come, and at most {count}: pass a larger max_new_tokens"
        )
    return count
