"""A recording from what any program has in hand."""

import re

import numpy as np
import pytest

from minibert import Reference, verify

IDS = {"input_ids": [[5, 3, 8], [9, 1, 0]], "attention_mask": [[1, 1, 1], [1, 1, 0]]}
X = np.zeros((2, 3, 5))
PAIRS = np.zeros((2, 4, 3, 3))


class Tensor:
    """Like torch's, on a device and with a gradient: NumPy may read it after detach and cpu."""

    def __init__(self, array, ready=()):
        self.array, self.ready = np.asarray(array), ready
        self.dtype = f"torch.{self.array.dtype}"

    def detach(self):
        return Tensor(self.array, (*self.ready, "detach"))

    def cpu(self):
        return Tensor(self.array, (*self.ready, "cpu"))

    def __array__(self, dtype=None, copy=None):
        if self.ready != ("detach", "cpu"):
            raise RuntimeError("Can't call numpy() on Tensor that requires grad")
        return self.array


def test_what_is_recorded_is_verified(model, reference):
    found = Reference.from_arrays(reference.stages, reference.inputs, {"tools": "mine 1"})
    assert verify(model, found).verdict.startswith(
        "OK: all 27 stages agree, to the rounding of float"
    )
    assert found.provenance == {"tools": "mine 1", "dtype": "float64"}


def test_stages_may_be_absent(model, reference):
    few = {name: reference.stages[name] for name in ("layer.0", "embeddings")}
    assert len(verify(model, Reference.from_arrays(few, reference.inputs)).rows) == 2


@pytest.mark.parametrize("kind", [np.array, Tensor, np.ndarray.tolist])
def test_lists_arrays_and_tensors_are_taken(kind):
    given = np.arange(30.0).reshape(2, 3, 5)
    found = Reference.from_arrays({"layer.0": kind(given)}, {"input_ids": IDS["input_ids"]})
    np.testing.assert_array_equal(found.stages["layer.0"], given)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_dtype_is_kept_and_told(dtype):
    found = Reference.from_arrays({"layer.0": X.astype(dtype)}, IDS)
    assert found.stages["layer.0"].dtype == dtype
    assert found.provenance == {"dtype": dtype, "lacking": "token_type_ids"}


def test_a_recording_does_not_change_with_what_it_was_made_of():
    buffer = X.copy()
    found = Reference.from_arrays({"layer.0": buffer}, IDS)
    buffer += 1
    assert not found.stages["layer.0"].any()


def test_the_names_of_transformers_are_understood():
    states = {f"hidden_states.{i}": X + i for i in range(4)}
    others = {"attentions.1": PAIRS, "last_hidden_state": X + 3, "pooler_output": X[:, 0]}
    found = Reference.from_arrays({**states, **others}, IDS).stages
    assert set(found) == {
        *("embeddings", "layer.0", "layer.1", "layer.2", "pooler"),
        "layer.1.attention.probabilities",
    }
    # hidden_states[i] is what goes into layer i, so it is what came out of the one before
    assert [found[name][0, 0, 0] for name in ("embeddings", "layer.0", "layer.2")] == [0, 1, 3]


def test_all_layers_may_be_one_array():
    states = np.arange(4.0)[:, None, None, None] + X
    attentions = np.arange(3.0)[:, None, None, None, None] + PAIRS
    found = Reference.from_arrays({"hidden_states": states, "attentions": attentions}, IDS).stages
    assert found["layer.2"][0, 0, 0] == 3
    assert found["layer.2.attention.probabilities"][0, 0, 0, 0] == 2
    assert len(found) == 4 + 3


def test_an_empty_field_is_an_absent_stage():
    found = Reference.from_arrays({"layer.0": X, "cross_attentions": (), "attentions": None}, IDS)
    assert list(found.stages) == ["layer.0"]


def test_tensors_of_all_layers_may_be_in_a_list():
    found = Reference.from_arrays({"hidden_states": (Tensor(X), Tensor(X + 1))}, IDS).stages
    assert list(found) == ["embeddings", "layer.0"]
    assert found["layer.0"][0, 0, 0] == 1


