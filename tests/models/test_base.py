"""What all models do alike: a trace, and what they save is what they load."""

import numpy as np
import pytest
from stages import stage_axes
from swaps import Again
from wide import WIDE

from minibert import (
    AutoModel,
    BertForMaskedLM,
    BertForPreTraining,
    BertModel,
    functions,
    layers,
    swap,
)
from minibert.checkpoint.load import open_weights
from minibert.models import head_layers

MODEL = BertModel.from_pretrained(WIDE)
IDS = [[5, 17, 80, 3, 66], [9, 2, 41, 0, 0], [1, 33, 8, 28, 70]]
MASK = [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]]


class TestTrace:
    """A trace that is given twice holds the second run, whole and alone."""

    def test_what_the_caller_kept_of_the_first_run_stays(self):
        trace = {}
        MODEL(IDS, trace=trace)
        kept = dict(trace)
        before = {name: stage.copy() for name, stage in trace.items()}
        MODEL([row[::-1] for row in IDS], MASK, trace=trace)
        for name, stage in kept.items():
            np.testing.assert_array_equal(stage, before[name])
            assert not np.shares_memory(stage, trace[name])

    def test_at_padding_there_are_zeros_and_not_the_first_run(self):
        trace, fresh = {}, {}
        MODEL(IDS, trace=trace)
        MODEL(IDS, MASK, trace=trace)
        MODEL(IDS, MASK, trace=fresh)
        assert list(trace) == list(fresh) == list(stage_axes(2))
        for name, stage in trace.items():
            np.testing.assert_array_equal(stage, fresh[name])
        assert not trace["layer.0"][np.array(MASK) == 0].any()
        assert not trace["layer.1.attention.probabilities"][1, :, :, 3:].any()

    def test_the_second_run_may_have_another_shape(self):
        trace, fresh = {}, {}
        MODEL(IDS, MASK, trace=trace)
        MODEL([[7, 8, 9, 10, 11, 12, 13]], trace=trace)
        MODEL([[7, 8, 9, 10, 11, 12, 13]], trace=fresh)
        assert list(trace) == list(fresh)
        for name, stage in fresh.items():
            np.testing.assert_array_equal(trace[name], stage)

    def test_a_stage_that_the_second_run_does_not_show_is_gone(self):
        trace = {"mine": 1}
        MODEL(IDS, trace=trace)
        with swap(attention=Again("attention"), feed_forward=Again("feed_forward")):
            MODEL(IDS, trace=trace)
        hidden = ("scores", "probabilities", "intermediate", "activation")
        assert [n for n in stage_axes(2) if n not in trace] == [
            n for n in stage_axes(2) if n.endswith(hidden)
        ]
        assert trace["mine"] == 1

    def test_a_run_that_is_refused_leaves_the_trace_as_it_was(self):
        trace = {}
        MODEL(IDS, trace=trace)
        before = dict(trace)
        with pytest.raises(ValueError, match="input_ids"):
            MODEL([[10**6]], trace=trace)
        assert trace.keys() == before.keys()
        assert all(trace[name] is before[name] for name in before)

    @pytest.mark.parametrize("ids", [IDS, IDS[:1]], ids=["many", "one"])
    def test_no_array_has_two_names(self, ids):
        trace = {}
        output = MODEL(ids, output_hidden_states=True, output_attentions=True, trace=trace)
        found = [output.last_hidden_state, output.pooler_output, *output.hidden_states]
        found += [*output.attentions, *trace.values()]
        for i, one in enumerate(found):
            assert one.flags.writeable
            assert not any(np.shares_memory(one, other) for other in found[:i])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", ["one_thread", "two_threads"])
@pytest.mark.filterwarnings("ignore:not in the checkpoint, newly initialized")
def test_every_stage_has_the_dtype_of_the_model(dtype, threads, request):
    request.getfixturevalue(threads)
    for kind in (BertModel, BertForPreTraining):
        model, trace = kind.from_pretrained(WIDE, dtype), {}
        output = model(IDS, MASK, output_hidden_states=True, trace=trace)
        assert list(trace) == list(model.stage_axes())
        assert {name: x.dtype for name, x in trace.items() if x.dtype != dtype} == {}
        assert {x.dtype for x in (*output.to_tuple()[:2], *output.hidden_states)} == {
            np.dtype(dtype)
        }


class Seen:
    """Keeps every array that passes, and a copy of it as it was then."""

    def __init__(self):
        self.arrays = []

    def see(self, *values):
        self.arrays += [(x, x.copy()) for x in values if isinstance(x, np.ndarray)]

    def around(self, call):
        def seen(part, *args, **kwargs):
            self.see(*args)
            result = call(part, *args, **kwargs)
            self.see(result)
            return result

        return seen


CALLED = ("Linear", "LayerNorm", "Embeddings", "Attention", "FeedForward", "Layer", "Pooler")


