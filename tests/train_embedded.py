"""Train the embedded checkpoint on the toy world, and measure it on held-out sentences.

    python tests/train_embedded.py             # trains, measures, writes minibert/data/toy
    python tests/train_embedded.py --measure   # measures the checkpoint that is there

Needs torch and transformers; two cores take about fifteen minutes. Run by hand: neither the
package nor its tests need it. Seeds are fixed, but sums of floats, and so the weights, differ a
little between machines and versions of torch.
"""

import argparse
import itertools
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random

import torch
from torch.nn.functional import cross_entropy
from toy_world import ACROSS, Item, cut, items, vocabulary
from transformers import BertConfig, BertForPreTraining, BertTokenizer

FOLDER = Path(__file__).parent.parent / "minibert" / "data" / "toy"
CONFIG = {
    "hidden_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 320,
    "max_position_embeddings": 64,
    "initializer_range": 0.1,  # 1 / sqrt(hidden_size); with less, attention takes longer to form
    "hidden_dropout_prob": 0.0,  # no sentence comes twice: there is nothing to memorise
    "attention_probs_dropout_prob": 0.0,
}
STEPS, BATCH, RATE, WARM_UP = 8000, 96, 1.2e-3, 300
PIECES = vocabulary()
IDS = {piece: i for i, piece in enumerate(PIECES)}
PAD, CLS, SEP, MASK = (IDS[name] for name in ("[PAD]", "[CLS]", "[SEP]", "[MASK]"))
WORD_IDS = range(MASK + 1, len(PIECES))
_CUT: dict[str, list[int]] = {}


def encode(item: Item) -> tuple[list[int], list[int], list[list[list[int]]]]:
    """Return ids, segments, and for each word of each sentence where its pieces are."""
    ids, segments, places = [CLS], [0], []
    for segment, sentence in enumerate(text for text in (item.first, item.second) if text):
        places.append([])
        for word in sentence.split():
            if word not in _CUT:
                _CUT[word] = [IDS[piece] for piece in cut(word, IDS)]
            places[-1].append(list(range(len(ids), len(ids) + len(_CUT[word]))))
            ids += _CUT[word]
        ids.append(SEP)
        segments += [segment] * (len(ids) - len(segments))
    return ids, segments, places


def hidden(category: str, places: list[int]) -> list[int]:
    """Return which pieces of a determined word are hidden."""
    return {"ending": places[-1:], "stem": places[:1]}.get(category, places)


def mask(rng: Random, item: Item) -> tuple[list[int], list[int], list[int]]:
    """Return ids with words hidden, segments, labels: -100 where nothing is to be guessed.

    One determined word is hidden, and two fifths of the others; of the rest, one in twenty is to
    be guessed, of which one in ten becomes another word and one in ten stays.
    """
    ids, segments, places = encode(item)
    labels = [-100] * len(ids)
    for place in itertools.chain(*itertools.chain(*places)):
        if rng.random() < 0.05:
            labels[place] = ids[place]
            ids[place] = rng.choices([MASK, rng.choice(WORD_IDS), ids[place]], [8, 1, 1])[0]
    sure = rng.randrange(len(item.determined)) if item.determined else None
    for i, (sentence, word, category) in enumerate(item.determined):
        if i == sure or rng.random() < 0.4:
            for place in hidden(category, places[sentence][word]):
                labels[place] = ids[place] if labels[place] == -100 else labels[place]
                ids[place] = MASK
    return ids, segments, labels


def padded(rows: list[list[int]], value: int) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([row + [value] * (width - len(row)) for row in rows])


def inputs(ids: list[list[int]], segments: list[list[int]]) -> dict[str, torch.Tensor]:
    attended = padded([[1] * len(row) for row in ids], 0)
    return {
        "input_ids": padded(ids, PAD),
        "attention_mask": attended,
        "token_type_ids": padded(segments, 0),
    }


def batches(rng: Random) -> Iterator[list[Item]]:
    """Yield batches of items of about the same length, so that there is little padding."""
    stream = items(0, "train")
    while True:
        drawn = list(itertools.islice(stream, 16 * BATCH))
        drawn.sort(key=lambda item: len(encode(item)[0]))
        parts = [drawn[start : start + BATCH] for start in range(0, len(drawn), BATCH)]
        rng.shuffle(parts)
        yield from parts


def batch_loss(model: BertForPreTraining, rng: Random, batch: list[Item]) -> torch.Tensor:
    """Return the mean loss of hidden words plus that of next sentences (0 without pairs)."""
    ids, segments, labels = zip(*(mask(rng, item) for item in batch), strict=True)
    labels = padded(labels, -100)
    follows = torch.tensor([{None: -100, True: 0, False: 1}[item.is_next] for item in batch])
    rows, pooled = model.bert(**inputs(ids, segments))[:2]
    asked = labels != -100
    words = cross_entropy(model.cls.predictions(rows[asked]), labels[asked])
    pairs = cross_entropy(model.cls.seq_relationship(pooled), follows, reduction="sum")
    return words + pairs / BATCH


