import re
import shutil

import numpy as np
import pytest
from byte_pairs import small_tokenizer
from shown import realistic, report, row

from minibert import EMBEDDED_CHECKPOINT
from minibert.verification.page import LEVELS, MAX_STAGES, MAX_TOKENS, page, token_texts

NAN, INF = float("nan"), float("inf")


def shown(errors, tokens=None):
    errors = {"pooler": np.array(errors, dtype=float)}
    return page(report([row("pooler")], token_errors=errors), tokens)


def chips(text):
    """The classes, labels and errors of the tokens."""
    return re.findall(r'<span class="(h.|pad)">([^<]*)(?:<small>([^<]*)</small>)?</span>', text)


def opened(text):
    text = text.replace("\n", "").replace("<wbr>", "")
    names = re.findall(r"<details( open)?><summary><code>(.*?)</code>", text)
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
    labels = [label.strip() for _, label, _ in found]  # a space keeps it from its number
    assert labels == ["the", "2 padding", "&lt;b&gt;", "a", "1", "2 padding"]


def test_the_first_faulty_stage_is_open():
    is_open, names = opened(page(realistic()))
    assert is_open == ["layer.2.feed_forward.activation"]
    assert names == ["layer.2.feed_forward.activation", "layer.5.attention"]


def test_without_faults_the_largest_error_is_open():
    errors = {"a": np.full((1, 2), 1e-7), "b": np.full((1, 2), 1e-6), "c": np.full((1, 2), NAN)}
    found = report([row("a"), row("b"), row("c")], token_errors=errors)
    assert opened(page(found)) == (["b"], ["b"])


def test_stages_are_chosen_by_name():
    wanted = ["pooler", "layer.1", "nowhere"]
    assert opened(page(realistic(), None, wanted)) == (["pooler"], ["pooler", "layer.1"])


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (3, 0)])
def test_no_tokens(shape):
    assert chips(shown(np.zeros(shape))) == []


def test_no_errors():
    assert "No errors by token" in page(report([row("pooler", "FAULT")]))


def test_all_padding():
    assert chips(shown(np.full((2, 3), NAN))) == []


def test_many_faults_do_not_make_a_book():
    rows = [row(f"stage{i}", "FAULT") for i in range(50)]
    found = report(rows, token_errors={one.stage: np.ones((1, 1)) for one in rows})
    assert len(opened(page(found))[1]) == MAX_STAGES


def test_of_a_fault_in_several_layers_the_first_is_shown():
    rows = [row(f"layer.{i}", "FAULT") for i in range(5)]
    found = report(rows, token_errors={one.stage: np.ones((1, 1)) for one in rows})
    assert opened(page(found)) == (["layer.0"], ["layer.0"])


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


def test_each_stack_has_the_texts_of_its_own_tokens():
    names = [
        "encoder.layer.0",
        "decoder.layer.0.cross_attention.value",
        "decoder.layer.0.cross_attention.scores",
        "decoder.layer.0",
    ]
    errors = {name: np.ones((1, 2)) for name in names}
    found = report([row(name) for name in names], token_errors=errors)
    for name in names:
        text = page(found, [["of", "decoder"]], [name], source=[["of", "encoder"]])
        of_source = name in names[:2]
        assert [label.strip() for _, label, _ in chips(text)][1] == ("de", "en")[
            of_source
        ] + "coder"
    assert "encoder" not in "".join(label for _, label, _ in chips(page(found, None, names[:1])))


def test_tokens_of_bytes_are_known_by_their_own_tokenizer(tmp_path):
    tokenizer = small_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    ids = tokenizer(["the cat"], return_tensors="np")["input_ids"]
    assert token_texts(tmp_path, ids) == [["the", "\u0120cat"]]