@pytest.mark.parametrize("ids", [IDS, IDS[:1]], ids=["many", "one"])
@pytest.mark.parametrize("threads", ["one_thread", "two_threads"])
@pytest.mark.filterwarnings("ignore:not in the checkpoint, newly initialized")
def test_no_layer_changes_an_array(ids, threads, request, monkeypatch):
    """Not one that it was given, nor one that it returned: a trace keeps them without a copy."""
    request.getfixturevalue(threads)
    seen, model = Seen(), BertForPreTraining.from_pretrained(WIDE)
    for name in (*CALLED, "PredictionHead"):
        kind = getattr(layers if name in vars(layers) else head_layers, name)
        monkeypatch.setattr(kind, "__call__", seen.around(kind.__call__))
    ids, mask = np.array(ids), np.ones_like(ids)
    for array in (ids, mask):
        array.setflags(write=False)
    assert not any(array.flags.writeable for array in model.state_dict().values())
    model(ids, mask, trace={})
    assert len(seen.arrays) > 30
    for now, then in seen.arrays:
        np.testing.assert_array_equal(now, then)


def test_embeddings_of_a_caller_are_not_changed():
    embedded = functions.layer_norm(MODEL.embeddings.word[np.array(IDS)], 1, 0, 1e-12)
    embedded.setflags(write=False)
    output = MODEL(inputs_embeds=embedded)
    assert not np.shares_memory(output.last_hidden_state, embedded)


def test_arrays_are_found_by_their_fields():
    state = MODEL.state_dict()
    weight = state["encoder.layer.1.attention.output.LayerNorm.weight"]
    assert MODEL.array("layer.1.attention_norm.weight") is weight
    assert MODEL.array("embeddings.norm.bias") is state["embeddings.LayerNorm.bias"]


@pytest.mark.filterwarnings("ignore:not in the checkpoint, newly initialized")
def test_arrays_of_a_head_and_of_its_encoder_are_found_by_their_fields():
    model = BertForPreTraining.from_pretrained(WIDE)
    assert model.array("decoder.bias") is model.state_dict()["cls.predictions.bias"]
    assert model.array("layer.0.norm.bias") is model.bert.layers[0].norm.bias
    assert sum(array.size for array in model.state_dict().values()) == model.num_parameters()


@pytest.mark.parametrize("options", [{}, {"safe_serialization": False}])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_comes_back_to_the_last_bit(tmp_path, options, dtype):
    model = BertModel.from_pretrained(WIDE, dtype)
    model.save_pretrained(tmp_path / "saved", **options)
    again = AutoModel.from_pretrained(tmp_path / "saved", dtype)
    assert again.config.architectures == ["BertModel"]
    assert again.config.dtype == dtype
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name], array)
        assert again.state_dict()[name].dtype == np.dtype(dtype)


def test_a_model_may_be_saved_over_the_file_that_it_is_mapped_from(tmp_path):
    BertModel.from_pretrained(WIDE).save_pretrained(tmp_path)
    mapped = BertModel.from_pretrained(tmp_path)
    expected = mapped([[1, 2, 3]]).last_hidden_state
    mapped.save_pretrained(tmp_path)
    np.testing.assert_array_equal(mapped([[1, 2, 3]]).last_hidden_state, expected)
    again = BertModel.from_pretrained(tmp_path)
    np.testing.assert_array_equal(again([[1, 2, 3]]).last_hidden_state, expected)


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize(("dtype", "is_mapped"), [("float32", True), ("float64", False)])
def test_a_file_that_changes_under_an_open_model(tmp_path, safe, dtype, is_mapped):
    BertModel.from_pretrained(WIDE).save_pretrained(tmp_path, safe_serialization=safe)
    model = BertModel.from_pretrained(tmp_path, dtype=dtype)
    (path,) = model.loading_report.files
    before = model(IDS).last_hidden_state.copy()

    # replaced, by another file of this name: the model stays what it was
    other = tmp_path / "other"
    other.write_bytes(bytes(path.stat().st_size))
    kept = path.rename(tmp_path / "kept")
    other.rename(path)
    np.testing.assert_array_equal(model(IDS).last_hidden_state, before)
    path.unlink()
    np.testing.assert_array_equal(model(IDS).last_hidden_state, before)

    # written to in place: only what was converted, and so copied, stays
    with kept.open("r+b") as file:
        file.seek(kept.stat().st_size // 2)
        file.write(bytes(kept.stat().st_size // 4))
    stays = np.array_equal(model(IDS).last_hidden_state, before)
    assert stays != is_mapped


def test_a_changed_part_is_what_is_saved(tmp_path):
    model = BertModel.from_pretrained(WIDE)
    model.layers = model.layers[::-1]
    model.save_pretrained(tmp_path)
    again = BertModel.from_pretrained(tmp_path)
    np.testing.assert_array_equal(
        again.layers[0].attention.query.weight, model.layers[0].attention.query.weight
    )


@pytest.mark.filterwarnings("ignore:not in the checkpoint, newly initialized")
def test_a_head_saves_the_names_of_transformers(tmp_path):
    BertForMaskedLM.from_pretrained(WIDE).save_pretrained(tmp_path)
    names = set(open_weights(tmp_path).tensors)
    assert "bert.encoder.layer.1.attention.self.query.weight" in names
    assert "cls.predictions.transform.dense.weight" in names
    assert "cls.predictions.bias" in names
    assert "cls.predictions.decoder.weight" not in names
    model = BertForMaskedLM.from_pretrained(tmp_path)
    assert not model.loading_report.newly_initialized
    assert not model.loading_report.unused
