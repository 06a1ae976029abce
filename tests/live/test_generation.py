"""Texts beside those of transformers: greedy and beams token for token, samples by what is drawn.

Hundreds of cases: small models with other options each, prompts of other lengths in one batch.
"""

import gzip
import json

import numpy as np
import pytest
from record_generation import FILE, opened, processed, record, written
from writing import CONFIGS, PAD, beams, cases, draws, likelihoods, model_of, prompts, some

import minibert

REASON = "a live check: pip install torch==2.13.0, then transformers"
torch = pytest.importorskip("torch", reason=REASON)
transformers = pytest.importorskip("transformers", reason=REASON)
transformers.logging.set_verbosity_error()

KINDS = pytest.mark.parametrize("kind", CONFIGS)


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def drawn(folder, seed, kind):
    """Return a small model, ours and that of transformers."""
    return model_of(kind, seed, folder), opened(kind, folder)


@KINDS
@pytest.mark.parametrize("part", range(3))
def test_the_texts_are_theirs(tmp_path, part, kind):
    for seed in range(100 + 20 * part, 120 + 20 * part):
        ours, theirs = drawn(tmp_path, seed, kind)
        for ids, mask, asked in cases(kind, seed):
            expected = written(theirs, ids, mask, asked).numpy()
            found = ours.generate(ids, mask, use_cache=seed % 3 > 0, **asked)
            assert np.array_equal(found, expected), (seed, asked, ids, found, expected)


def test_what_is_recorded_is_what_they_write():
    assert record() == json.loads(gzip.decompress(FILE.read_bytes()))


@KINDS
def test_the_scores_of_beams_are_theirs(tmp_path, kind):
    told = {"return_dict_in_generate": True, "output_scores": True, "suppress_tokens": [PAD]}
    for seed in range(8):
        random = np.random.default_rng(seed)
        ours, theirs = drawn(tmp_path, seed, kind)
        ids, mask = prompts(random)
        asked = {**beams(random), **told, "max_new_tokens": 9, "pad_token_id": PAD}
        asked["eos_token_id"] = some(random, 4)
        expected = written(theirs, ids, mask, asked)
        found = ours.generate(ids, mask, **asked)
        assert np.array_equal(found.sequences, expected.sequences)
        scores = expected.sequences_scores.numpy()
        np.testing.assert_allclose(found.sequences_scores, scores, rtol=2e-5, atol=2e-5)


def test_what_is_drawn_from_is_theirs(tmp_path):
    _, theirs = drawn(tmp_path, 0, "GPT2LMHeadModel")
    for seed in range(2000, 2200):
        expected, found = processed(theirs, *draws(seed)), likelihoods(*draws(seed))
        assert np.array_equal(found > 0, expected > 0), seed
        np.testing.assert_allclose(found, expected, atol=1e-6)


@KINDS
def test_what_the_files_say_counts_alike(tmp_path, kind):
    """The file that each writes, and the fields of an old config.json."""
    ids, fields = np.full((2, 3), 5), {"num_beams": 3, "length_penalty": 2.0, "max_length": 12}
    fields |= {"no_repeat_ngram_size": 2, "early_stopping": True, "min_length": 5}
    fields |= {"eos_token_id": 9, "pad_token_id": PAD, "suppress_tokens": [PAD]}
    _, model = drawn(tmp_path, 4, kind)
    for name, value in fields.items():
        setattr(model.generation_config, name, value)
    model.generation_config.forced_bos_token_id = 7
    model.save_pretrained(tmp_path)
    expected = model.generate(torch.tensor(ids)).numpy()
    ours = getattr(minibert, kind).from_pretrained(tmp_path, "float64")
    assert np.array_equal(ours.generate(ids), expected)
    ours.save_pretrained(tmp_path / "again")
    assert np.array_equal(opened(kind, tmp_path / "again").generate(torch.tensor(ids)), expected)
    (tmp_path / "generation_config.json").unlink()
    path = tmp_path / "config.json"
    old = {**json.loads(path.read_text()), **fields, "force_bos_token_to_be_generated": True}
    path.write_text(json.dumps(old | {"bos_token_id": 7}))
    expected = opened(kind, tmp_path).generate(torch.tensor(ids)).numpy()
    ours = getattr(minibert, kind).from_pretrained(tmp_path, "float64")
    assert np.array_equal(ours.generate(ids), expected)
