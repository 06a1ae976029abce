"""Every lesson runs from top to bottom, offline, without a warning, and shows what it stored."""

import re
from pathlib import Path

import pytest

REASON = 'lessons need the extra "notebooks": pip install ".[notebooks]"'
nbclient = pytest.importorskip("nbclient", reason=REASON)
nbformat = pytest.importorskip("nbformat", reason=REASON)

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
LESSONS = sorted(NOTEBOOKS.rglob("*.ipynb"))
SOLVED = sorted((NOTEBOOKS / "solutions").glob("*.ipynb"))
STRICT = """
import warnings
warnings.filterwarnings("error", module="__main__|minibert|numpy")  # the kernel warns of itself
"""


def shown(notebook):
    """Return what each cell shows, with numbers cut to three digits: the rest is rounding."""
    texts = [
        # a cell's whole output: the kernel sends what is printed in pieces as it likes
        "".join(
            "".join(output.get("text", "") or output.get("data", {}).get("text/plain", ""))
            for output in cell.outputs
        )
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    return [re.sub(r"(\d\.\d{3})\d+", r"\1", text) for text in texts if text]


def test_there_are_lessons_and_solutions():
    assert LESSONS
    assert SOLVED


def sources(path):
    """Return what stands in the cells, with "exercise" for those that the student fills in."""
    cells = nbformat.read(path, as_version=4).cells
    tagged = ["exercise" in cell.metadata.get("tags", []) for cell in cells]
    own = [cell.source for cell, is_tagged in zip(cells, tagged, strict=True) if is_tagged]
    pairs = zip(cells, tagged, strict=True)
    return own, ["exercise" if is_tagged else cell.source for cell, is_tagged in pairs]


@pytest.mark.parametrize("path", SOLVED, ids=lambda path: path.stem)
def test_the_solution_is_the_exercise_with_its_stubs_written(path):
    stubs, given = sources(NOTEBOOKS / path.name)
    written, solved = sources(path)
    assert given == solved
    assert len(stubs) == len(written) > 3
    for stub, function in zip(stubs, written, strict=True):
        assert stub.splitlines()[:2] == function.splitlines()[:2]  # the same name and shapes
        assert stub.splitlines()[2:] == ["    raise NotImplementedError"]


@pytest.mark.parametrize("path", SOLVED, ids=lambda path: path.stem)
def test_the_stored_grades_are_full_for_the_solution_and_empty_for_the_stubs(path):
    full, none = (
        "\n".join(shown(nbformat.read(each, as_version=4)))
        for each in (path, NOTEBOOKS / path.name)
    )
    exercises = len(sources(path)[0])
    assert full.count(": right, ") == none.count("it is not written yet") == exercises


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.relative_to(NOTEBOOKS).as_posix())
def test_the_lesson_runs_and_shows_what_is_stored(path, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    stored = nbformat.read(path, as_version=4)
    expected = shown(stored)
    assert len(expected) > 5
    stored.cells.insert(0, nbformat.v4.new_code_cell(STRICT))
    client = nbclient.NotebookClient(
        stored, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    ran = client.execute()
    assert shown(ran) == expected
