"""Rows: special tokens, padding, and what is cut off."""

from minibert.tokenizers import BertTokenizer, base


def test_padding_may_be_on_the_left(vocab):
    tokenizer = BertTokenizer(vocab, padding_side="left")
    batch = tokenizer(["a b", "c"], padding=True)
    assert batch.tokens(1) == ["[PAD]", "[CLS]", "c", "[SEP]"]
    assert batch.attention_mask[1] == [0, 1, 1, 1]


def test_truncation_may_be_on_the_left(vocab):
    tokenizer = BertTokenizer(vocab, truncation_side="left")
    batch = tokenizer(
        "a b c d e", max_length=4, truncation=True, stride=1, return_overflowing_tokens=True
    )
    rows = [batch.tokens(i)[1:-1] for i in range(4)]
    assert rows == [["d", "e"], ["c", "d"], ["b", "c"], ["a", "b"]]


def test_long_contexts_come_in_windows(tokenizer):
    batch = tokenizer(
        ["a b", "c"],
        ["c d e f g", "h"],
        max_length=8,
        truncation="only_second",
        stride=1,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    assert batch.overflow_to_sample_mapping == [0, 0, 1]
    assert batch.tokens(1) == ["[CLS]", "a", "b", "[SEP]", "e", "f", "g", "[SEP]"]
    assert batch.offset_mapping[1][4:7] == [(4, 5), (6, 7), (8, 9)]
    assert batch.sequence_ids(1) == [None, 0, 0, None, 1, 1, 1, None]


def test_an_empty_pair_is_a_pair(tokenizer):
    assert tokenizer("a", "").tokens() == ["[CLS]", "a", "[SEP]", "[SEP]"]


def test_an_empty_text_is_special_tokens_alone(tokenizer):
    assert tokenizer("").tokens() == ["[CLS]", "[SEP]"]
    assert tokenizer("", add_special_tokens=False)["input_ids"] == []
    none = tokenizer(["", ""], add_special_tokens=False, return_tensors="np")
    assert none.input_ids.shape == (2, 0)


def test_lone_surrogates_are_dropped(tokenizer):
    row = tokenizer("a\ud800 b", return_offsets_mapping=True)
    assert (row.tokens()[1:-1], row.offset_mapping[1:-1]) == (["a", "b"], [(0, 1), (3, 4)])


def test_what_is_cut_off_is_gone_unless_it_is_asked_for(tokenizer):
    texts = ["a b c d e", "f"]
    batch = tokenizer(texts, max_length=4)
    assert [batch.tokens(i) for i in range(len(batch.input_ids))] == [
        *(["[CLS]", "a", "b", "[SEP]"], ["[CLS]", "f", "[SEP]"])
    ]
    assert len(tokenizer(texts, max_length=4, return_overflowing_tokens=True).input_ids) == 4


def test_special_tokens_are_counted(tokenizer):
    assert [tokenizer.num_special_tokens_to_add(pair) for pair in (False, True)] == [2, 3]


def test_windows_that_nobody_asked_for_are_not_made(tokenizer, monkeypatch):
    """Of a pair there would be as many as the windows of one text times those of the other."""
    made = []
    fill = base.fill
    monkeypatch.setattr(base, "fill", lambda *given: made.append(1) or fill(*given))
    options = {"truncation": True, "max_length": 9}
    tokenizer("a b c d " * 9, "e f g h " * 9, **options)
    assert len(made) == 1
    tokenizer("a b c d " * 9, "e f g h " * 9, **options, return_overflowing_tokens=True)
    assert len(made) == 1 + 12 * 12
