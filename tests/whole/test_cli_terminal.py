"""What reaches a terminal, a pipe or a device, and what is refused."""

import os
import shlex
import shutil
import subprocess
import sys

import pytest
from wide import WIDE

from minibert import EMBEDDED_CHECKPOINT, __version__
from minibert.cli import _parser, main

MINIBERT = (sys.executable, "-m", "minibert")


def test_a_reader_that_has_enough_is_no_error():
    """As with any Unix tool: nothing on the error channel, and no traceback."""
    command = f"'{sys.executable}' -W error -m minibert inspect | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("BertConfig")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--stages", "layer.0"], "--stages says what the page shows: say --html FILE, too"),
        (
            ["--stages", "nosuch", "--html", "x.html"],
            "--stages: no stage 'nosuch' was",
        ),
    ],
)
def test_stages_that_cannot_be_shown_are_told(arguments, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["verify", *arguments]) == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_escape_sequences_in_a_vocabulary_do_not_reach_the_terminal(tmp_path, capsys):
    folder = shutil.copytree(EMBEDDED_CHECKPOINT, tmp_path / "toy")
    (folder / "tokenizer.json").unlink()
    vocabulary = (folder / "vocab.txt").read_text("utf-8").splitlines()
    vocabulary[vocabulary.index("red")] = "re\x1b]0;d"
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", "utf-8")
    arguments = ["--model", str(folder), "--top-k", "460"]
    assert main(["fill-mask", "the ball is [MASK] .", *arguments]) == 0
    printed = capsys.readouterr().out
    assert r"re\x1b]0;d" in printed
    assert "\x1b" not in printed


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_a_hub_id_is_one_for_every_command(command, tmp_path):
    """Offline nothing can be fetched, but it is not taken for the name of a folder."""
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    arguments = [*MINIBERT, command, "nobody/no-such-model"]
    done = subprocess.run(arguments, env=offline, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "'nobody/no-such-model'" in done.stderr
    assert "HF_HUB_OFFLINE" in done.stderr
    assert "no folder" not in done.stderr


@pytest.mark.parametrize("arguments", [["verify", "--html"], ["record", str(WIDE), "--inputs"]])
def test_a_device_stays_one(arguments, tmp_path):
    (tmp_path / "out").symlink_to(os.devnull)
    if arguments[0] == "record":
        (tmp_path / "ids.json").write_text('{"input_ids": [[1, 2, 3]]}')
        arguments = [*arguments, str(tmp_path / "ids.json"), "-o"]
    assert main([*arguments, str(tmp_path / "out")]) == 0
    assert (tmp_path / "out").is_char_device()


def test_an_interruption_is_quiet(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("minibert.cli.inspect", interrupted)
    assert main(["inspect"]) == 130
    assert capsys.readouterr() == ("", "")


def test_the_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"minibert {__version__}\n"


COMMANDS = ("verify", "compare", "inspect", "record", "fill-mask", "next-sentence", "classify")


@pytest.mark.parametrize("command", [*COMMANDS, "tag", "answer", "embed", "generate"])
def test_the_help_of_a_command_has_an_example_that_is_one(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    example = " ".join(capsys.readouterr().out.split("example: minibert ")[1].split())
    assert _parser().parse_args(shlex.split(example)).name == command
