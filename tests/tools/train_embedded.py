"""Train the embedded checkpoint on the toy world, and measure it on held-out sentences.

    python tests/tools/train_embedded.py             # trains, measures, writes minibert/data/toy
    python tests/tools/train_embedded.py --measure   # measures the checkpoint that is there

Needs torch and transformers; one core takes about half an hour. Run by hand: neither the
package nor its tests need it. Seeds are fixed, but sums of floats, and so the weights, differ a
little between machines and versions of torch.
"""

import argparse
import itertools
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import torch
from torch.nn.functional import cross_entropy
from toy_world import ACROSS, Item, cut, items, vocabulary
from transformers import BertConfig, BertForPreTraining, BertTokenizer

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
#: too, and how many items without a hard word are kept. What is hard comes last.
ROUNDS = ((8000, 1.2e-3, 0.4, 1.0), (2000, 6e-4, 0.4, 1.0), (2200, 1e-3, 0.1, 0.25))
HARD = {"comparison", "count", "stem", "sum"}
BATCH, WARM_UP = 96, 300
WHOLE = 0.15  # share of items of which no determined word is hidden
TAUGHT = {"reference": (1, 0), "agreement": (1, 0), "memory": (2, 0)}  # layer, head
TAUGHT_RATE = 0.3
PIECES = vocabulary()
IDS = {piece: i for i, piece in enumerate(PIECES)}
PAD, CLS, SEP, MASK = (IDS[name] for name in ("[PAD]", "[CLS]", "[SEP]", "[MASK]"))
WORD_IDS = range(MASK + 1, len(PIECES))
_CUT: dict[str, list[int]] = {}
Places = list[list[list[int]]]  # sentence, word -> where its pieces are


def encode(item: Item) -> tuple[list[int], list[int], Places]:
    """Return ids, segments, and where the words are."""
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


