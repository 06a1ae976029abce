"""The numbers that the engine must reach, against what transformers on torch computed."""

import json

import numpy as np
import pytest

from minibert import BertModel, verify
from minibert.trace import stage_axes
from minibert.verification.compare import real_places


def errors(folder, reference, dtype):
    """Yield (stage, errors of its real numbers, scale of the stage) against torch's float64."""
    model = BertModel.from_pretrained(folder, dtype=dtype)
    stages = {}
    model(**reference.inputs, trace=stages)
    for name, axes in stage_axes(model.config.num_hidden_layers).items():
        if name in reference.stages:
            exact = reference.stages[name]
            places = np.broadcast_to(real_places(axes, reference.real_tokens()), exact.shape)
            yield name, np.abs(stages[name] - exact)[places], np.abs(exact[places]).max()


def test_float64_agrees_with_torch_to_1e_12_of_the_scale(recorded):
    for stage, error, scale in errors(*recorded, "float64"):
        assert error.max() <= 1e-12 * scale, stage


def test_float32_errs_no_more_than_torch_float32(recorded):
    folder, reference = recorded
    torch_errors = json.loads(reference.provenance["float32_errors"])
    compared = 0
    for stage, error, _ in errors(folder, reference, "float32"):
        if stage == "pooler":
            continue  # a row for each sequence: too few for a mean
        mean_square, largest = torch_errors[stage]
        assert np.sqrt((error**2).mean()) <= 1.2 * mean_square, stage
        assert error.max() <= 2 * largest, stage
        compared += 1
    assert compared == len(reference.stages) - 1 >= 7


def test_verification_passes(recorded):
    folder, reference = recorded
    report = verify(BertModel.from_pretrained(folder), reference)
    assert report.ok, str(report)
    assert [row.stage for row in report.rows] == sorted(
        reference.stages, key=list(stage_axes(6)).index
    )


def test_the_course_sentences_have_the_shape_of_the_readme(minilm_folder):
    model = BertModel.from_pretrained(minilm_folder)
    output = model([[101, 7592, 999, 102], [101, 4658, 1012, 102], [101, 3835, 999, 102]])
    assert output.last_hidden_state.shape == (3, 4, 384)
    assert output.last_hidden_state.dtype == np.float32


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", ["one_thread", "two_threads"])
def test_a_sequence_alone_equals_the_same_among_longer_ones(minilm_folder, dtype, threads, request):
    """To rounding: what is summed in which order depends on how many tokens there are."""
    request.getfixturevalue(threads)
    rounding = 8 * np.finfo(dtype).eps
    model = BertModel.from_pretrained(minilm_folder, dtype=dtype)
    random = np.random.default_rng(5)
    lengths = [3, 17, 9, 33]
    ids = np.zeros((len(lengths), max(lengths)), int)
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
    ids[mask] = random.integers(999, 30000, mask.sum())
    together = model(ids, mask)
    for row, length in enumerate(lengths):
        alone = model(ids[row : row + 1, :length])
        among = together.last_hidden_state[row, :length]
        scale = np.abs(among).max()
        np.testing.assert_allclose(among, alone.last_hidden_state[0], rtol=0, atol=rounding * scale)
        pooled = together.pooler_output[row]
        np.testing.assert_allclose(pooled, alone.pooler_output[0], rtol=0, atol=rounding)
