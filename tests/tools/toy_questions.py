"""What a model knows of the toy world: words that sentences determine, hidden; and where it looks.

python tests/tools/toy_questions.py [FOLDER]   # measures a checkpoint, the embedded one
"""

import itertools
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from toy_world import ACROSS, Item, cut, items, vocabulary

from minibert import EMBEDDED_CHECKPOINT, BertForPreTraining
from minibert.training.batches import Example, collate

PIECES = vocabulary()
IDS = {piece: i for i, piece in enumerate(PIECES)}
CLS, SEP, MASK = (IDS[name] for name in ("[CLS]", "[SEP]", "[MASK]"))
#: The layer and the head that are taught to look at what a word depends on.
TAUGHT = {"reference": (1, 0), "agreement": (1, 0), "memory": (2, 0)}
BATCH = 256
_CUT: dict[str, list[int]] = {}


class Encoded(NamedTuple):
    """An item as a model reads it."""

    ids: list[int]
    segments: list[int]
    places: list[list[list[int]]]  # sentence, word -> where its pieces are


class Question(NamedTuple):
    """A piece of a determined word, to be hidden."""

    category: str
    encoded: Encoded
    place: int


def encode(item: Item) -> Encoded:
    """Return ids, segments, and where the words are."""
    found = Encoded([CLS], [0], [])
    for segment, sentence in enumerate(text for text in (item.first, item.second) if text):
        found.places.append([])
        for word in sentence.split():
            if word not in _CUT:
                _CUT[word] = [IDS[piece] for piece in cut(word, IDS)]
            start = len(found.ids)
            found.places[-1].append([*range(start, start + len(_CUT[word]))])
            found.ids.extend(_CUT[word])
        found.ids.append(SEP)
        found.segments.extend([segment] * (len(found.ids) - len(found.segments)))
    return found


def hidden(category: str, places: list[int]) -> list[int]:
    """Return which pieces of a determined word are hidden."""
    return {"ending": places[-1:], "stem": places[:1]}.get(category, places)


def read(rows: Iterable[tuple[list[int], list[int]]]) -> dict[str, Any]:
    """Return the arguments of a call on ids and segments."""
    names = "input_ids", "token_type_ids"
    return collate([Example(dict(zip(names, row, strict=True)), {}) for row in rows])


def questions(asked: Iterable[Item], alone: bool = False) -> list[Question]:
    """Return each question once: words of several pieces are left out, as one mask holds none.

    alone: leave the other sentence out, so that a fact cannot be copied from it.
    """
    found = {}
    for item in asked:
        for sentence, word, category in item.determined:
            part, index = item, sentence
            if alone:
                part, index = Item((item.first, item.second)[sentence], "", None, ()), 0
            encoded = encode(part)
            place = hidden(category, encoded.places[index][word])
            if len(place) == 1:
                question = Question(category, encoded, place[0])
                found[tuple(encoded.ids), place[0]] = question
    return [*found.values()]


def answers(model: BertForPreTraining, asked: list[Question]) -> dict[str, list[bool]]:
    """Return, by category, whether each hidden piece is what the model holds most likely."""
    right = defaultdict(list)
    for start in range(0, len(asked), BATCH):
        part = asked[start : start + BATCH]
        inputs = read((masked(x.encoded.ids, x.place), x.encoded.segments) for x in part)
        where = np.zeros(inputs["input_ids"].shape, bool)
        where[range(len(part)), [question.place for question in part]] = True
        best = model.logits_at(where, **inputs).argmax(axis=1)
        for (category, encoded, place), word in zip(part, best, strict=True):
            right[category].append(word == encoded.ids[place])
    return right


def masked(ids: list[int], place: int) -> list[int]:
    """Return ids with one hidden."""
    return [*ids[:place], MASK, *ids[place + 1 :]]


def next_sentence(model: BertForPreTraining, pairs: list[Item]) -> list[bool]:
    """Return of which pairs the model knows whether the second sentence follows."""
    right = []
    for start in range(0, len(pairs), BATCH):
        part = pairs[start : start + BATCH]
        follows = model(**read(encode(item)[:2] for item in part)).seq_relationship_logits
        told = follows.argmax(axis=1) == 0
        right += [said == item.is_next for said, item in zip(told, part, strict=True)]
    return right


def links(item: Item) -> Iterator[tuple[str, tuple[int, int], list[tuple[int, int]]]]:
    """Yield (kind, a word's place, the places that it depends on).

    Of the pronouns, those that refer to the sentence before.
    """
    for (kind, place), found in itertools.groupby(item.links, lambda link: link[:2]):
        heads = [head for _, _, head in found]
        if kind != "reference" or place[0] != heads[0][0]:
            yield kind, place, heads


def looks(
    model: BertForPreTraining, asked: Iterable[Item]
) -> Iterator[tuple[str, str, Item, list[tuple[int, int]], list[Any]]]:
    """Yield (kind, shown or hidden, item, heads, weights), a word that depends on others a time.

    weights: (layers, heads) for each word of the sentence of the heads. Only what the grammar
    determines is hidden.
    """
    for item in asked:
        ids, segments, places = encode(item)
        for kind, (i, j), heads in links(item):
            at, rows = places[i][j][0], {"shown": ids}
            if (i, j) in [mark[:2] for mark in item.determined]:
                rows["hidden"] = masked(ids, at)
            for how, row in rows.items():
                seen = model([row], token_type_ids=[segments], output_attentions=True).attentions
                weights = np.stack([layer[0, :, at] for layer in seen])
                words = places[heads[0][0]]
                yield kind, how, item, heads, [weights[..., word].sum(-1) for word in words]


def share(right: list[bool]) -> float:
    """Return the share that is right."""
    return sum(right) / len(right)


def measure(model: BertForPreTraining) -> None:
    """Print how many held-out words are found, the share of pairs told apart, and who looks where.

    The last column: the same words of facts and rules, their sentence standing alone.
    """
    held_out = [*itertools.islice(items(1, "held-out"), 6000)]
    in_pairs, alone = (answers(model, questions(held_out, how)) for how in (False, True))
    print(f"{'category':12}{'hidden':>8}{'found':>8}{'alone':>8}")
    for category, right in sorted(in_pairs.items()):
        single = "" if category in ACROSS else f"{share(alone[category]):8.1%}"
        print(f"{category:12}{len(right):8}{share(right):8.1%}{single}")
    right = [*itertools.chain(*in_pairs.values())]
    print(f"{'all':12}{len(right):8}{share(right):8.2%}")
    told = next_sentence(model, [*{item: None for item in held_out if item.second}])
    print(f"next sentence: {share(told):.2%} of {len(told)} pairs")
    found = defaultdict(list)
    for kind, how, _, heads, weights in looks(model, held_out[:2000]):
        found[kind, how].append(sum(weights[word] for _, word in heads))
    for (kind, how), weights in found.items():
        mean = np.mean(weights, axis=0)
        best = [np.unravel_index(i, mean.shape) for i in np.argsort(-mean, axis=None)[:3]]
        told = ", ".join(f"{layer}.{head} {mean[layer, head]:.2f}" for layer, head in best)
        print(f"{kind}, {how}: mean weight of heads {told}")


if __name__ == "__main__":
    measure(BertForPreTraining.from_pretrained((sys.argv[1:] or [EMBEDDED_CHECKPOINT])[0]))
