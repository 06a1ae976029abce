import json
import re

import numpy as np
import pytest
from byte_pairs import small_tokenizer

from minibert import (
    BartConfig,
    BartForConditionalGeneration,
    BartTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    RobertaTokenizer,
    record_checkpoint,
    verify,
)
from minibert.cli import main
from minibert.verification.inputs import read_inputs


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("\x1b[31m", r"^\\x1b\[31m holds text"),
        ("\u202e", r"^\\u202e h"),
        ("é" * 999, "^é{80}... h"),
    ],
)
def test_a_name_in_a_file_is_shown_as_a_terminal_may_show_it(tmp_path, name, says):
    (tmp_path / "inputs.json").write_text(json.dumps({name: ["a"]}))
    with pytest.raises(TypeError, match=says):
        read_inputs([str(tmp_path / "inputs.json")], tmp_path)


SIZES = {"n_embd": 15, "n_head": 3, "n_layer": 2, "n_positions": 99, "initializer_range": 0.3}
ENDS = ("<s>", "</s>", "<pad>", "<unk>", "<mask>")


@pytest.mark.parametrize("given", [[], ["the cat", "the cat sat on\tthe mat", "é é"]])
def test_texts_are_read_by_the_checkpoints_own_tokenizer(tmp_path, given):
    """GPT-2's has no pad_token; it needs none, for the mask tells."""
    tokenizer = small_tokenizer()
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **SIZES), seed=1)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    inputs = read_inputs(given, tmp_path)
    assert {*inputs} == {"input_ids", "attention_mask"}
    lengths = inputs["attention_mask"].sum(axis=1)
    assert len({*lengths.tolist()}) == 3
    assert not inputs["input_ids"][inputs["attention_mask"] == 0].any()
    if given:
        texts = [text.replace("\t", "") for text in given]
        rows = [ids[:n].tolist() for ids, n in zip(inputs["input_ids"], lengths, strict=True)]
        assert [tokenizer.decode(row) for row in rows] == texts
    report = verify(model, record_checkpoint(tmp_path, inputs))
    assert report.verdict.startswith("OK: all ")


def test_the_tokenizers_class_is_that_of_its_files(tmp_path):
    tokenizer = small_tokenizer(RobertaTokenizer, ENDS)
    tokenizer.save_pretrained(tmp_path)
    pair = ["the cat\tthe", "the"]
    found = read_inputs(pair, tmp_path)
    expected = tokenizer([("the cat", "the"), "the"], padding=True, return_tensors="np")
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_a_checkpoint_without_a_tokenizer_says_what_to_give(tmp_path):
    GPT2LMHeadModel(GPT2Config(vocab_size=9, **SIZES)).save_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="Without one, give a file with input_ids"):
        read_inputs(["the cat"], tmp_path)


def test_what_a_decoder_reads_is_made_of_the_texts(tmp_path):
    tokenizer = small_tokenizer(BartTokenizer, ENDS)
    sizes = {f"{side}_{n}": 2 for side in ("encoder", "decoder") for n in ("layers", "ffn_dim")}
    sizes |= {f"{side}_attention_heads": 3 for side in ("encoder", "decoder")}
    config = BartConfig(vocab_size=len(tokenizer), d_model=12, init_std=0.3, **sizes)
    BartForConditionalGeneration(config, seed=1).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    inputs = read_inputs(["the cat", "the cat sat"], tmp_path)
    recorded = record_checkpoint(tmp_path, inputs)
    read = recorded.inputs["decoder_input_ids"]
    assert read[:, 0].tolist() == [config.decoder_start_token_id] * 2
    np.testing.assert_array_equal(read[:, 1:], inputs["input_ids"][:, :-1])
    model = BartForConditionalGeneration.from_pretrained(tmp_path)
    assert verify(model, recorded).verdict.startswith("OK: all ")
    with pytest.raises(ValueError, match="input_ids"):
        record_checkpoint(tmp_path, {"inputs_embeds": np.ones((1, 2, 12))})
    recorded.save(tmp_path / "recorded.safetensors")
    shown = [
        "--stages",
        "encoder.layer.0",
        "decoder.layer.0",
        "--html",
        str(tmp_path / "page.html"),
    ]
    main(["verify", str(tmp_path), "--reference", str(tmp_path / "recorded.safetensors"), *shown])
    sides = (tmp_path / "page.html").read_text().split("<details")[1:]
    encoder, decoder = (re.findall(r'<span class="h.">(\S*) ', side) for side in sides)
    assert decoder[1:4] == encoder[:3] == ["&lt;s&gt;", "the", "\u0120cat"]
