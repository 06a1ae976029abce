"""The README's example runs as it stands."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"


@pytest.mark.usefixtures("minilm_folder")
def test_the_example_runs_and_shows_the_shapes_that_it_says(capsys):
    (code,) = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.M | re.S)
    names = {}
    checked = 0
    for line in code.splitlines():
        exec(line, names)
        expression, _, shape = line.partition("  # (")
        if shape:
            sizes = tuple(int(size) for size in re.match(r"[\d, ]+", shape)[0].split(","))
            assert eval(expression, names).shape == sizes
            checked += 1
    assert checked == 2
    assert "unused" in capsys.readouterr().out


def test_the_numbers_of_planted_bugs_is_right():
    planted = (README.parent / "tests" / "test_mutations.py").read_text().count("\n@mutation(")
    assert f"{planted} known bugs" in README.read_text()