def train(model: BertForPreTraining) -> None:
    """Pre-train: masked words and next sentence, AdamW, a linear warm-up and decay."""
    rng = Random(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / WARM_UP, (STEPS - step) / (STEPS - WARM_UP))
    )
    model.train()
    start, losses = time.perf_counter(), []
    for step, batch in enumerate(itertools.islice(batches(rng), STEPS)):
        loss = batch_loss(model, rng, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % 200 == 199:
            mean, seconds = sum(losses[-200:]) / 200, time.perf_counter() - start
            print(f"step {step + 1}  loss {mean:.3f}  {seconds:.0f} s", flush=True)


def questions(held_out: list[Item], alone: bool) -> list[tuple[str, list[int], list[int], int]]:
    """Return (category, ids, segments, place of the one hidden piece), each question once.

    alone: leave the other sentence out, so that a fact cannot be copied from it.
    """
    found = {}
    for item in held_out:
        for sentence, word, category in item.determined:
            part, index = item, sentence
            if alone:
                text = (item.first, item.second)[sentence]
                part, index = Item(text, "", None, ()), 0
            ids, segments, places = encode(part)
            place = hidden(category, places[index][word])
            whole = category in ("ending", "stem") or len(places[index][word]) == 1
            if whole and len(place) == 1:
                found[tuple(ids), place[0]] = (category, ids, segments, place[0])
    return list(found.values())


@torch.no_grad()
def answers(model: BertForPreTraining, asked: list) -> dict[str, list[bool]]:
    """Return, by category, whether each hidden piece is what the model holds most likely."""
    right = defaultdict(list)
    for start in range(0, len(asked), 256):
        part = asked[start : start + 256]
        ids = [[*row[:place], MASK, *row[place + 1 :]] for _, row, _, place in part]
        logits = model(**inputs(ids, [row for _, _, row, _ in part])).prediction_logits
        for (category, row, _, place), scores in zip(part, logits, strict=True):
            right[category].append(scores[place].argmax().item() == row[place])
    return right


@torch.no_grad()
def next_sentence(model: BertForPreTraining, pairs: list[Item]) -> list[bool]:
    right = []
    for start in range(0, len(pairs), 256):
        part = pairs[start : start + 256]
        ids, segments, _ = zip(*map(encode, part), strict=True)
        follows = model(**inputs(ids, segments)).seq_relationship_logits.argmax(-1) == 0
        right += [f == item.is_next for f, item in zip(follows.tolist(), part, strict=True)]
    return right


def measure(model: BertForPreTraining) -> None:
    """Print how many held-out words are found, by category, and the share of pairs told apart.

    The last column: the same words of facts and rules, their sentence standing alone.
    """
    model.eval()
    held_out = list(itertools.islice(items(1, "held-out"), 6000))
    in_pairs = answers(model, questions(held_out, alone=False))
    alone = answers(model, questions(held_out, alone=True))
    print(f"{'category':12}{'hidden':>8}{'found':>8}{'alone':>8}")
    for category, right in sorted(in_pairs.items()):
        single = "" if category in ACROSS else f"{share(alone[category]):8.1%}"
        print(f"{category:12}{len(right):8}{share(right):8.1%}{single}")
    right = list(itertools.chain(*in_pairs.values()))
    print(f"{'all':12}{len(right):8}{share(right):8.2%}")
    told = next_sentence(model, list({item: None for item in held_out if item.second}))
    print(f"next sentence: {share(told):.2%} of {len(told)} pairs")


def share(right: list[bool]) -> float:
    return sum(right) / len(right)


def save(model: BertForPreTraining) -> None:
    """Write the checkpoint as transformers does, and vocab.txt beside it."""
    model.save_pretrained(FOLDER)
    (FOLDER / "generation_config.json").unlink(missing_ok=True)
    BertTokenizer(vocab=IDS, do_lower_case=True, model_max_length=64).save_pretrained(FOLDER)
    (FOLDER / "vocab.txt").write_text("\n".join(PIECES) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="only measure what is there")
    if parser.parse_args().measure:
        measure(BertForPreTraining.from_pretrained(FOLDER))
        return
    torch.set_num_threads(1)  # matrices as small as these gain nothing from more
    torch.manual_seed(0)
    model = BertForPreTraining(BertConfig(vocab_size=len(PIECES), **CONFIG))
    print(f"{len(PIECES)} pieces, {model.num_parameters():,} parameters")
    train(model)
    save(model)
    measure(model)


if __name__ == "__main__":
    main()
