"""Faults of the inputs: the mask, token types, positions, words, and the order of all these."""

# ruff: noqa: E501 - tables are read by their columns
# fmt: off
import numpy as np
from planting import both, fault, given, step, weights

SCORES = r"layer\.0\.attention\.(scores|probabilities)"  # the mask is in what softmax is given
SUM = r"embeddings\.sum"

# the mask


def keys(change):
    return given(lambda mask, **_: {"allowed": change(mask)[:, None]})


def last(mask):
    return mask & (np.cumsum(mask, 1) == mask.sum(1, keepdims=True))


def added(real, padding):
    """Add small numbers in place of a large negative one."""

    def mask(bert, old, at, scores):
        return scores + np.where(bert.inputs["mask"], real, padding)[:, None, None].astype(bert.dtype)

    return step("mask", mask)


def unmasked(bert, old, at, scores):
    return scores


def over_queries(mask, **_):
    return {"allowed": np.broadcast_to(mask[:, :, None], (*mask.shape, mask.shape[1]))}


def after_softmax(bert, old, at, scores):
    return old(at, scores) * bert.inputs["mask"][:, None, None]


def causal(mask, **_):
    length = mask.shape[1]
    return {"allowed": mask[:, None] & np.tri(length, dtype=bool)}


ADDED = r"mask.*(add|1 and 0|0 and 1|-1|small|weak)"  # which two numbers, softmax does not show
MISSING = r"padding.*attended|mask.*(missing|not passed|ignored)"
for name, words, plant in (
    ("missing", MISSING, keys(np.ones_like)),
    ("inverted", r"mask.*invert", keys(np.logical_not)),
    ("one short", r"mask.*short", keys(lambda mask: mask & ~last(mask))),
    ("one long", r"mask.*long", keys(lambda mask: mask | np.roll(last(mask), 1, 1))),
    (
        "[CLS] hidden",
        r"mask.*(hid\w+|without) the first|\[CLS\]",
        keys(lambda mask: mask & (np.arange(mask.shape[1]) > 0)),
    ),
    ("turned round", r"mask.*(turned|revers)", keys(lambda mask: mask[:, ::-1])),
    ("of the other sequences", r"mask.*(sequence|order|row)", keys(lambda m: m[[1, 2, 0]])),
    ("on the query axis", r"mask.*quer", given(over_queries)),
    ("after the softmax", r"mask.*after the softmax", both(step("mask", unmasked), step("softmax", after_softmax))),
    ("added as 1 and 0", ADDED, added(1, 0)),
    ("added as 0 and -1", ADDED, added(0, -1)),
    ("causal", r"causal|(later|next|following) (tokens|keys)|tokens? before", given(causal)),
    (
        "swapped with the token types",
        r"mask and the token types.*swapped",
        given(lambda mask, types, **_: {"allowed": types[:, None] != 0, "types": mask * 1}),
    ),
):
    stage = SUM if "types" in name else SCORES
    fault("mask", f"mask {name}", stage, words, plant)
fault(
    *("mask", "mask missing in layer.2 alone", SCORES.replace("0", "2"), MISSING),
    step("mask", unmasked, r"layer\.2\..*"),
)

# token types, positions, words, order


def without(table):
    return weights(rf"embeddings\.{table}", np.zeros_like)


def counted(mask):
    return np.maximum(np.cumsum(mask, 1) - 1, 0)


def restarted(types, mask, positions, **_):
    second = types == 1
    return {"positions": np.where(second, np.cumsum(second, 1) - 1, positions)}


def turned(ids, types, mask, **_):
    """Return [CLS] B [SEP] A [SEP]."""
    ids, types = ids.copy(), types.copy()
    for row, real in enumerate(mask):
        first = np.flatnonzero(real & (types[row] == 0))[1:]
        second = np.flatnonzero(real & (types[row] == 1))
        ids[row, real] = ids[row, [np.flatnonzero(real)[0], *second, *first]]
        types[row, real] = np.arange(real.sum()) > len(second)
    return {"ids": ids, "types": types}


def replaced(*new):
    """Put other ids at columns 3 and 4 of the first sequence."""

    def change(ids, **_):
        ids = ids.copy()
        ids[0, [3, 4]] = new
        return {"ids": ids}

    return given(change)


def backwards(ids, mask, **_):
    ids = ids.copy()
    for row, real in enumerate(mask):
        ids[row, real] = ids[row, real][::-1]
    return {"ids": ids}


ORDER = [2, 0, 1]
for name, words, plant, others in (
    ("token types all 1", r"token types.*all 1", given(lambda types, **_: {"types": types * 0 + 1}), {}),
    ("token types all 0", r"token types.*all 0", given(lambda types, **_: {"types": types * 0}), {}),
    ("token types absent", r"(no|without) token types|token types.*(absent|missing|left out)", without("token_type"), {}),
    ("token types swapped", r"token types.*swapped", given(lambda types, **_: {"types": 1 - types}), {}),
    ("positions restarting", r"positions.*(start again|restart)", given(restarted), {}),
    ("positions reversed", r"positions.*revers", given(lambda positions, **_: {"positions": positions[:, ::-1]}), {}),
    ("positions from 1", r"positions from 1", given(lambda positions, **_: {"positions": positions + 1}), {}),
    ("positions from 2", r"positions from 2", given(lambda positions, **_: {"positions": positions + 2}), {}),
    ("positions all 0", r"positions.*all 0", given(lambda positions, **_: {"positions": 0 * positions}), {}),
    ("positions absent", r"(no|without) positions|positions.*(absent|missing|left out)", without("position"), {}),
    ("positions following left padding", r"positions.*(real tokens|padding)", given(lambda mask, **_: {"positions": counted(mask)}), {"left": True}),
    ("positions from 2 over real tokens", r"positions.*from 2", given(lambda mask, **_: {"positions": np.where(mask, counted(mask) + 2, 1)}), {"left": True}),
    # the words of a recording without embeddings cannot be read off; that there are others can
    ("two words of one sequence", r"\b3\b.*\b4\b.*\b17\b.*\b5\b", replaced(17, 5), {"partly": r"17.*\b5\b|other (words|ids|tokens)"}),
    ("one word unknown", r"(word|id|token)\w*\b.*\b3\b.*\b1\b", lambda bert: replaced(1, bert.inputs["ids"][0, 4])(bert), {"partly": r"(word|id|token)\w*\b.*\b3\b.*\b1\b|other (words|ids|tokens)"}),
    ("pairs in the other order", r"(pair|text|segment).*other order", given(turned), {}),
    ("tokens reversed", r"tokens.*revers|reverse", given(backwards), {}),
    ("ids shifted by one", r"word.*(next|shift|row)", given(lambda ids, **_: {"ids": ids + 1}), {}),
    ("sequences in another order", r"sequences.*order.*2, 0, 1", lambda bert: bert.inputs.update({name: x[ORDER] for name, x in bert.inputs.items()}), {}),
):
    fault("words" if name.split()[0] not in ("token", "positions") else name.split()[0], name, SUM, words, plant, **others)
