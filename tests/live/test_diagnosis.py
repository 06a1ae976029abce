"""What PyTorch computes is no fault, in any precision; what it is told to do otherwise is one."""

import numpy as np
import pytest
from faults import draw_inputs
from stages import stage_axes
from wide import WIDE

from minibert import BertModel, Reference, verify

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[live]'")
transformers = pytest.importorskip("transformers")


@pytest.fixture(params=["wide", "minilm"])
def folder(request):
    return WIDE if request.param == "wide" else request.getfixturevalue("minilm_folder")


def recorded(folder, inputs, dtype="float32", train=False, **config):
    """Return the hidden states, queries and activations of transformers."""
    model = transformers.BertModel.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager", **config
    )
    stages = {}

    def keep(name):
        return lambda module, arguments, output: stages.__setitem__(name, output)

    model.train(train)
    model.embeddings.register_forward_hook(keep("embeddings"))
    model.pooler.register_forward_hook(keep("pooler"))
    for i, layer in enumerate(model.encoder.layer):
        layer.register_forward_hook(keep(f"layer.{i}"))
        layer.attention.output.register_forward_hook(keep(f"layer.{i}.attention"))
        layer.intermediate.dense.register_forward_hook(keep(f"layer.{i}.feed_forward.intermediate"))
        layer.intermediate.register_forward_hook(keep(f"layer.{i}.feed_forward.activation"))
    torch.manual_seed(0)
    with torch.inference_mode():
        model(**{name: torch.from_numpy(value) for name, value in inputs.items()})
    wide = torch.float64 if dtype == "float64" else torch.float32
    order = [name for name in stage_axes(len(model.encoder.layer)) if name in stages]
    return Reference(inputs, {name: stages[name].to(wide).numpy() for name in order})


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_a_clean_run_is_no_fault_and_its_precision_is_told(folder, dtype):
    model, random = BertModel.from_pretrained(folder), np.random.default_rng(1)
    for length in (2, 9, 20):
        inputs = draw_inputs(model.config, random, 3, length)
        report = verify(model, recorded(folder, inputs, dtype))
        assert report.ok, str(report)
        assert report.precision == dtype


def test_another_activation_is_named(folder):
    model = BertModel.from_pretrained(folder)
    inputs = draw_inputs(model.config, np.random.default_rng(1))
    report = verify(model, recorded(folder, inputs, hidden_act="relu"))
    names = [f"layer.{i}.feed_forward.activation" for i in range(model.config.num_hidden_layers)]
    assert [row.stage for row in report.faults] == names
    assert all(": the reference agrees with relu, " in row.cause for row in report.faults)


def test_another_eps_is_named(folder):
    model = BertModel.from_pretrained(folder)
    inputs = draw_inputs(model.config, np.random.default_rng(1))
    report = verify(model, recorded(folder, inputs, "float64", layer_norm_eps=1e-6))
    assert report.first_failure.stage == "embeddings"
    assert "agrees with eps 1e-06" in report.first_failure.cause


def test_training_mode_is_named(folder):
    model = BertModel.from_pretrained(folder)
    inputs = draw_inputs(model.config, np.random.default_rng(1))
    report = verify(model, recorded(folder, inputs, train=True))
    assert report.first_failure.stage == "embeddings"
    assert "dropout left on" in report.first_failure.cause
