"""The toy world: simple English made by a seeded generator, to train and test a small BERT.

    for item in items(seed=1, split="held-out"):
        print(item.first, item.second, item.is_next, item.determined)

An item is one sentence or two. It says which of its words the grammar determines: hidden one at a
time, each follows from the words that stay, and no other word of the world fits. It also says what
each pronoun refers to, and what the subject of a verb is.

What "held-out" means: a hash of its words puts every sentence into one of two splits, one in
eight into "held-out". An item has sentences of its split only, so no sentence of a held-out item
ever occurs in training, neither alone nor in a pair. Its words, its template and its facts do:
nobody can guess a capital, or a sum of number words. A fact is told in held-out sentences in
other words, or among other words, than in training.

The stream is the same on every version of Python: of random.Random it uses random() only. Words
and templates are in tests/data/toy_world.txt.
"""

import hashlib
import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeVar

T = TypeVar("T")
Slots = dict[str, str]
Place = tuple[int, int]  # sentence (0 or 1), word

_TEXT = (Path(__file__).parents[1] / "data" / "toy_world.txt").read_text("utf-8")
#: Lists of words by name.
WORDS = {
    name: words.split()
    for name, words in re.findall(r"^(\w+): (.*(?:\n    .*)*)", _TEXT, re.MULTILINE)
}
#: The same lists, cut at "/" into words that belong together; "_" stands for a space.
FACTS = {
    name: [word.replace("_", " ").split("/") for word in words] for name, words in WORDS.items()
}
_SECTIONS = dict(re.findall(r"^\[(\w+)\]\n((?:[^\[#\n].*\n)+)", _TEXT, re.MULTILINE))
MODIFIERS = ["", *_SECTIONS.pop("modifiers").splitlines()]
#: Templates: each is two sentences, the second of which follows.
TEMPLATES = [line.split(" | ") for lines in _SECTIONS.values() for line in lines.splitlines()]
#: Categories of words that follow from the other sentence of the pair; all others from their own.
ACROSS = {"reference", "memory", "place", "count", "comparison", "stem"}
PLURALS = dict(FACTS["plurals"])
PEOPLE = dict(FACTS["people"])
PRONOUNS = {forms[0]: forms for forms in FACTS["cases"]}
_PRONOUN_FORMS = {form for forms in FACTS["cases"] for form in forms}
NOUNS = WORDS["things"] + WORDS["animals"] + list(PEOPLE)


@dataclass(frozen=True)
class Item:
    """One sentence or two; words and punctuation stand between spaces."""

    first: str
    second: str  # empty if the first stands alone
    is_next: bool | None  # does the second follow the first? None if there is no second
    determined: tuple[tuple[int, int, str], ...]  # sentence (0 or 1), word, category
    #: A word that depends on another, and that other one: ("reference", a pronoun, the noun or
    #: name that it refers to), ("agreement", a verb, its subject), or ("memory", a word that
    #: follows from the sentence before, the same word there).
    links: tuple[tuple[str, Place, Place], ...] = ()


def items(seed: int, split: str) -> Iterator[Item]:
    """Yield items of the split, "train" or "held-out", without end.

    Of ten, two are single sentences, five are pairs that follow, three are unrelated pairs.
    """
    if split not in ("train", "held-out"):
        raise ValueError(f"split is {split!r}; it must be 'train' or 'held-out'")
    rng = Random(seed)
    while True:
        share = rng.random()
        if share < 0.2:
            yield _item([_sentence(rng, split)], None)
        elif share < 0.7:
            yield _item(_following(rng, split), True)
        else:
            yield _item(_unrelated(rng, split), False)


def split_of(sentence: str) -> str:
    """Return the split that a sentence belongs to."""
    return "held-out" if hashlib.sha256(sentence.encode()).digest()[0] < 32 else "train"


def _item(sentences: list[list[str]], is_next: bool | None) -> Item:
    marks = (
        (i, j, word.split(":")[0])
        for i, sentence in enumerate(sentences)
        for j, word in enumerate(sentence)
        if ":" in word
    )
    determined = tuple(mark for mark in marks if is_next or mark[2] not in ACROSS)
    first, second = [_text(sentence) for sentence in [*sentences, []][:2]]
    return Item(first, second, is_next, determined, tuple(_links(sentences, is_next)))


def _links(sentences: list[list[str]], is_next: bool | None) -> Iterator[tuple[str, Place, Place]]:
    """Yield which word depends on which: in one sentence, or on the first of a pair."""
    heads: dict[tuple[int, str], Place] = {}
    for i, sentence in enumerate(sentences):
        for j, word in enumerate(sentence):
            if "@" in word:
                heads.setdefault((i, word.split("@")[1]), (i, j))
    for i, sentence in enumerate(sentences):
        for j, word in enumerate(sentence):
            form, _, slot = word.split(":")[-1].partition(">")
            kind = "reference" if form in _PRONOUN_FORMS else "agreement"
            head = heads.get((0 if is_next and kind == "reference" else i, slot))
            if slot and head:
                yield kind, (i, j), head
    if is_next:
        yield from _memories(*sentences)


