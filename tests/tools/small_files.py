"""The smallest files of every kind that minibert opens, all of them right."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from small_decoders import write_decoders

from minibert import (
    BertConfig,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertTokenizer,
    Reference,
)
from minibert.tokenizers import AddedToken

TORCH = Path(__file__).parents[1] / "data" / "torch"
SIZES = {"vocab_size": 20, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2}
SIZES |= {"intermediate_size": 4, "max_position_embeddings": 16}
WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] the new a guitar plays paris . , ##s ##y known is café ü ["
MASK = {"content": "[MASK]", "lstrip": True, "special": True}
TOKENS: dict[str, Any] = {
    **{"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True},
    **{"unk_token": "[UNK]", "mask_token": MASK, "model_input_names": ["input_ids"]},
    **{"model_max_length": 40, "max_len": 30, "padding_side": "right", "auto_map": None},
    **{"additional_special_tokens": ["[X]", "a"], "extra_special_tokens": {"q": "the"}},
    "tokenizer_class": "BertTokenizer",
}
ADDED = {"5": {"content": "the", "lstrip": False}, "20": {"content": "ÄX", "normalized": True}}
MODULES = {"": "Transformer", "1_Pooling": "Pooling", "2_Dense": "Dense", "3_Norm": "Normalize"}
SENTENCE: dict[str, Any] = {
    "modules.json": [
        {"path": path, "type": f"sentence_transformers.models.{kind}"}
        for path, kind in MODULES.items()
    ],
    "sentence_bert_config.json": {"max_seq_length": 9, "do_lower_case": False, "backend": "torch"},
    "config_sentence_transformers.json": {
        **{"prompts": {"query": "the ", "none": None}, "default_prompt_name": "query"},
        **{"truncate_dim": 3, "activation_fn": "torch.nn.modules.activation.Sigmoid"},
    },
    "1_Pooling/config.json": {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
    "2_Dense/config.json": {
        **{"in_features": 4, "out_features": 4, "bias": True, "use_residual": False},
        "activation_function": "torch.nn.modules.activation.Tanh",
    },
    "3_Norm/config.json": {"module_input_name": "sentence_embedding"},
}


def write(folder: Path) -> None:
    """Write all the files."""
    model = BertForPreTraining(BertConfig(**SIZES))
    arrays = model.state_dict()
    model.save_pretrained(folder / "bin", safe_serialization=False)
    model.save_pretrained(folder)
    (folder / "bin/pytorch_model.bin").rename(folder / "pytorch_model.bin")
    for other in (BertForQuestionAnswering, BertForSequenceClassification):
        arrays |= other(model.config).state_dict()
    save_file(arrays, folder / "model.safetensors")
    shards = {name: f"{i % 2}.safetensors" for i, name in enumerate(arrays)}
    for shard in {*shards.values()}:
        save_file({name: arrays[name] for name in arrays if shards[name] == shard}, folder / shard)
    ids = {"input_ids": np.arange(6).reshape(2, 3), "attention_mask": np.array([[1, 1, 0]] * 2)}
    seen: dict[str, Any] = {}
    model(**ids, trace=seen)
    stages = {name: seen[name] for name in ("embeddings", "layer.0", "pooler")}
    np.savez(folder / "recording.npz", **ids, **stages)
    Reference(ids, stages, {"tools": "fuzz"}).save(folder / "recording.safetensors")
    (folder / "vocab.txt").write_text("\n".join(WORDS.split()) + "\n", encoding="utf-8")
    (folder / "inputs.txt").write_text("the guitar\nparis is\ta known\n")
    tokenizer = BertTokenizer.from_pretrained(folder, do_lower_case=True)
    tokenizer.add_tokens(["x y", AddedToken("ÄX", single_word=True, rstrip=True)])
    tokenizer.save_pretrained(folder)
    for name, value in _values(folder, model.config.to_dict(), shards, ids).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(value))
    dense = {"linear.weight": np.ones((4, 4), "f4"), "linear.bias": np.ones(4, "f4")}
    save_file(dense, folder / "2_Dense/model.safetensors")
    write_decoders(folder)
    for path in TORCH.iterdir():
        shutil.copy(path, folder)


def _values(
    folder: Path, config: dict[str, Any], shards: dict[str, str], ids: dict[str, Any]
) -> dict[str, Any]:
    """Return what the files of JSON hold, by name."""
    more = {"sentence_transformers": {"activation_fn": None}, "auto_map": {}, "pruned_heads": {}}
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    sides = {"direction": "Right", "pad_token": "[PAD]", "max_length": 9}
    return SENTENCE | {
        "config.json": config | more | {"tokenizer_class": None, "num_labels": 2},
        "adapter_config.json": {"base_model_name_or_path": "bert", "peft_type": "LORA"},
        "model.safetensors.index.json": {"metadata": {}, "weight_map": shards},
        "tokenizer.json": tokenizer | {"padding": sides, "truncation": sides},
        "tokenizer_config.json": TOKENS | {"added_tokens_decoder": ADDED},
        "fast.json": TOKENS | {"tokenizer_class": "PreTrainedTokenizerFast"},
        "older.json": TOKENS,
        "special_tokens_map.json": {name: TOKENS[name] for name in TOKENS if "token" in name},
        "added_tokens.json": {"newer": 20, "[X]": 21},
        "inputs.json": {name: array.tolist() for name, array in ids.items()},
    }
