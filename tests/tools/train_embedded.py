"""Train the embedded checkpoint on the toy world, in minibert alone, and measure it.

    python tests/tools/train_embedded.py             # trains, measures, writes minibert/data/toy

Masked words and next sentences, from one seed. Run by hand: it takes 55 minutes of one core, and
gives the same bits with the same number of threads (OMP_NUM_THREADS=1 made what ships), NumPy and
kernels of BLAS. What torch says of the new weights is recorded then: make_references.py embedded.
"""

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from toy_questions import IDS, MASK, PIECES, TAUGHT, encode, hidden, measure
from toy_world import Item, items

from minibert import BertConfig, BertForPreTraining, BertTokenizer
from minibert.losses import IGNORED
from minibert.runtime.threads import in_turn
from minibert.training.batches import Example, collate
from minibert.training.kept import Gradients, Kept
from minibert.training.learning import shared
from minibert.training.optimizers import AdamW, clip, schedule
from minibert.training.weights import trainable

FOLDER = Path(__file__).parents[2] / "minibert" / "data" / "toy"
CONFIG = {
    "hidden_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 320,
    "max_position_embeddings": 64,
    "initializer_range": 0.1,  # 1 / sqrt(hidden_size); with less, attention takes longer to form
    "hidden_dropout_prob": 0.0,  # no sentence comes twice: there is nothing to memorise
    "attention_probs_dropout_prob": 0.0,
}
#: Of each round: its steps, its highest rate, how many of the determined words but one are hidden
#: too, and how many items without a hard word are kept. What is hard comes late: which of two words
#: tells a third is learnt once they are seldom hidden together.
ROUNDS = (
    (8000, 1.2e-3, 0.4, 1.0),
    (2000, 6e-4, 0.4, 1.0),
    (2200, 1e-3, 0.1, 0.25),
    (1800, 1e-3, 0.05, 0.5),
    (1600, 6e-4, 0.1, 0.5),
)
HARD = {"comparison", "count", "person", "stem", "sum"}
BATCH, WARM_UP = 96, 300
WHOLE = 0.15  # share of items of which no determined word is hidden
TAUGHT_RATE = 0.3
WORD_IDS = range(MASK + 1, len(PIECES))
Links = dict[str, dict[int, Any]]  # a layer's attention -> sequence -> head, places, how many


def example(rng: Random, item: Item, others: float, whole: bool) -> Example:
    """Return what is read and what is to be guessed: of ten words eight hidden, one another's.

    One determined word is to be guessed, this share of the others, and one in twenty of all. Of
    whole items none is, but whether the second sentence follows: which words are determined
    depends on that, so the masks of other items would give the answer away.
    """
    ids, segments, places = encode(item)
    chosen = [p for word in itertools.chain(*places) for p in word if rng.random() < 0.05]
    determined = () if whole else item.determined
    sure = rng.randrange(len(determined)) if determined else None
    for i, (sentence, word, category) in enumerate(determined):
        if i == sure or rng.random() < others:
            chosen += hidden(category, places[sentence][word])
    labels = [IGNORED] * len(ids)
    for place in sorted({*chosen}):
        labels[place] = ids[place]
        ids[place] = rng.choices([MASK, rng.choice(WORD_IDS), ids[place]], [8, 1, 1])[0]
    follows = IGNORED if item.is_next is None or not whole else int(not item.is_next)
    inputs = {"input_ids": ids, "token_type_ids": segments}
    return Example(inputs, {"labels": labels, "next_sentence_label": follows})


def batches(seed: int, easy: float) -> Iterator[list[Item]]:
    """Yield batches; easy: the share that is kept of items without a hard word."""
    rng = Random(seed)
    stream = (
        item
        for item in items(seed, "train")
        if easy == 1 or HARD & {mark[2] for mark in item.determined} or rng.random() < easy
    )
    while True:
        yield [*itertools.islice(stream, BATCH)]


