"""What the fields of a config may hold: each a test, and the same in words for who broke it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minibert.runtime.arrays import DTYPES


@dataclass(frozen=True)
class Rule:
    """What a field may hold: a test, and the same in words."""

    holds: Callable[[Any], bool]
    allowed: str


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_json(value: Any) -> bool:
    try:
        return bool(json.dumps(value))
    except (TypeError, ValueError, RecursionError):
        return False


def one_of(*values: Any) -> Rule:
    """Return the rule that allows just these values."""
    words = ", ".join("null" if value is None else json.dumps(value) for value in values)
    return Rule(lambda value: any(type(value) is type(v) and value == v for v in values), words)


def or_null(rule: Rule) -> Rule:
    """Return the rule that allows None besides."""
    return Rule(lambda value: value is None or rule.holds(value), f"{rule.allowed}, or null")


def whole(low: int, high: int) -> Rule:
    """Return the rule that allows whole numbers from low to high."""
    return Rule(lambda v: _is_whole(v) and low <= v <= high, f"a whole number from {low} to {high}")


def number(low: float, high: float) -> Rule:
    """Return the rule that allows numbers from low to high."""
    return Rule(
        lambda v: (_is_whole(v) or isinstance(v, float)) and low <= v <= high,
        f"a number from {low:g} to {high:g}",
    )


def _is_dict(value: Any, key: Rule, item: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and all(map(key.holds, value)) and all(map(item, value.values()))


SIZE, NATURAL = whole(1, 2**31 - 1), whole(0, 2**31 - 1)
LAYERS, LABELS = whole(1, 2**14), whole(1, 2**20)
# float32 can compute with these: smaller ones may be zero there, squares of larger ones infinite
POSITIVE, NON_NEGATIVE, PROBABILITY = number(1e-37, 1e5), number(0, 1e5), number(0, 1)
FLAG, DTYPE = one_of(True, False), one_of(*DTYPES, None)
PROBLEM = one_of("regression", "single_label_classification", "multi_label_classification", None)
TEXT = Rule(lambda v: isinstance(v, str), "text")
TEXTS = Rule(lambda v: isinstance(v, list) and all(map(TEXT.holds, v)), "a list of texts")
TOKEN_IDS = Rule(
    lambda v: NATURAL.holds(v) or (isinstance(v, list) and all(map(NATURAL.holds, v))),
    "a token id or a list of them",
)
NAMES_OF_IDS = Rule(
    lambda v: _is_dict(v, NATURAL, lambda x: isinstance(x, str | int)) and LABELS.holds(len(v)),
    "an object from the numbers of the labels to their names",
)
IDS_OF_NAMES = Rule(
    lambda v: _is_dict(v, TEXT, NATURAL.holds),
    "an object from the names of the labels to their numbers",
)
UNPRUNED = Rule(
    lambda v: v is None or (isinstance(v, dict) and not any(v.values())),
    "none, for pruned heads are not computed here; take the model from before the pruning",
)
UNKNOWN = Rule(_is_json, "what JSON can hold: texts, numbers, true, false, null, lists and objects")
