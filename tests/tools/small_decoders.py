"""The smallest files of GPT-2, of BART and of byte-level tokenizers, all of them right."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from minibert import (
    BartConfig,
    BartForConditionalGeneration,
    BartForQuestionAnswering,
    BartForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2ForTokenClassification,
    GPT2LMHeadModel,
    RobertaTokenizer,
)
from minibert.checkpoint.torchwriter import write_torch
from minibert.tokenizers import AddedToken

sys.path.append(str(Path(__file__).parents[1] / "support"))

from byte_pairs import small_tokenizer

ENDS = ("<s>", "</s>", "<pad>", "<unk>", "<mask>")
BART = {"d_model": 4, "encoder_layers": 1, "decoder_layers": 2, "max_position_embeddings": 24}
BART |= {f"{side}_ffn_dim": 6 for side in ("encoder", "decoder")}
BART |= {f"{side}_attention_heads": 2 for side in ("encoder", "decoder")}
SIZES = {"n_embd": 4, "n_layer": 2, "n_head": 2, "n_inner": 6, "n_positions": 24}
MASK = {"content": "<mask>", "lstrip": True, "special": True}
TOKENS: dict[str, Any] = {
    **{"add_prefix_space": True, "trim_offsets": True, "errors": "replace", "mask_token": MASK},
    **{"bos_token": "<s>", "unk_token": {"content": "<unk>"}, "pad_token": None},
    **{"model_max_length": 30, "model_input_names": ["input_ids"], "padding_side": "left"},
    **{"additional_special_tokens": ["<x>"], "clean_up_tokenization_spaces": False},
    "tokenizer_class": "RobertaTokenizer",
}
ADDED = {"2": {"content": "#", "lstrip": True}, "300": {"content": "x y", "single_word": True}}
GENERATION = {
    **{"max_length": 20, "max_new_tokens": 5, "min_new_tokens": 1, "eos_token_id": [2, 7]},
    **{"pad_token_id": 0, "bos_token_id": 1, "decoder_start_token_id": 1, "do_sample": False},
    **{"num_beams": 2, "length_penalty": 0.5, "early_stopping": "never", "temperature": 0.7},
    **{"top_k": 3, "top_p": 0.9, "min_p": 0.1, "repetition_penalty": 1.2},
    **{"no_repeat_ngram_size": 2, "bad_words_ids": [[3], [4, 5]], "forced_bos_token_id": 3},
    **{"forced_eos_token_id": 2, "num_return_sequences": 1, "use_cache": True},
    "transformers_version": "4.51.2",
}


def write_decoders(folder: Path) -> None:
    """Write all the files, each under a name of its own."""
    tokenizers = {
        "gpt2": small_tokenizer(model_max_length=20),
        "roberta": small_tokenizer(RobertaTokenizer, ENDS, model_max_length=20),
    }
    for name, tokenizer in tokenizers.items():
        tokenizer.add_tokens(["<x>", AddedToken("new york", rstrip=True)])
        tokenizer.save_pretrained(folder / name)
        (folder / name / "tokenizer.json").rename(folder / f"{name}_tokenizer.json")
        (folder / name / "tokenizer_config.json").rename(folder / f"{name}_tokens.json")
        vocab = json.dumps(tokenizer.get_vocab())
        (folder / f"{name}_vocab.json").write_text(vocab)
    merges = "".join(f"{a} {b}\n" for a, b in tokenizers["gpt2"].merges)
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}", "utf-8")
    config = GPT2Config(vocab_size=len(tokenizers["gpt2"]), num_labels=2, **SIZES)
    _write_gpt2(folder, config)
    reader = tokenizers["roberta"]
    ids = {"pad_token_id": reader.pad_token_id, "bos_token_id": reader.bos_token_id}
    ends = ("eos_token_id", "decoder_start_token_id", "forced_eos_token_id")
    ids |= dict.fromkeys(ends, reader.eos_token_id)
    bart = BartConfig(vocab_size=len(reader), num_labels=2, **ids, **BART)
    _write_bart(folder, bart)
    older = {"normalize_before": False, "add_final_layer_norm": False, "num_hidden_layers": 1}
    older |= {"static_position_embeddings": False, "no_repeat_ngram_size": 3, "prefix": " "}
    old = {"n_ctx": 24, "summary_type": "cls_index", "summary_activation": None}
    values = {
        "gpt2.json": config.to_dict() | old | {"eos_token_id": [2, 261], "pad_token_id": 3},
        "bart.json": bart.to_dict() | older | {"forced_bos_token_id": 0},
        "roberta.json": TOKENS | {"added_tokens_decoder": ADDED},
        "roberta_map.json": {name: TOKENS[name] for name in TOKENS if "token" in name},
        "roberta_added.json": {"newer": 301, "<x>": 270},
        "generation_config.json": GENERATION,
    }
    for name, value in values.items():
        (folder / name).write_text(json.dumps(value))


def _write_gpt2(folder: Path, config: GPT2Config) -> None:
    """Write a checkpoint as it was saved before transformers 4.31: q, k, v in one; buffers."""
    arrays = GPT2LMHeadModel(config).state_dict()
    for head in (GPT2ForSequenceClassification, GPT2ForTokenClassification):
        arrays |= head(config).state_dict()
    before = np.tril(np.ones((1, 1, 24, 24), np.uint8))
    buffers: dict[str, Any] = {}
    for i in range(config.n_layer):
        buffers[f"transformer.h.{i}.attn.bias"] = before
        buffers[f"transformer.h.{i}.attn.masked_bias"] = np.array(-1e4, np.float32)
    save_file({**arrays, **buffers}, folder / "gpt2.safetensors")
    write_torch(folder / "gpt2.bin", {k: v.astype("f4") for k, v in {**arrays, **buffers}.items()})


def _write_bart(folder: Path, config: BartConfig) -> None:
    arrays = BartForConditionalGeneration(config).state_dict()
    for head in (BartForQuestionAnswering, BartForSequenceClassification):
        arrays |= head(config).state_dict()
    save_file(arrays, folder / "bart.safetensors")
