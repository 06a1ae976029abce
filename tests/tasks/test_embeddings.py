import io
import json
import sys

import numpy as np
import pytest

from minibert import BertModel
from minibert.tasks import embed
from minibert.tasks.embeddings import SentenceSettings, read_settings
from minibert.tokenizers import BertTokenizer

TEXTS = [
    "the cat sat .",
    "the dog lay on the red mat , in the blue house .",
    "it .",
    "the cat sat .",
]


@pytest.fixture
def pair(config, tokenizer):
    return BertModel(config, seed=1), tokenizer


def states(pair, text):
    model, tokenizer = pair
    return model(**tokenizer(text, return_tensors="np")).last_hidden_state[0]


@pytest.mark.parametrize(
    ("pooling", "pool"),
    [
        ("mean", lambda x: x.mean(axis=0)),
        ("cls", lambda x: x[0]),
        ("max", lambda x: x.max(axis=0)),
    ],
)
def test_real_tokens_are_pooled(pair, pooling, pool):
    found = embed(TEXTS, pooling, normalize=False, model=pair)
    assert found.shape == (4, 21)
    for text, vector in zip(TEXTS, found, strict=True):
        np.testing.assert_allclose(vector, pool(states(pair, text)), rtol=0, atol=2e-6)


def test_vectors_are_of_length_1_unless_that_is_not_wanted(pair):
    np.testing.assert_allclose(np.linalg.norm(embed(TEXTS, model=pair), axis=1), 1, rtol=1e-6)
    plain = embed(TEXTS, normalize=False, model=pair)
    assert np.linalg.norm(plain, axis=1).std() > 0.01


@pytest.mark.parametrize("batch_size", [1, 2, 3, 32])
def test_a_text_alone_and_among_others_is_the_same(pair, batch_size):
    together = embed(TEXTS, batch_size=batch_size, model=pair)
    for text, vector in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(vector, embed(text, model=pair), rtol=0, atol=2e-6)
    np.testing.assert_allclose(together[0], together[3], rtol=0, atol=2e-6)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_padding_may_be_on_the_left(pair, pooling):
    expected = embed(TEXTS, pooling, model=pair)
    pair[1].padding_side = "left"
    # position ids count padding, as in transformers, so only the longest text is not shifted
    found = embed(TEXTS, pooling, model=pair)
    np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"texts": TEXTS, "pooling": "sum"}, ValueError, "allowed: mean, cls, max"),
        ({"texts": TEXTS, "batch_size": 0}, ValueError, "batch_size is 0"),
        ({"texts": TEXTS, "batch_size": True}, ValueError, "batch_size is True"),
        ({"texts": ["the cat", 7]}, TypeError, "a text is a int; needed: a text"),
        ({"texts": None}, TypeError, "texts is a NoneType; needed: a text, or a list of texts"),
    ],
)
def test_what_cannot_be_embedded_is_told(pair, options, error, says):
    with pytest.raises(error, match=says):
        embed(**options, model=pair)


def test_a_count_may_be_of_numpy(pair):
    sizes = np.array([2])
    np.testing.assert_array_equal(
        embed(TEXTS, batch_size=sizes[0], model=pair), embed(TEXTS, batch_size=2, model=pair)
    )


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "count", "shown"),
    [(Terminal, 10, True), (Terminal, 9, False), (io.StringIO, 10, False)],
)
def test_a_long_list_shows_a_bar_on_a_terminal(pair, monkeypatch, stream, count, shown):
    monkeypatch.setattr(sys, "stderr", stream())
    embed(["the cat sat ."] * count, batch_size=1, model=pair)
    assert (f"{count}/{count}" in sys.stderr.getvalue()) == shown
    assert bool(sys.stderr.getvalue()) == shown


def test_no_texts_give_no_vectors(pair):
    assert embed([], model=pair).shape == (0, 21)