def test_the_number_of_layers_tells_which_is_the_last():
    found = Reference.from_arrays({"last_hidden_state": X, "layer.3": X + 1}, IDS, None, 12)
    assert set(found.stages) == {"layer.3", "layer.11"}


@pytest.mark.parametrize("count", [0, -1, 2.5])
def test_the_number_of_layers_is_a_count(count):
    with pytest.raises(ValueError, match=re.escape(f"num_hidden_layers is {count}; allowed: 1")):
        Reference.from_arrays({"last_hidden_state": X}, IDS, num_hidden_layers=count)


@pytest.mark.parametrize("stages", [{}, {"layer.3": X + 1}, {"layer.1.attention": X}])
def test_which_layer_is_the_last_is_never_guessed(stages):
    with pytest.raises(ValueError, match="say num_hidden_layers=12, for instance"):
        Reference.from_arrays({"last_hidden_state": X, **stages}, IDS)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("layer.7.atention.scores", "layer.7.attention.scores"),
        ("embedding", "embeddings"),
        ("encoder.layer.3.attention.self.queri", "layer.3.attention.query"),
        ("layer.01", "layer.1"),
    ],
)
def test_a_near_miss_is_told(name, meant):
    with pytest.raises(ValueError, match=re.escape(f"there is no stage {name!r}; ")) as caught:
        Reference.from_arrays({name: X}, IDS)
    assert f"did you mean {meant!r}?" in str(caught.value)