class Teaching(Gradients):
    """The way back, on which some heads are told where to look: from a word to what it depends on.

    So one learns to look from a pronoun, hidden or not, at what it refers to, and from a verb at
    its subject; one to look at the same word in the sentence before. What is lost is -log of the
    weight that they give; no other head is told where to look.
    """

    def __init__(self, kept: Kept, batch: list[Item]) -> None:
        super().__init__(kept)
        self.wanted = wanted(batch)

    def again(self, name: str, x: Any) -> Any:
        """Note the probabilities of a sequence."""
        self.seen = x
        return super().again(name, x)

    def __call__(self, name: str, grad: Any) -> Any:
        """Add the gradient of what is taught to that of the probabilities."""
        grad = super().__call__(name, grad)
        if name == "probabilities" and self.spot[0] in (rows := self.wanted.get(self.prefix, {})):
            head, places, count = rows[self.spot[0]]
            found = (self.seen[head] * places).sum(-1, keepdims=True) + 1e-6
            grad[head] -= TAUGHT_RATE / count * places / found
        return grad


def wanted(batch: list[Item]) -> Links:
    """Return where the taught heads are to look in each item, and how many words of a batch do."""
    found: dict[tuple[int, int], dict[int, Any]] = {taught: {} for taught in TAUGHT.values()}
    for row, item in enumerate(batch):
        ids, _, places = encode(item)
        for kind, (i, j), (k, m) in item.links:
            size = len(ids), len(ids)
            there = found[TAUGHT[kind]].setdefault(row, np.zeros(size, np.float32))
            pair = zip if kind == "memory" else itertools.product  # the same word: piece by piece
            for piece, depended_on in pair(places[i][j], places[k][m]):
                there[piece, depended_on] = 1
    counts = {taught: sum(x.any(-1).sum() for x in rows.values()) for taught, rows in found.items()}
    return {
        f"layer.{layer}.attention.": {
            row: (head, there, np.float32(counts[layer, head])) for row, there in rows.items()
        }
        for (layer, head), rows in found.items()
    }


def learn(
    model: BertForPreTraining, examples: list[Example], batch: list[Item]
) -> tuple[float, dict[str, Any]]:
    """Return the loss of words and next sentences, and the gradients, of what is taught, too."""
    kept = Kept()
    back = Teaching(kept, batch)
    loss = in_turn(model.learn, model.batch(**collate(examples)), kept, back)
    return loss, shared(model, back.found)


def train(
    model: BertForPreTraining, seed: int, steps: int, rate: float, others: float, easy: float
) -> BertForPreTraining:
    """Pre-train: masked words and next sentence, AdamW, a linear warm-up and decay."""
    rng, start, losses = Random(seed), time.perf_counter(), []
    model, weights = trainable(model)
    optimizer, share = AdamW(rate, (0.9, 0.98)), schedule("linear", steps, WARM_UP)
    for step, batch in enumerate(itertools.islice(batches(seed, easy), steps)):
        examples = [example(rng, x, others, i < WHOLE * BATCH) for i, x in enumerate(batch)]
        loss, gradients = learn(model, examples, batch)
        losses.append(loss)
        clip(gradients, 1.0)
        optimizer.step(weights, gradients, share(step + 1))
        if step % 200 == 199:
            mean, seconds = sum(losses[-200:]) / 200, time.perf_counter() - start
            print(f"step {step + 1}  loss {mean:.3f}  {seconds:.0f} s", flush=True)
    return model


def main() -> None:
    """Train, write and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=FOLDER)
    folder = parser.parse_args().output
    model = BertForPreTraining(BertConfig(vocab_size=len(PIECES), **CONFIG), seed=0)
    print(f"{len(PIECES)} pieces, {model.num_parameters():,} parameters")
    for seed, options in enumerate(ROUNDS):
        model = train(model, seed, *options)
        model.save_pretrained(folder)
    BertTokenizer(IDS, do_lower_case=True, model_max_length=64).save_pretrained(folder)
    measure(model)


if __name__ == "__main__":
    main()