def mask(rng: Random, item: Item, others: float) -> tuple[list[int], list[int], list[int]]:
    """Return ids with words hidden, segments, labels: -100 where nothing is to be guessed.

    One determined word is hidden, and this share of the others; of the rest, one in twenty is to
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
        if i == sure or rng.random() < others:
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


def batches(seed: int, rng: Random, easy: float) -> Iterator[list[Item]]:
    """Yield batches of items of about the same length, so that there is little padding.

    easy: the share that is kept of items without a hard word.
    """
    stream = (
        item
        for item in items(seed, "train")
        if easy == 1 or HARD & {mark[2] for mark in item.determined} or rng.random() < easy
    )
    while True:
        drawn = list(itertools.islice(stream, 16 * BATCH))
        drawn.sort(key=lambda item: len(encode(item)[0]))
        parts = [drawn[start : start + BATCH] for start in range(0, len(drawn), BATCH)]
        rng.shuffle(parts)
        yield from parts


def batch_loss(
    model: BertForPreTraining, rng: Random, batch: list[Item], others: float
) -> torch.Tensor:
    """Return the mean loss of hidden words, plus those of next sentences and of taught heads.

    Next sentences are asked of whole items only: which words are determined depends on whether
    one follows, so the masks of other items would give the answer away.
    """
    whole = [rng.random() < WHOLE for _ in batch]
    shown = [
        replace(item, determined=()) if w else item for item, w in zip(batch, whole, strict=True)
    ]
    hid = [mask(rng, item, others) for item in shown]
    ids, segments, labels = zip(*hid, strict=True)
    labels = padded(labels, -100)
    output = model.bert(**inputs(ids, segments), output_attentions=True)
    asked = labels != -100
    words = cross_entropy(model.cls.predictions(output.last_hidden_state[asked]), labels[asked])
    answers = {None: -100, True: 0, False: 1}
    follows = [
        answers[item.is_next if left else None] for item, left in zip(batch, whole, strict=True)
    ]
    scores = model.cls.seq_relationship(output.pooler_output)
    pairs = cross_entropy(scores, torch.tensor(follows), reduction="sum") / (WHOLE * len(batch))
    return words + pairs + TAUGHT_RATE * taught_loss(output.attentions, batch)


def taught_loss(attentions: tuple[torch.Tensor, ...], batch: list[Item]) -> torch.Tensor:
    """Return -log of what the taught heads give, from each word that depends on another, to it.

    So one learns to look from a pronoun, hidden or not, at what it refers to, and from a verb at
    its subject; one to look at the same word in the sentence before. No other head is told where
    to look.
    """
    wanted = {head: torch.zeros_like(attentions[0][:, 0]) for head in TAUGHT.values()}
    for row, item in enumerate(batch):
        _, _, places = encode(item)
        for kind, (i, j), (k, m) in item.links:
            pair = zip if kind == "memory" else itertools.product  # the same word: piece by piece
            for piece, depended_on in pair(places[i][j], places[k][m]):
                wanted[TAUGHT[kind]][row, piece, depended_on] = 1
    losses = []
    for (layer, head), there in wanted.items():
        found = (attentions[layer][:, head] * there).sum(-1)[there.any(-1)]
        losses.append(-(found + 1e-6).log().sum() / max(len(found), 1))
    return sum(losses)


def train(
    model: BertForPreTraining, seed: int, steps: int, rate: float, others: float, easy: float
) -> None:
    """Pre-train: masked words and next sentence, AdamW, a linear warm-up and decay."""
    rng = Random(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / WARM_UP, (steps - step) / (steps - WARM_UP))
    )
    model.train()
    start, losses = time.perf_counter(), []
    for step, batch in enumerate(itertools.islice(batches(seed, rng, easy), steps)):
        loss = batch_loss(model, rng, batch, others)
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
    """Print how many held-out words are found, the share of pairs told apart, and who looks where.

    The last column: the same words of facts and rules, their sentence standing alone.
    """
    model.eval()
    model.set_attn_implementation("eager")  # the only one that tells its weights
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
    for (kind, how), weights in looks(model, held_out).items():
        best = weights.flatten().topk(3)
        heads = [divmod(place, weights.shape[1]) for place in best.indices.tolist()]
        named = zip(best.values.tolist(), heads, strict=True)
        told = ", ".join(f"{layer}.{head} {weight:.2f}" for weight, (layer, head) in named)
        print(f"{kind}, {how}: mean weight of heads {told}")


def looks(model: BertForPreTraining, held_out: list[Item]) -> dict[tuple[str, str], torch.Tensor]:
    """Return the mean weight of each head (layer, head) from a word to what it depends on.

    Of the pronouns, those that refer to the sentence before. Each word is shown, or hidden if it
    is determined.
    """
    found = defaultdict(list)
    for item in held_out:
        ids, segments, places = encode(item)
        for (kind, (i, j)), links in itertools.groupby(item.links, lambda link: link[:2]):
            heads = [head for _, _, head in links]
            if kind == "reference" and i == heads[0][0]:
                continue
            place, there = places[i][j][0], [p for k, m in heads for p in places[k][m]]
            rows = {"shown": ids}
            if (i, j) in [mark[:2] for mark in item.determined]:
                rows["hidden"] = [*ids[:place], MASK, *ids[place + 1 :]]
            for how, row in rows.items():
                weights = weights_from(model, row, segments, place)
                found[kind, how].append(weights[..., there].sum(-1))
    return {key: torch.stack(weights).mean(0) for key, weights in found.items()}


@torch.no_grad()
def weights_from(
    model: BertForPreTraining, ids: list[int], segments: list[int], place: int
) -> torch.Tensor:
    """Return where each head looks from a place: layer, head, place."""
    attentions = model.bert(**inputs([ids], [segments]), output_attentions=True).attentions
    return torch.stack(attentions)[:, 0, :, place]


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
    model.set_attn_implementation("eager")  # the only one that tells its weights
    print(f"{len(PIECES)} pieces, {model.num_parameters():,} parameters")
    for seed, options in enumerate(ROUNDS):
        train(model, seed, *options)
    save(model)
    measure(model)


if __name__ == "__main__":
    main()
