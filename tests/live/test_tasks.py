"""Sentence embeddings beside those of sentence-transformers."""

import numpy as np
import pytest

from minibert.tasks import embed

REASON = "a live check: pip install torch==2.13.0, then sentence-transformers"
sentence_transformers = pytest.importorskip("sentence_transformers", reason=REASON)

TEXTS = [
    "This is an example sentence",
    "Each sentence is converted",
    "The quick brown fox jumps over the lazy dog.",
    "naïve café, Übung, 東京",
    "",
    "a " * 400,
    *(f"Sentence number {i} is {'very ' * i}long." for i in range(40)),
]


def test_they_agree_to_1e_6(minilm_folder):
    model = sentence_transformers.SentenceTransformer(str(minilm_folder), device="cpu")
    theirs = model.encode(TEXTS)
    with pytest.warns(UserWarning, match="longer than the 256 tokens"):  # theirs is cut, too
        ours = embed(TEXTS, model=minilm_folder)
    assert ours.shape == theirs.shape == (len(TEXTS), 384)
    assert np.abs(ours - theirs).max() <= 1e-6