def _memories(first: list[str], second: list[str]) -> Iterator[tuple[str, Place, Place]]:
    told = _text(first).split()
    for j, (marked, word) in enumerate(zip(second, _text(second).split(), strict=True)):
        if ":" in marked and marked.split(":")[0] in ACROSS:
            yield from (("memory", (1, j), (0, i)) for i, w in enumerate(told) if w == word)


def _text(sentence: list[str]) -> str:
    return " ".join(re.split("[@>]", word.split(":")[-1])[0] for word in sentence)


def _sentence(rng: Random, split: str) -> list[str]:
    """Draw a sentence of the split: words, some with their category before them."""
    while True:
        sentence = _pick(rng, _pair(rng))
        if split_of(_text(sentence)) == split:
            return sentence


def _following(rng: Random, split: str) -> list[list[str]]:
    """Draw two sentences of the split, the second of which follows the first."""
    while True:
        pair = _pair(rng)
        if all(split_of(_text(sentence)) == split for sentence in pair):
            return pair


def _unrelated(rng: Random, split: str) -> list[list[str]]:
    """Draw two sentences of the split that share no name, no thing and no fact."""
    first = _sentence(rng, split)
    while True:
        second = _sentence(rng, split)
        if not topics(_text(first)) & topics(_text(second)):
            return [first, second]


def _pair(rng: Random) -> list[list[str]]:
    """Fill the slots of a template."""
    template = _pick(rng, TEMPLATES)
    slots = _slots(rng)
    for slot in ("name", "name2"):  # now and then a name of letters, of no known gender
        if rng.random() < 0.15 and f"{{{slot}." not in "".join(template):
            slots[slot] = f"{_unknown_name(rng)}@{slot}"
    return [_fill(sentence, slots).split() for sentence in template]


def _fill(text: str, slots: Slots) -> str:
    return re.sub(r"\{(.+?)\}", lambda slot: slots[slot[1]], text)


def _slots(rng: Random) -> Slots:
    """Draw a value for every slot.

    Behind a name or a noun stands "@" and its slot, behind a word that depends on it ">" and that.
    """
    slots = {name[:-1]: _pick(rng, WORDS[name]) for name in ("days", "looks", "verbs", "jobs")}
    slots["food"] = _pick(rng, WORDS["food"])
    slots["works"] = plural(slots["job"])
    for name in ("place", "thing", "colour"):
        slots[name], slots[name + "2"] = _several(rng, WORDS[name + "s"], 2)
    slots["things"] = plural(_pick(rng, WORDS["things"] + WORDS["fruits"]))
    slots["more"], slots["less"] = _opposites(rng, "degrees")
    slots["state"], slots["opposite"] = _opposites(rng, "states")
    slots["country"], slots["city"] = _pick(rng, FACTS["capitals"])
    slots["stuff"], slots["hue"] = _pick(rng, FACTS["hues"])
    slots["member"], slots["kind"] = _pick(rng, FACTS["kinds"])
    return slots | _persons(rng) | _who(rng) | _numbers(rng)


def _persons(rng: Random) -> Slots:
    """Draw three persons, and another who is not of the gender of the first."""
    women, men = WORDS["women"], WORDS["men"]
    names = _several(rng, women + men, 3)
    names.append(_pick(rng, men if names[0] in women else women))
    slots = {}
    for slot, name in zip(("name", "name2", "name3", "other"), names, strict=True):
        slots[slot] = f"{name}@{slot}"
        slots[slot + ".man"] = "woman" if name in women else "man"
        slots |= _cases(slot, "she" if name in women else "he")
    return slots


def _cases(slot: str, pronoun: str) -> Slots:
    cases = zip(PRONOUNS["he"], PRONOUNS[pronoun], strict=True)
    return {f"{slot}.{case}": f"{form}>{slot}" for case, form in cases}


def _who(rng: Random) -> Slots:
    """Draw a subject, how its verb agrees, and a modifier between them that may mislead."""
    noun = _pick(rng, WORDS["animals"] + list(PEOPLE))
    many = rng.random() < 0.5
    head = (plural(noun) if many else noun) + "@who"
    mark = "ending:" if many and noun not in PLURALS else ""
    s = "" if many else "s"
    modifiers = [_modifier(rng, s) for _ in range(2 if rng.random() < 0.2 else 1)]
    slots = {"who": " ".join([f"the {mark}{head}", *modifiers]), "who.short": f"the {head}"}
    slots["who.s"] = s
    for one, several in FACTS["agreeing"]:
        slots[f"who.{one}"] = f"{several if many else one}>who"
    return slots | _cases("who", "they" if many else PEOPLE.get(noun, "it"))


