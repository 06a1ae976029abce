"""Record what the tokenizers library says about texts with byte pairs.

Run by hand where tokenizers is installed: python tests/tools/record_bpe.py TEXT, with a file of
English to learn from. It trains a vocabulary of 2,000 tokens on that and on the lines of
record_tokenizer.py, and writes tests/data/bpe.json.gz, which tests/tokenizers/test_gpt2.py reads.
"""

import gzip
import json
import random
import sys
from itertools import product
from pathlib import Path

import tokenizers
from record_tokenizer import LINES, ROOT, character

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<|endoftext|>", "<mask>"]
ADDED = [
    {"content": "<mask>", "lstrip": True, "normalized": False, "special": True},
    {"content": "new york"},
    {"content": " x "},
    {"content": "the", "single_word": True, "rstrip": True},
]
PIECES = [*" \t\n  'sdlmvert!.1é中a", "\u3000", "\x85", "½", "Ġ", "\U0001f468\u200d\U0001f467"]
PIECES += [token["content"] for token in ADDED]
FLAGS = [dict(zip(("prefix", "trims", "keeps"), f, strict=True)) for f in product([0, 1], repeat=3)]


def main() -> None:
    trained = tokenizers.ByteLevelBPETokenizer()
    texts = [Path(sys.argv[1]).read_text("utf-8")[:300_000], *(LINES * 3)]
    trained.train_from_iterator(texts, vocab_size=2000, special_tokens=SPECIAL)
    model = json.loads(trained.to_str())["model"]
    chance = random.Random(0)
    made = ["".join(part(chance) for _ in range(chance.randrange(16))) for _ in range(250)]
    lines = [line for line in [*LINES, *made] if len(line) < 99]
    recorded = {
        "versions": f"tokenizers {tokenizers.__version__}",
        "vocab": model["vocab"],
        "merges": model["merges"],
        "added": ADDED,
        "lines": lines,
        "said": [{**flags, "rows": said(model, lines, **flags)} for flags in FLAGS],
        "decoded": decoded(model, chance),
    }
    path = ROOT / "tests" / "data" / "bpe.json.gz"
    content = json.dumps(recorded, ensure_ascii=False, separators=(",", ":")).encode()
    path.write_bytes(gzip.compress(content, 9, mtime=0))
    print(f"{path}: {path.stat().st_size} bytes, {len(lines)} lines")


def part(chance: random.Random) -> str:
    return chance.choice(PIECES) if chance.random() < 0.6 else character(chance)


def library(model, prefix=False, trims=True, keeps=False) -> tokenizers.Tokenizer:
    merges = [tuple(pair) for pair in model["merges"]]
    made = tokenizers.Tokenizer(tokenizers.models.BPE(model["vocab"], merges))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=bool(prefix))
    made.decoder = tokenizers.decoders.ByteLevel()
    ends = [(token, model["vocab"][token]) for token in ("</s>", "<s>")]
    made.post_processor = tokenizers.processors.RobertaProcessing(*ends, bool(trims), bool(keeps))
    made.add_special_tokens(SPECIAL)
    made.add_tokens([tokenizers.AddedToken(**token) for token in ADDED])
    return made


def said(model, lines, **flags) -> list:
    """Return ids, flat offsets and words of each line."""
    rows = library(model, **flags).encode_batch(lines)
    return [[row.ids, [i for pair in row.offsets for i in pair], row.word_ids] for row in rows]


def decoded(model, chance) -> list:
    """Return rows of ids, most of which break characters apart, and their texts."""
    rows = [[chance.randrange(6, 300) for _ in range(12)] for _ in range(150)]
    tokenizer = library(model)
    return [[ids, tokenizer.decode(ids)] for ids in rows]


if __name__ == "__main__":
    main()
