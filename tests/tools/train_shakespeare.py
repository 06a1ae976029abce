"""Train a small GPT-2 from nothing on Shakespeare, character by character, in minibert alone.

    python tests/tools/train_shakespeare.py             # trains, writes minibert/data/shakespeare
    python tests/tools/train_shakespeare.py --measure   # measures the checkpoint that is there

The recipe is nanoGPT's for a CPU (github.com/karpathy/nanoGPT, README): 4 layers, 4 heads, 128
wide, 64 characters, 2,000 steps of 12 texts; its validation loss there is 1.88. Here the rate is
twice as high. It takes minutes, and gives the same bits with the same number of threads (one made
what ships), NumPy and kernels of BLAS.
"""

import argparse
import gzip
from pathlib import Path

import numpy as np

from minibert import Example, GPT2Config, GPT2LMHeadModel, GPT2Tokenizer, train
from minibert.tokenizers.byte_level import spell
from minibert.training.loop import evaluated

FOLDER = Path(__file__).parents[2] / "minibert" / "data" / "shakespeare"
TEXT = Path(__file__).parents[1] / "data" / "tiny_shakespeare.txt.gz"
END = "<|endoftext|>"
BLOCK, BATCH, STEPS = 64, 12, 2000
SETTINGS = {
    "epochs": 1,
    "batch_size": BATCH,
    "learning_rate": 2e-3,
    "betas": (0.9, 0.99),
    "weight_decay": 0.1,
    "warmup": 0.05,
    "schedule": "cosine",
    "dropout": False,
}


def character_tokenizer(text):
    """Return a tokenizer whose words are the characters: of byte pairs none is merged."""
    pieces = [END, *sorted({*spell(text)})]
    return GPT2Tokenizer({piece: i for i, piece in enumerate(pieces)}, [], model_max_length=BLOCK)


def texts(ids, count, seed):
    """Return texts of BLOCK characters and the one that comes next, from anywhere."""
    starts = np.random.default_rng(seed).integers(0, len(ids) - BLOCK, count)
    rows = [ids[start : start + BLOCK + 1].tolist() for start in starts]
    return [Example({"input_ids": row}, {"labels": row}) for row in rows]


def halves():
    """Return a tokenizer, and the ids of the first nine tenths and of the last."""
    text = gzip.decompress(TEXT.read_bytes()).decode()
    tokenizer = character_tokenizer(text)
    ids = np.array(tokenizer.convert_tokens_to_ids([*spell(text)]))
    cut = int(0.9 * len(ids))
    return tokenizer, ids[:cut], ids[cut:]


def measure(model, tokenizer, held_out):
    """Print the loss on 2,400 texts that were held out, and what the model writes."""
    loss = evaluated(model, texts(held_out, 2400, 2), 100)["held-out loss"]
    print(f"held-out loss {loss:.4f}")
    prompt = tokenizer(["ROMEO:\n"], return_tensors="np")["input_ids"]
    options = {"do_sample": True, "temperature": 0.8, "seed": 0, "max_new_tokens": BLOCK - 7}
    print(tokenizer.decode(model.generate(prompt, **options)[0]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="only measure what is there")
    parser.add_argument("-o", "--output", type=Path, default=FOLDER)
    options = parser.parse_args()
    tokenizer, given, held_out = halves()
    if options.measure:
        measure(GPT2LMHeadModel.from_pretrained(options.output), tokenizer, held_out)
        return
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=128,
        n_layer=4,
        n_head=4,
        n_positions=BLOCK + 1,
        **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
        **dict.fromkeys(("bos_token_id", "eos_token_id"), tokenizer.eos_token_id),
    )
    examples = texts(given, STEPS * BATCH, 1)
    model, _ = train(GPT2LMHeadModel(config), examples, **SETTINGS)
    model.save_pretrained(options.output)
    tokenizer.save_pretrained(options.output)
    measure(model, tokenizer, held_out)


if __name__ == "__main__":
    main()