def test_a_name_that_is_like_none_is_given_no_guess():
    with pytest.raises(ValueError, match="there is no stage 'zzz'; stages have names such as"):
        Reference.from_arrays({"zzz": X}, IDS)


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ({"layer.0": X[:, :2]}, r"stage layer.0 has the shape (2, 2, 5); needed: (B, T, C)"),
        ({"layer.0": X[0]}, "B sequences (2 in the inputs), T tokens (3 in the inputs)"),
        ({"layer.0": X, "layer.1": X[..., 1:]}, "C hidden size (5 in stage layer.0)"),
        ({"pooler": X}, "stage pooler has the shape (2, 3, 5); needed: (B, C)"),
        ({"layer.0.attention.scores": X}, "needed: (B, H, T, T): "),
        ({"layer.0.attention.scores": PAIRS[..., :2]}, "has the shape (2, 4, 3, 2)"),
        (
            {"layer.0.attention.scores": PAIRS, "layer.1.attention.scores": PAIRS[:, 1:]},
            "H heads (4 in stage layer.0.attention.scores)",
        ),
        ({"layer.0.attention.query": np.zeros((2, 4, 3, 2))}, "put the heads side by side again"),
        ({"layer.0": X, "layer.0.feed_forward.activation": X[0]}, "F size of the feed-forward"),
        ({"logits": np.zeros((2, 2, 5))}, "stage logits has the shape (2, 2, 5)"),
        ({"layer.0": X, "hidden_states.1": X + 1}, "is the stage layer.0, which is there too"),
        ({"attentions": X}, "attentions has the shape (2, 3, 5); needed: 5 axes"),
        ({"input_ids": X}, "input_ids among the stages: they belong to the inputs"),
    ],
)
def test_what_does_not_fit_is_said(stages, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        Reference.from_arrays(stages, IDS)


@pytest.mark.parametrize("logits", [(2, 3, 89), (2, 3, 2), (2, 2)])
def test_the_logits_of_every_head_fit(logits):
    assert Reference.from_arrays({"logits": np.zeros(logits)}, IDS).stages["logits"].shape == logits


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, "with input_ids or inputs_embeds among them"),
        ({**IDS, "targets": [1, 2]}, "targets"),
        ({**IDS, "attention_mask": [[1, 1, 1]]}, "as in the others: (2, 3)"),
        ({"input_ids": [1, 2, 3]}, "input_ids has the shape (3,); needed: (sequences, tokens)"),
        ({"input_ids": [[1, 2], [3]]}, "input_ids is ragged"),
        ({**IDS, "position_ids": [0, 1]}, "position_ids has the shape (2,)"),
        ({"inputs_embeds": X[0]}, "needed: (sequences, tokens, hidden size)"),
    ],
)
def test_inputs_that_do_not_fit_are_said(inputs, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        Reference.from_arrays({"layer.0": X}, inputs)


def test_positions_may_do_for_all_sequences():
    for positions in ([0, 1, 2], [[0, 1, 2]], [[0, 1, 2], [2, 1, 0]]):
        Reference.from_arrays({"layer.0": X}, {**IDS, "position_ids": positions})


@pytest.mark.parametrize(
    ("dtype", "how"), [("torch.bfloat16", "x.float()"), ("mlx.bfloat16", "x.astype('float32')")]
)
def test_bfloat16_that_numpy_cannot_read_names_the_way_out(dtype, how):
    tensor = Tensor(X)
    tensor.detach = tensor.cpu = lambda: tensor
    tensor.dtype = dtype
    says = f"stage layer.0 is bfloat16, which NumPy lacks; pass it as float32: {how}"
    with pytest.raises(TypeError, match=re.escape(says)):
        Reference.from_arrays({"layer.0": tensor}, IDS)


HALF = (np.arange(-15.0, 15.0).reshape(2, 3, 5) / 8).astype(np.float32)
BITS = (HALF.view(np.uint32) >> 16).astype(np.uint16)  # of bfloat16


class OfTorch:
    """Like a tensor of bfloat16 of torch: NumPy may not read it."""

    dtype = "torch.bfloat16"

    def detach(self):
        return self

    cpu = detach

    def float(self):
        return Tensor(HALF, ("detach", "cpu"))

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Got unsupported ScalarType BFloat16")


class OfJax:
    """Like an array of JAX or TensorFlow: NumPy gets what NumPy calls two bytes."""

    dtype = "bfloat16"

    def __array__(self, dtype=None, copy=None):
        return BITS.view("V2")


@pytest.mark.parametrize("given", [BITS.view("V2"), OfTorch(), OfJax(), (BITS.view("V2"),)])
def test_bfloat16_is_widened_and_told(given):
    name, numbers = ("layer", HALF) if isinstance(given, tuple) else ("layer.0", HALF)
    found = Reference.from_arrays({name: given}, IDS)
    np.testing.assert_array_equal(found.stages["layer.0"], numbers)
    assert found.stages["layer.0"].dtype == np.float32
    assert found.provenance["dtype"] == "bfloat16"


class OfOpenVino:
    """Like its tensors: an array lies in ``data``."""

    data = X


class OfTinygrad:
    """Like its tensors: ``numpy()`` makes an array, and iterating over it is no way."""

    dtype = "dtypes.float"

    def numpy(self):
        return X

    def __iter__(self):
        raise RuntimeError


@pytest.mark.parametrize("kind", [OfOpenVino, OfTinygrad])
def test_tensors_without_the_protocol_of_arrays_are_taken(kind):
    stages = {"hidden_states": (kind(), kind()), "layer.1": kind()}
    found = Reference.from_arrays(stages, {"input_ids": IDS["input_ids"]})
    assert list(found.stages) == ["embeddings", "layer.0", "layer.1"]


@pytest.mark.parametrize(
    ("stages", "inputs", "provenance", "says"),
    [
        ({"layer.0": X.astype(int)}, IDS, {}, "stage layer.0 holds int64; needed: float64"),
        ({"layer.0": "words"}, IDS, {}, "stage layer.0 holds text"),
        ({"layer.0": object()}, IDS, {}, "stage layer.0 holds objects"),
        ({"layer.0": X}, {"input_ids": X[0] + 0.5}, {}, "input_ids holds float64; needed: whole"),
        ({"layer.0": X}, IDS, {"tools": 1}, "provenance['tools'] is an int; needed: a text"),
    ],
)
def test_what_is_of_another_kind_is_said(stages, inputs, provenance, says):
    with pytest.raises(TypeError, match=re.escape(says)):
        Reference.from_arrays(stages, inputs, provenance)
