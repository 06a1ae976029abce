"""Recording transformers, watched by hooks on torch's modules."""

import json

import numpy as np
import pytest
from stages import stage_axes
from wide import WIDE

from minibert import (
    EMBEDDED_CHECKPOINT,
    BertModel,
    Reference,
    record_checkpoint,
    record_model,
    verify,
)
from minibert.cli import main
from minibert.models import auto
from minibert.verification.record import SOURCES

REASON = "a live check: pip install torch==2.13.0, then transformers"
torch = pytest.importorskip("torch", reason=REASON)
transformers = pytest.importorskip("transformers", reason=REASON)


def theirs(kind="BertModel", attention="eager", dtype="float32"):
    torch.manual_seed(0)
    options = {"attn_implementation": attention, "dtype": dtype}
    return getattr(transformers, kind).from_pretrained(WIDE, **options).eval()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_command_records_what_we_verify(tmp_path, capsys, dtype):
    path = str(tmp_path / "r")
    assert main(["record", "--from", "transformers", "--dtype", dtype, "-o", path]) == 0
    said = f"51 stages, {Reference.load(path).real_tokens().sum()} real tokens, {dtype}, by tr"
    assert said in capsys.readouterr().out
    assert main(["verify", "--reference", path]) == 0
    assert "OK: all 51 stages agree" in capsys.readouterr().out


def test_every_stage_is_reached_and_is_the_recorded_one(reference):
    found = record_checkpoint(WIDE, reference.inputs, "transformers")
    assert list(found.stages) == list(stage_axes(2))
    for name, stage in reference.stages.items():
        np.testing.assert_allclose(found.stages[name], stage, rtol=1e-10, atol=1e-12)
    exact = BertModel.from_pretrained(WIDE, dtype="float64")
    assert verify(exact, found, atol=1e-13, rtol=1e-12).ok


def test_provenance_says_where_it_is_from(reference):
    provenance = record_checkpoint(WIDE, reference.inputs, "transformers").provenance
    errors = json.loads(provenance.pop("float32_errors"))
    versions = transformers.__version__, torch.__version__.split("+")[0]
    assert provenance == {
        "tools": "transformers {}, torch {}".format(*versions),
        "attention": "eager",
        "dtype": "float64",
        "checkpoint": "wide",
        "checkpoint_sha256": reference.provenance["checkpoint_sha256"],
    }
    recorded = json.loads(reference.provenance["float32_errors"])
    for name, (mean, largest) in errors.items():
        assert 0.3 < mean / recorded[name][0] < 3
        assert 0.3 < largest / recorded[name][1] < 3


HEADS = [
    *("MaskedLM", "NextSentencePrediction", "PreTraining"),
    *("SequenceClassification", "TokenClassification", "QuestionAnswering"),
]


@pytest.mark.parametrize("head", HEADS)
def test_heads_are_recorded_with_their_stages(tmp_path, reference, head):
    model = theirs(f"BertFor{head}")
    model.save_pretrained(tmp_path)
    ours = getattr(auto, f"AutoModelFor{head}").from_pretrained(tmp_path)
    found = record_model(model, reference.inputs)
    assert list(found.stages) == list(ours.stage_axes())
    report = verify(ours, found)
    assert report.verdict.startswith("OK"), report


def test_positions_and_embeddings_are_passed_on(reference):
    embeds = np.random.default_rng(0).normal(size=(2, 9, 21)).astype(np.float32)
    inputs = {"inputs_embeds": embeds, "position_ids": np.arange(9)[::-1]}
    found = record_model(theirs(), inputs)
    assert verify(BertModel.from_pretrained(WIDE), found).ok


def assert_not_watched(model):
    assert not [m for m in model.modules() if m._forward_hooks or m._forward_pre_hooks]
    assert torch.overrides._get_current_function_mode() is None
    assert model(torch.tensor([[1, 2, 3]])).last_hidden_state.requires_grad


def test_the_model_is_left_as_it_was(reference):
    model = theirs()
    record_model(model, reference.inputs)
    assert_not_watched(model)


def test_a_call_that_fails_leaves_nothing(reference):
    model = theirs()
    bad = model.encoder.layer[1].attention.self.value.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        record_model(model, reference.inputs)
    bad.remove()
    assert_not_watched(model)


@pytest.mark.parametrize("ids", [[[1, 2, 1000]], [[1] * 40]])
def test_what_does_not_fit_is_said_as_by_our_own_models(ids):
    with pytest.raises(ValueError, match=r"allowed: 0 to 88|positions for 31"):
        record_model(theirs(), {"input_ids": ids})


def train_one_part(model):
    model.encoder.layer[1].output.dropout.train()


@pytest.mark.parametrize("train", [lambda model: model.train(), train_one_part])
def test_training_mode_is_refused(reference, train):
    model = theirs()
    train(model)
    with pytest.raises(ValueError, match=r"training mode: dropout is random\. Call model\.eval"):
        record_model(model, reference.inputs)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_refused(reference, dtype):
    with pytest.raises(ValueError, match=f"weights are {dtype}; a recording is of float32"):
        record_model(theirs(dtype=dtype), reference.inputs)


def test_autocast_is_refused(reference):
    with (
        torch.autocast("cpu", torch.bfloat16),
        pytest.raises(ValueError, match="autocast is on, which computes in half precision"),
    ):
        record_model(theirs(), reference.inputs)


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_tf32_is_refused(reference, precision):
    model = theirs()
    torch.set_float32_matmul_precision(precision)
    try:
        with pytest.raises(ValueError, match="torch may multiply float32 in TF32"):
            record_model(model, reference.inputs)
        record_model(model.double(), reference.inputs)
    finally:
        torch.set_float32_matmul_precision("highest")


