"""Folders as sentence-transformers writes them, beside the files of a checkpoint."""

import json

import numpy as np
from safetensors.numpy import save_file

from minibert import BertModel

OWN_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
QUERY = {"prompts": {"query": "where is ", "none": None}, "default_prompt_name": "query"}
LINEAR = {"activation_function": "torch.nn.modules.linear.Identity"}


def write(folder, *kinds, pooling="mean", sub="", own=None, whole=None, dense=(), **modes):
    """Write the files beside a checkpoint's; kinds: of modules after the Transformer."""
    modules = [(sub, "base.modules.transformer.Transformer")]
    modules += [(f"{i}_{kind}", f"models.{kind}") for i, kind in enumerate(kinds, 1)]
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.{kind}"}
        for i, (path, kind) in enumerate(modules)
    ]
    dense, draw = list(dense), np.random.RandomState(5)
    files = {"modules.json": listed, "config_sentence_transformers.json": whole or {}}
    files[f"{sub}/sentence_bert_config.json"] = own or {}
    for path, kind in modules[1:]:
        if kind == "models.Pooling":
            said = modes or (pooling if isinstance(pooling, dict) else {"pooling_mode": pooling})
            files[f"{path}/config.json"] = {"word_embedding_dimension": 21, **said}
        if kind == "models.Dense":
            config = dense.pop(0)
            files[f"{path}/config.json"] = config
            size = config["out_features"], config["in_features"]
            shapes = {"linear.weight": size}
            if config.get("bias", True):
                shapes["linear.bias"] = size[:1]
            if config.get("use_residual") and size[0] != size[1]:
                shapes["residual.weight"] = size
            arrays = {k: (draw.standard_normal(shapes[k]) * 0.3) for k in shapes}
            (folder / path).mkdir(exist_ok=True)
            arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
            save_file(arrays, folder / path / "model.safetensors")
    for name, content in files.items():
        target = folder / name.removeprefix("/")
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(content))
    for name in OWN_FILES if sub else ():
        (folder / name).rename(folder / sub / name)
    return folder


def layer(size_in, size_out, **more):
    return {"in_features": size_in, "out_features": size_out, **more}


def fill(folder, config, tokenizer):
    BertModel(config, seed=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
