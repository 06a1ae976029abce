import numpy as np
import pytest

from minibert.models.outputs import BaseModelOutputWithPooling

LAST, POOLED, LAYERS = np.ones((3, 5, 7)), np.zeros((3, 7)), (np.ones((3, 5, 7)),) * 2
BARE = BaseModelOutputWithPooling(LAST, POOLED)
FULL = BaseModelOutputWithPooling(LAST, POOLED, LAYERS, LAYERS[:1])
GAP = BaseModelOutputWithPooling(LAST, POOLED, attentions=LAYERS)
KEYS = ("last_hidden_state", "pooler_output", "hidden_states", "attentions")


def same(found, expected):
    return len(found) == len(expected) and all(map(lambda a, b: a is b, found, expected))


def test_a_field_is_an_attribute_a_key_and_a_number():
    assert FULL.pooler_output is FULL["pooler_output"] is FULL[1] is POOLED
    assert FULL.hidden_states is FULL["hidden_states"] is FULL[2] is FULL[-2] is LAYERS


@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        (slice(2), (LAST, POOLED)),
        (slice(1, None), (POOLED, LAYERS)),
        (slice(-1, None), (LAYERS,)),
        (slice(None, None, -1), (LAYERS, POOLED, LAST)),
        (slice(5, None), ()),
    ],
    ids=str,
)
def test_slices_are_tuples(piece, expected):
    assert isinstance(GAP[piece], tuple)
    assert same(GAP[piece], expected)


@pytest.mark.parametrize(
    ("output", "keys", "fields"),
    [
        (BARE, KEYS[:2], (LAST, POOLED)),
        (GAP, (*KEYS[:2], "attentions"), (LAST, POOLED, LAYERS)),
        (FULL, KEYS, (LAST, POOLED, LAYERS, LAYERS[:1])),
    ],
    ids=["bare", "gap", "full"],
)
def test_fields_that_are_none_are_passed_over(output, keys, fields):
    assert tuple(output.keys()) == keys
    assert len(output) == len(keys)
    assert same(output.to_tuple(), [output[key] for key in keys])
    assert same(output.values(), output.to_tuple())
    assert same(output.to_tuple()[:2], fields[:2])
    assert output[len(keys) - 1] is output[keys[-1]]
    assert tuple(key for key, _ in output.items()) == keys
    assert same([field for _, field in output.items()], output.to_tuple())


def test_what_is_in_it():
    assert "pooler_output" in BARE
    assert "hidden_states" not in BARE
    assert "keys" not in BARE
    assert BARE.hidden_states is None


def test_becomes_a_dict():
    assert dict(GAP) == {"last_hidden_state": LAST, "pooler_output": POOLED, "attentions": LAYERS}
    assert list({**BARE}) == ["last_hidden_state", "pooler_output"]


@pytest.mark.parametrize("key", ["hidden_states", "logits", "keys"])
def test_a_key_that_is_not_there(key):
    with pytest.raises(KeyError, match=f"no '{key}'; it has last_hidden_state, pooler_output"):
        BARE[key]


def test_an_index_that_is_not_there():
    with pytest.raises(IndexError):
        BARE[2]


def unpack(output):
    _, pooled = output
    return pooled


@pytest.mark.parametrize("loop", [unpack, list, tuple, iter], ids=lambda loop: loop.__name__)
def test_unpacking_says_what_to_do(loop):
    """Transformers gives names here, not arrays: ``_, pooled = model(...)`` is a known trap."""
    with pytest.raises(TypeError, match=r"WithPooling cannot be unpacked .*to_tuple.*return_dict"):
        loop(BARE)
