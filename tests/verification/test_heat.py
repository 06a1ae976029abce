import re
import shutil

import numpy as np
import pytest
from shown import Report, Row, realistic

from minibert import EMBEDDED_CHECKPOINT
from minibert.verification.heat import LEVELS, MAX_STAGES, MAX_TOKENS, heat_maps, token_texts

NAN, INF = float("nan"), float("inf")


def shown(errors, tokens=None):
    report = Report([Row("pooler")], token_errors={"pooler": np.array(errors, dtype=float)})
    return heat_maps(report, tokens, None)


def chips(text):
    """The classes and labels of the tokens, without those of the scale."""
    found = re.findall(r'<span class="(\w+)">([^<]*)(?:<small>([^<]*)</small>)?</span>', text)
    return found[LEVELS:]


def opened(text):
    names = re.findall(r"<details( open)?><summary><code>(.*?)</code>", text.replace("\n", ""))
    return [name for is_open, name in names if is_open], [name for _, name in names]


def test_larger_errors_have_higher_shades():
    found = chips(shown([[0, 1e-9, 1e-7, 1e-5, 1e-3, 1e-2, INF]]))
    levels = [int(style[1:]) for style, _, _ in found]
    assert levels == sorted(levels)
    assert levels[0] == 0
    assert levels[-1] == LEVELS - 1
    assert len(set(levels)) == 4  # a shade is a decade here
    assert [error for _, _, error in found][:2] == ["0", "1.0e-09"]


@pytest.mark.parametrize("error", [0.0, 1e-7, INF, 5e-324])
def test_one_token(error):
    assert len(chips(shown([[error]]))) == 1


def test_tokens_stand_where_they_are_and_padding_is_said():
    found = chips(shown([[1, NAN, NAN, 2], [3, 4, NAN, NAN]], [["the", "-", "-", "<b>"], ["a"]]))
    labels = [label for _, label, _ in found]
    assert labels == ["the", "2 padding", "&lt;b&gt;", "a", "1", "2 padding"]


def test_the_first_faulty_stage_is_open():
    is_open, names = opened(heat_maps(realistic(), None, None))
    assert is_open == ["layer.2.feed_forward.activation"]
    assert names == ["layer.2.feed_forward.activation", "layer.5.attention"]


def test_without_faults_the_largest_error_is_open():
    errors = {"a": np.full((1, 2), 1e-7), "b": np.full((1, 2), 1e-6), "c": np.full((1, 2), NAN)}
    report = Report([Row("a"), Row("b"), Row("c")], token_errors=errors)
    assert opened(heat_maps(report, None, None)) == (["b"], ["b"])


def test_stages_are_chosen_by_name():
    wanted = ["pooler", "layer.1", "nowhere"]
    assert opened(heat_maps(realistic(), None, wanted)) == (["pooler"], ["pooler", "layer.1"])


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (3, 0)])
def test_no_tokens(shape):
    assert chips(shown(np.zeros(shape))) == []


def test_no_errors():
    assert "No errors by token" in heat_maps(Report([Row("pooler", "FAULT")]), None, None)


def test_all_padding():
    assert chips(shown(np.full((2, 3), NAN))) == []


def test_many_faults_do_not_make_a_book():
    rows = [Row(f"layer.{i}", "FAULT") for i in range(50)]
    report = Report(rows, token_errors={row.stage: np.ones((1, 1)) for row in rows})
    assert len(opened(heat_maps(report, None, None))[1]) == MAX_STAGES


def test_of_many_sequences_the_worst_are_shown():
    errors = np.full((50, 100), 1e-7)
    errors[17, 3] = errors[31, 5] = 1e-3
    text = shown(errors)
    assert len(chips(text)) == MAX_TOKENS
    assert "sequence 17<" in text
    assert "sequence 31<" in text
    assert "Not shown: 44 sequences" in text


def test_a_long_sequence_is_cut():
    text = shown(np.ones((1, MAX_TOKENS + 7)))
    assert len(chips(text)) == MAX_TOKENS
    assert "and 7 more" in text


def test_the_texts_of_tokens_are_those_of_the_tokenizer(tmp_path):
    ids = np.array([[2, 5, 3], [2, 3, 0]])
    texts = token_texts(EMBEDDED_CHECKPOINT, ids)
    vocabulary = (EMBEDDED_CHECKPOINT / "vocab.txt").read_text().split()
    assert texts == [[vocabulary[i] for i in row] for row in ids]
    assert token_texts(EMBEDDED_CHECKPOINT, ids + 10**6) is None
    shutil.copy(EMBEDDED_CHECKPOINT / "config.json", tmp_path)
    assert token_texts(tmp_path, ids) is None