def test_attention_that_shows_no_scores_is_warned_of(reference):
    with pytest.warns(UserWarning, match=r"4 stages were not seen .* attention is 'sdpa'"):
        found = record_model(theirs(attention="sdpa"), reference.inputs)
    missing = set(stage_axes(2)) - set(found.stages)
    assert {name.rpartition(".")[2] for name in missing} == {"scores", "probabilities"}
    assert found.provenance["attention"] == "sdpa"
    assert verify(BertModel.from_pretrained(WIDE), found).ok


def test_a_feed_forward_in_chunks_is_refused(reference):
    model = theirs()
    for layer in model.encoder.layer:
        layer.chunk_size_feed_forward = 3
    with pytest.raises(ValueError, match=r"layer\.0\.feed_forward\.intermediate is computed in"):
        record_model(model, reference.inputs)


def test_another_model_is_refused(reference):
    with pytest.raises(TypeError, match=r"the model is a Linear; .* Reference\.from_arrays"):
        record_model(torch.nn.Linear(2, 3), reference.inputs)


def test_multiple_choice_is_refused(reference):
    model = theirs("BertForMultipleChoice")
    with pytest.raises(TypeError, match=r"record its model\.bert"):
        record_model(model, reference.inputs)
    assert len(record_model(model.bert, reference.inputs).stages) == 27


def test_a_pooler_that_is_drawn_is_no_reference(tmp_path, reference):
    theirs("BertForMaskedLM").save_pretrained(tmp_path)
    found = record_checkpoint(tmp_path, reference.inputs, "transformers")
    assert list(found.stages) == list(stage_axes(2))[:-1]


def test_tensors_make_a_recording_as_they_are(reference):
    """What the README says of any other code, with transformers as that code."""
    model = theirs()
    inputs = {name: torch.tensor(array) for name, array in reference.inputs.items()}
    output = model(**inputs, output_hidden_states=True)
    assert output.pooler_output.requires_grad
    stages = {f"hidden_states.{i}": state for i, state in enumerate(output.hidden_states)}
    stages |= {"last_hidden_state": output[0], "pooler_output": output.pooler_output}
    found = Reference.from_arrays(stages, inputs)
    assert list(found.stages) == ["embeddings", "layer.0", "layer.1", "pooler"]
    assert verify(BertModel.from_pretrained(WIDE), found).ok


def test_what_transformers_returns_is_a_recording(reference):
    inputs = {name: torch.tensor(array) for name, array in reference.inputs.items()}
    output = theirs()(**inputs, output_hidden_states=True, output_attentions=True)
    found = Reference.from_arrays(output, inputs)
    assert len(found.stages) == 1 + 2 + 2 + 1
    assert verify(BertModel.from_pretrained(WIDE), found).ok


def test_a_bfloat16_tensor_is_widened(reference):
    half = torch.arange(6.0).reshape(1, 2, 3).bfloat16() / 8
    found = Reference.from_arrays({"layer": (half, half)}, {"input_ids": [[1, 2]]})
    np.testing.assert_array_equal(found.stages["layer.1"], half.float().numpy())
    assert found.provenance["dtype"] == "bfloat16"


@pytest.mark.parametrize("inside", [True, False])
def test_hooks_on_every_module_are_a_recording(reference, inside):
    inputs = {name: torch.tensor(array) for name, array in reference.inputs.items()}
    model, seen = theirs(), {}

    def hook(name):
        def keep(module, arguments, output):
            whole = output if isinstance(output, torch.Tensor) else output[0]
            seen.setdefault(name, whole)

        return keep

    for name, module in (model.encoder if inside else model).named_modules():
        if name:
            module.register_forward_hook(hook(name))
    model(**inputs)
    found = Reference.from_arrays(seen, inputs, num_hidden_layers=2)
    assert len(found.stages) == 2 * 10 + (
        0 if inside else 2
    )  # scores and probabilities are no first output
    report = verify(BertModel.from_pretrained(WIDE), found)
    assert report.ok, report.verdict


@pytest.mark.parametrize("legacy", [False, True])
def test_what_torch_saves_is_read(tmp_path, reference, legacy):
    inputs = {name: torch.tensor(array) for name, array in reference.inputs.items()}
    states = model_states(inputs)
    path = tmp_path / "r.pt"
    torch.save({**inputs, **states}, path, _use_new_zipfile_serialization=not legacy)
    found = Reference.load(path)
    assert verify(BertModel.from_pretrained(WIDE), found).ok
    assert found.provenance == {"dtype": "float32"}


def model_states(inputs):
    with torch.inference_mode():
        output = theirs()(**inputs, output_hidden_states=True, output_attentions=True)
    return {
        "hidden_states": torch.stack(output.hidden_states),
        "attentions": torch.stack(output.attentions),
        "last_hidden_state": output.last_hidden_state,
    }


def test_the_checkpoint_of_the_package_is_recorded_alike_by_both():
    ids = {"input_ids": [[2, 47, 48, 3], [2, 329, 3, 3]]}
    ours, others = (record_checkpoint(EMBEDDED_CHECKPOINT, ids, source) for source in SOURCES)
    for name, stage in others.stages.items():
        np.testing.assert_allclose(ours.stages[name], stage, rtol=1e-9, atol=1e-11)
