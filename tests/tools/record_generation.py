"""Record what transformers writes with small models, for tests without it.

    python tests/tools/record_generation.py [FILE]

needs torch and transformers. The file is tests/data/generation.json.gz by default.
"""

import gzip
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "support")]

from writing import CONFIGS, cases, draws, model_of  # noqa: E402 - found there

FILE = TESTS / "data" / "generation.json.gz"
SEEDS = range(24)


def opened(kind, folder):
    """Return the model of transformers that a folder holds, in float64."""
    import torch
    import transformers

    torch.set_num_threads(1)  # more take longer with so little to do
    model = getattr(transformers, kind).from_pretrained(folder, attn_implementation="eager")
    return model.eval().double()


def written(model, ids, mask, asked, **more):
    """Return what a model of transformers writes."""
    import torch

    inputs = {"attention_mask": torch.tensor(mask), "do_sample": False, **asked, **more}
    with torch.inference_mode():
        return model.generate(torch.tensor(ids), **inputs)


def processed(model, words, scores, asked):
    """Return with what probability transformers draws each word."""
    import torch
    import transformers

    kind = transformers.GenerationConfig
    settings = kind(**{**kind._get_default_generation_params(), **asked})
    if settings.max_new_tokens is not None:
        settings.max_length = words.shape[1] + settings.max_new_tokens
    model._prepare_special_tokens(settings, True, device="cpu")
    given = {"generation_config": settings, "input_ids_seq_length": words.shape[1]}
    steps = model._get_logits_processor(**given, device="cpu")
    found = steps(torch.tensor(words), torch.tensor(scores))
    return torch.softmax(found, dim=-1).numpy()


def record():
    """Return all texts, and of each draw which words there are, and how likely."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in CONFIGS:
            found[kind] = []
            for seed in SEEDS:
                model_of(kind, seed, folder)
                model = opened(kind, folder)
                texts = [written(model, *case).tolist() for case in cases(kind, seed)]
                found[kind].append(texts)
        model_of("GPT2LMHeadModel", 0, folder)
        model = opened("GPT2LMHeadModel", folder)
    drawn = [processed(model, *draws(seed)) for seed in SEEDS for seed in (seed, seed + 1000)]
    rows = [row for rows in drawn for row in rows]
    found["draws"] = [
        [[int(i), round(float(row[i]), 7)] for i in np.flatnonzero(row)] for row in rows
    ]
    return found


def main():
    """Write the file."""
    content = json.dumps(record(), separators=(",", ":")).encode()
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    path.write_bytes(gzip.compress(content, 9, mtime=0))


if __name__ == "__main__":
    main()
