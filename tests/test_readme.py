"""The README's examples run as they stand."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"


@pytest.mark.usefixtures("minilm_folder")
def test_the_examples_run_and_show_what_they_say(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    names = {}
    shapes = values = 0
    for line in "".join(blocks).splitlines():
        exec(line, names)
        expression, _, said = line.partition("  # ")
        if re.match(r"\([\d, ]+\)", said):
            sizes = tuple(int(size) for size in re.findall(r"\d+", said))
            assert eval(expression, names).shape == sizes, line
            shapes += 1
        elif said.startswith("["):
            assert eval(expression, names) == eval(said), line
            values += 1
    assert (shapes, values) == (4, 1)
    assert "unused" in capsys.readouterr().out
    assert (tmp_path / "directory_on_my_computer" / "pytorch_model.bin").exists()


def test_the_number_of_planted_bugs_is_right():
    planted = (README.parent / "tests" / "test_mutations.py").read_text().count("\n@mutation(")
    assert f"{planted} known bugs" in README.read_text()
