"""The command generate: prompts in, texts out, word by word on a terminal."""

import json
import re
import signal
import subprocess
import sys
from io import BytesIO, TextIOWrapper

import pytest

from minibert import BartTokenizer, GPT2Config, GPT2LMHeadModel, GPT2Tokenizer
from minibert.cli import main
from minibert.tokenizers.byte_level import CHARACTERS
from minibert.tokenizers.gpt2 import ByteLevelTokenizer

END = "<|endoftext|>"
SIZES = {"n_embd": 12, "n_head": 2, "n_layer": 1, "n_positions": 60, "initializer_range": 0.5}
WORDS = ("--max-new-tokens", "5")


def byte_level(kind: type[ByteLevelTokenizer], *special):
    """Return a tokenizer whose tokens are bytes."""
    tokens = [*map(CHARACTERS.get, range(256)), *special]
    return kind({token: i for i, token in enumerate(tokens)}, [])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a model that has read nothing, with a tokenizer of bytes."""
    path = tmp_path_factory.mktemp("gpt2")
    byte_level(GPT2Tokenizer, END).save_pretrained(path)
    ends = {"bos_token_id": 256, "eos_token_id": 256}
    GPT2LMHeadModel(GPT2Config(vocab_size=257, **SIZES, **ends)).save_pretrained(path)
    return str(path)


@pytest.fixture
def texts(folder):
    """Return what the model writes after prompts."""
    model, tokenizer = (
        GPT2LMHeadModel.from_pretrained(folder),
        GPT2Tokenizer.from_pretrained(folder),
    )

    def written(*prompts, **asked):
        found = []
        for prompt in prompts:
            rows = model.generate([tokenizer(prompt)["input_ids"]], max_new_tokens=5, **asked)
            found += tokenizer.batch_decode(rows)
        return found

    return written


def shown(text):
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def test_a_prompt_is_gone_on_with(folder, texts, capsys):
    assert main(["generate", folder, "hello", *WORDS]) == 0
    assert capsys.readouterr().out == f"{shown(texts('hello')[0])}\n"


def test_several_prompts_are_one_batch(folder, texts, capsys):
    assert main(["generate", folder, "hello", "you", *WORDS]) == 0
    assert capsys.readouterr().out.splitlines() == [*map(shown, texts("hello", "you"))]


def test_beams_and_their_texts(folder, texts, capsys):
    asked = ["--num-beams", "3", "--num-return-sequences", "2", "--early-stopping", "never"]
    assert main(["generate", folder, "hello", *WORDS, *asked]) == 0
    expected = texts("hello", num_beams=3, num_return_sequences=2, early_stopping="never")
    assert capsys.readouterr().out.splitlines() == [*map(shown, expected)]


def test_draws_with_a_seed(folder, texts, capsys):
    asked = ["--do-sample", "--seed", "4", "--temperature", "0.5"]
    assert main(["generate", folder, "hello", *WORDS, *asked]) == 0
    expected = texts("hello", do_sample=True, seed=4, temperature=0.5)
    assert capsys.readouterr().out == f"{shown(expected[0])}\n"


def test_prompts_from_a_file_or_standard_input(folder, texts, capsys, tmp_path, monkeypatch):
    (tmp_path / "prompts").write_text("hello\nyou\n")
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(b"hello\nyou\n")))
    for given in ([], ["--file", str(tmp_path / "prompts")]):
        assert main(["generate", folder, *given, *WORDS]) == 0
        assert capsys.readouterr().out.splitlines() == [*map(shown, texts("hello", "you"))]


def test_data(folder, capsys):
    assert main(["generate", folder, "hello", *WORDS, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["prompt"] == "hello"
    assert found["text"].startswith("hello")
    assert len(found["ids"]) == 5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["hello", "--max-new-tokens", "90"],
            "max_new_tokens=90 make 95; this model has positions",
        ),
        (["hello", "--temperature", "2"], "temperature does nothing unless words are drawn"),
        (["hello", "--file", "x"], "there are prompts and a --file of them: pass one of the two"),
        (["--file", "nowhere.txt"], "nowhere.txt"),
        ([""], "input_ids is empty"),
    ],
)
def test_what_cannot_be_is_a_sentence(folder, arguments, says, capsys):
    assert main(["generate", folder, *arguments]) == 2
    printed = capsys.readouterr()
    assert says in printed.err
    assert printed.out.strip() in ("", "hello")


def test_a_model_that_does_not_write(capsys):
    from minibert import EMBEDDED_CHECKPOINT

    assert main(["generate", str(EMBEDDED_CHECKPOINT), "hello"]) == 2
    assert "there is no CausalLM of 'bert' here" in capsys.readouterr().err


@pytest.mark.parametrize("prompts", [["hello"], ["hello", "you"]])
def test_an_interruption_leaves_what_was_written(folder, texts, prompts, monkeypatch, capsys):
    own, steps = GPT2LMHeadModel.next_logits, []

    def interrupted(self, batch):
        steps.append(batch)
        if len(steps) == 4:
            raise KeyboardInterrupt
        return own(self, batch)

    expected = [shown(text) for text in texts(*prompts)]
    monkeypatch.setattr(GPT2LMHeadModel, "next_logits", interrupted)
    assert main(["generate", folder, *prompts, *WORDS]) == 128 + signal.SIGINT
    printed = capsys.readouterr()
    assert printed.err == ""
    for line, text in zip(printed.out.splitlines(), expected, strict=True):
        kept = re.sub("�+$", "", line)
        assert len(line) > len("you")
        assert text.startswith(kept)


def test_bart_writes_what_it_makes_of_a_text(tmp_path, capsys):
    from minibert import BartConfig, BartForConditionalGeneration

    special = "<s>", "<pad>", "</s>", "<unk>", "<mask>"
    tokenizer = byte_level(BartTokenizer, *special)
    tokenizer.save_pretrained(tmp_path)
    sizes = {
        f"{side}_{x}": n
        for side in ("encoder", "decoder")
        for x, n in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 9))
    }
    ids = {"bos_token_id": 256, "pad_token_id": 257, "eos_token_id": 258}
    config = BartConfig(
        vocab_size=261,
        d_model=12,
        **sizes,
        **ids,
        decoder_start_token_id=258,
        forced_eos_token_id=258,
        init_std=0.5,
    )
    model = BartForConditionalGeneration(config)
    model.save_pretrained(tmp_path)
    rows = model.generate([tokenizer("hello")["input_ids"]], max_new_tokens=5)
    for more in ([], ["--num-beams", "1", "--json"]):
        assert main(["generate", str(tmp_path), "hello", *WORDS, *more]) == 0
        out = capsys.readouterr().out
        found = json.loads(out)[0]["text"] if more else out.rstrip("\n")
        expected = tokenizer.decode(rows[0, 1:], skip_special_tokens=True)
        assert found == (expected if more else shown(expected))


def test_a_reader_that_has_enough_is_no_error(folder):
    command = f"'{sys.executable}' -W error -m minibert generate '{folder}' a b | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stderr == ""
