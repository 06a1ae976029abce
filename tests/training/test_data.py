import numpy as np
import pytest

from minibert import EMBEDDED_CHECKPOINT, BertTokenizer
from minibert.losses import IGNORED
from minibert.training.data import Reader, read_rows

TOKENIZER = BertTokenizer.from_pretrained(EMBEDDED_CHECKPOINT)
READER = Reader(TOKENIZER, 64)


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return write


def test_a_table_and_its_quotes(write):
    rows = [{"text": 'the "red", ball', "label": "a"}, {"text": "it is", "label": "b"}]
    assert read_rows(write("x.csv", 'text,label\n"the ""red"", ball",a\nit is,b\n')) == rows
    assert read_rows(write("x.tsv", "text\tlabel\n" + '"the ""red"", ball"\ta\nit is\tb\n')) == rows
    assert read_rows(write("y.csv", 'text,label\n"a\nb",c\n'))[0]["text"] == "a\nb"
    lines = '{"text": "the \\"red\\", ball", "label": "a"}\n\n{"text": "it is", "label": "b"}\n'
    assert read_rows(write("x.jsonl", lines)) == rows


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.csv", "text,label\na,b,c\n", "line 2, has other than 2 columns"),
        ("x.csv", "text,label\na\n", "line 2, has other than 2 columns"),
        ("x.csv", "text,label\n", "has no rows"),
        ("x.csv", 'text,label\n"a,b\n', "unexpected end of data"),
        ("x.jsonl", '{"text": 1}\n{', "line 2: Expecting property name"),
        ("x.jsonl", "[1]", "line 1, is a list; needed: an object a line"),
        ("x.xlsx", "text", r"ends with '.xlsx'; known: .csv, .tsv, .jsonl"),
    ],
)
def test_what_is_no_table(write, name, text, said):
    with pytest.raises(ValueError, match=said):
        read_rows(write(name, text))


def test_classes_are_named_in_order_and_held_out_ones_are_known(write):
    path = write("x.csv", "text,label\nthe ball,yes\nthe box,no\nthe ball,no\n")
    examples, names = READER.classify(path)
    assert names == ["no", "yes"]
    assert [example.labels["labels"] for example in examples] == [1, 0, 0]
    assert examples[0].inputs["input_ids"] == TOKENIZER("the ball")["input_ids"]
    other = write("y.csv", "text,label\nthe ball,maybe\n")
    with pytest.raises(ValueError, match="has the label 'maybe'; known: 'no', 'yes'"):
        READER.classify(other, names)


def test_pairs_and_what_is_too_long(write):
    path = write("x.csv", "sentence1,sentence2,label\nthe ball,it is red,1\n")
    examples, _ = Reader(TOKENIZER, 6).classify(path)
    assert len(examples[0].inputs["input_ids"]) == 6
    assert 1 in examples[0].inputs["token_type_ids"]


def test_numbers(write):
    examples, _ = READER.regress(write("x.tsv", "text\tscore\nthe ball\t-1.5e0\n"))
    assert examples[0].labels == {"labels": -1.5}
    for odd in ("high", "nan", "1e999"):
        with pytest.raises(ValueError, match=f"has the label '{odd}'; needed: a number"):
            READER.regress(write("x.tsv", f"text\tscore\nthe ball\t{odd}\n"))


def test_a_word_is_labelled_by_its_first_piece(write):
    words = ["the", "balls", "unseen"]
    line = '{"tokens": ["the", "balls", "unseen"], "tags": ["A", "B", "A"]}'
    examples, names = READER.tag(write("x.jsonl", line))
    found = TOKENIZER(words, is_split_into_words=True)
    labels, places = examples[0].labels["labels"], found.word_ids()
    assert names == ["A", "B"]
    assert [x for x in labels if x != IGNORED] == [0, 1, 0]
    first = [places.index(word) for word in range(3)]
    assert [i for i, x in enumerate(labels) if x != IGNORED] == first
    empty = '{"tokens": [], "tags": []}'
    assert len(READER.tag(write("x.jsonl", f"{empty}\n{line}")).examples) == 1
    with pytest.raises(ValueError, match=r"x\.jsonl' has texts without words"):
        READER.tag(write("x.jsonl", empty))
    with pytest.raises(ValueError, match="lists of the same length"):
        READER.tag(write("y.jsonl", '{"tokens": ["the"], "tags": []}'))


def test_columns_that_are_not_there(write):
    with pytest.raises(ValueError, match="has the columns txt, label; needed: one of text, sent"):
        READER.classify(write("x.csv", "txt,label\na,b\n"))


def test_words_are_hidden_by_the_rule_and_others_in_each_epoch(write):
    texts = write("x.txt", "the ball is red .\nanna is in the garden .\n" * 400)
    masked = READER.mask(texts).examples
    counts, total = np.zeros(3), 0
    for i, example in enumerate(masked):
        ids, labels = (np.array(x) for x in (example.inputs["input_ids"], example.labels["labels"]))
        right = np.array(masked.rows[i]["input_ids"])
        asked = labels != IGNORED
        assert asked.any()
        assert (labels[asked] == right[asked]).all()
        assert (ids[~asked] == right[~asked]).all()
        assert not np.isin(right[asked], TOKENIZER.all_special_ids).any()
        total += (~np.isin(right, TOKENIZER.all_special_ids)).sum()
        hidden, stays = ids == TOKENIZER.mask_token_id, ids == right
        counts += [(asked & hidden).sum(), (asked & stays).sum(), (asked & ~hidden & ~stays).sum()]
    assert 0.15 <= counts.sum() / total <= 0.25  # one at least in each, and these are short
    np.testing.assert_allclose(counts / counts.sum(), [0.8, 0.1, 0.1], atol=0.04)
    assert masked[3] == masked[3]
    assert masked.of_epoch((0, 1))[:9] != masked.of_epoch((0, 2))[:9]


def test_a_text_without_words_is_left_out(write):
    assert {*TOKENIZER("[MASK] [UNK]")["input_ids"]} <= {*TOKENIZER.all_special_ids}
    masked = READER.mask(write("x.txt", "[MASK] [UNK]\nthe ball\n")).examples
    assert len(masked) == 1
    assert masked.rows[0]["input_ids"] == TOKENIZER("the ball")["input_ids"]
    with pytest.raises(ValueError, match=r"x\.txt' has texts without words"):
        READER.mask(write("x.txt", "[MASK] [UNK]\n"))