def _modifier(rng: Random, s: str) -> str:
    some, others = (_pick(rng, NOUNS) for _ in range(2))
    many = rng.random() < 0.5
    slots = {"s": s, "look": _pick(rng, WORDS["looks"])}
    slots |= {"some": plural(some) if many else some, "some.s": "" if many else "s"}
    slots["others"] = plural(others) if rng.random() < 0.5 else others
    return _fill(_pick(rng, MODIFIERS), slots)


def _numbers(rng: Random) -> Slots:
    """Draw y + z = x from one on, and m + n = all from two on."""
    y, z = (1 + int(9 * rng.random()) for _ in range(2))
    m, n = (2 + int(8 * rng.random()) for _ in range(2))
    numbers = {"x": y + z, "y": y, "z": z, "all": m + n, "m": m, "n": n}
    digits = {f"{slot}.digits": str(number) for slot, number in numbers.items()}
    return digits | {slot: WORDS["numbers"][number - 1] for slot, number in numbers.items()}


def _pick(rng: Random, choices: Sequence[T]) -> T:
    return choices[int(len(choices) * rng.random())]


def _several(rng: Random, choices: Sequence[str], count: int) -> list[str]:
    """Draw different ones."""
    drawn: list[str] = []
    while len(drawn) < count:
        choice = _pick(rng, choices)
        drawn += [] if choice in drawn else [choice]
    return drawn


def _opposites(rng: Random, name: str) -> list[str]:
    pair = _pick(rng, FACTS[name])
    return pair if rng.random() < 0.5 else pair[::-1]


def _unknown_name(rng: Random) -> str:
    """Draw three to five letters."""
    return "".join(_pick(rng, string.ascii_lowercase) for _ in range(3 + int(3 * rng.random())))


def plural(word: str) -> str:
    """Return the plural of a noun, which is also what a verb becomes after he, she and it."""
    return PLURALS.get(word) or word + ("es" if re.search("(s|x|ch|sh)$", word) else "s")


def _groups() -> Iterator[list[str]]:
    """Yield the words that a sentence can be about; those in a group mean the same topic."""
    for name, facts in FACTS.items():
        if name in ("capitals", "degrees", "states"):
            yield from facts
        elif name not in ("endings", "stems", "agreeing", "cases", "plurals", "people"):
            yield from ([word.removeprefix("the ")] for fact in facts for word in fact)
    yield from ([noun] for noun in PEOPLE)
    yield from ([word, str(number)] for number, word in enumerate(WORDS["numbers"], 1))


def _forms(word: str) -> list[str]:
    return [word, plural(word), *(word + ending for ending in WORDS["endings"])]


_TOPICS = {form: group[0] for group in _groups() for word in group for form in _forms(word)}


def topics(sentence: str) -> set[str]:
    """Return what a sentence is about: names, things, numbers; a capital counts as its country."""
    return {_TOPICS[word] for word in sentence.split() if word in _TOPICS}


def vocabulary() -> list[str]:
    """Return the word pieces; the place of each is its id. All text of ASCII can be cut into them.

    Words of the world are whole, but endings are pieces of their own: dog ##s, old ##er.
    """
    signs = [*string.punctuation, *string.digits, *string.ascii_lowercase]
    tails = [*string.digits, *string.ascii_lowercase, *WORDS["endings"][1:]]
    whole = {word for group in _groups() for word in group if word.isalpha()}
    forms = [form for name in ("agreeing", "cases", "plurals", "stems") for form in FACTS[name]]
    whole |= {word for words in forms for word in words}
    text = re.sub(r"\w+:|\{[^}]*\}\w*", " ", " ".join([*_SECTIONS.values(), *MODIFIERS]))
    other = set(re.findall("[a-z]{2,}", text))
    other -= {word + end for word in whole | other for end in WORDS["endings"] if len(word) > 2}
    pieces = [
        *signs,
        *(f"##{tail}" for tail in tails),
        *sorted({*PLURALS.values()} | whole | other),
    ]
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces]


def cut(word: str, vocabulary: dict[str, int]) -> list[str]:
    """Cut a word into pieces, each the longest that fits, as WordPiece does."""
    pieces: list[str] = []
    while word:
        start = "##" if pieces else ""
        end = next(n for n in range(len(word), 0, -1) if start + word[:n] in vocabulary)
        pieces.append(start + word[:end])
        word = word[end:]
    return pieces