class TestSettings:
    @pytest.fixture
    def write(self, tmp_path):
        def write(*modules, pooling=None, sentence=None):
            kinds = [
                {"path": f"{i}_{kind}", "type": f"st.models.{kind}"}
                for i, kind in enumerate(modules)
            ]
            (tmp_path / "modules.json").write_text(json.dumps(kinds))
            (tmp_path / "1_Pooling").mkdir(exist_ok=True)
            (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(pooling or {}))
            (tmp_path / "sentence_bert_config.json").write_text(json.dumps(sentence or {}))
            return tmp_path

        return write

    def test_a_folder_without_modules_has_the_defaults(self, tmp_path):
        assert read_settings(tmp_path) == SentenceSettings("mean", True, None)

    @pytest.mark.parametrize(
        ("pooling", "expected"),
        [
            ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
            ({"pooling_mode_mean_tokens": True}, "mean"),
            ({"pooling_mode_max_tokens": True}, "max"),
            ({"pooling_mode": "cls"}, "cls"),
        ],
    )
    def test_the_files_say_how(self, write, pooling, expected):
        folder = write("Transformer", "Pooling", pooling=pooling, sentence={"max_seq_length": 3})
        assert read_settings(folder) == SentenceSettings(expected, False, 3)
        assert read_settings(
            write("Transformer", "Pooling", "Normalize", pooling=pooling)
        ).normalize

    @pytest.mark.parametrize(
        "pooling",
        [
            {},
            {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
            {"pooling_mode": "x"},
        ],
    )
    def test_another_pooling_is_refused(self, write, pooling):
        with pytest.raises(ValueError, match="known: one of mean_tokens"):
            read_settings(write("Transformer", "Pooling", pooling=pooling))

    def test_another_module_is_refused(self, write):
        with pytest.raises(ValueError, match="unknown module"):
            read_settings(write("Transformer", "Dense"))

    @pytest.mark.parametrize("path", ["../elsewhere", "/etc", "..", None])
    def test_a_module_lies_in_the_folder(self, write, path):
        folder = write("Transformer")
        module = {"path": path, "type": "sentence_transformers.models.Pooling"}
        (folder / "modules.json").write_text(json.dumps([module]))
        with pytest.raises(ValueError, match="allowed: one beside it"):
            read_settings(folder)

    def test_lower_case_before_a_tokenizer_that_keeps_it(self, write, config, tokenizer):
        folder = write("Transformer", "Pooling", pooling={"pooling_mode": "mean"})
        BertModel(config, seed=1).save_pretrained(folder)
        words = [*tokenizer.get_vocab()]
        BertTokenizer({word: i for i, word in enumerate(words)}, False).save_pretrained(folder)
        (folder / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
        same = embed(["The CAT sat", "the cat sat"], model=folder)
        np.testing.assert_allclose(*same, rtol=0, atol=1e-6)  # BLAS rounds by where a row stands
        (folder / "sentence_bert_config.json").write_text('{"do_lower_case": false}')
        kept, small = embed(["The CAT sat", "the cat sat"], model=folder)
        assert np.abs(kept - small).max() > 0.1

    @pytest.mark.parametrize(
        "sentence", [{"do_lower_case": "yes"}, {"do_lower_case": None}, {"max_seq_length": 2}]
    )
    def test_settings_that_cannot_be(self, write, sentence):
        with pytest.raises(
            ValueError, match=f"sentence_bert_config.json' has {next(iter(sentence))}"
        ):
            read_settings(write("Transformer", sentence=sentence))

    def test_the_trained_checkpoint_says_mean_normalized_256(self, minilm_folder):
        assert read_settings(minilm_folder) == SentenceSettings("mean", True, 256)


def test_like_sentences_are_near(minilm_folder):
    texts = [
        "A man is playing a guitar.",
        "Someone plays an instrument.",
        "Bread is made of flour.",
    ]
    first, second, third = embed(texts, model=minilm_folder)
    near, far = first @ second, first @ third
    assert near > 0.4 > 0.2 > far
