"""Every lesson runs from top to bottom, offline, without a warning, and shows what it stored."""

import re
from pathlib import Path

import pytest

REASON = 'lessons need the extra "notebooks": pip install ".[notebooks]"'
nbclient = pytest.importorskip("nbclient", reason=REASON)
nbformat = pytest.importorskip("nbformat", reason=REASON)

LESSONS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
STRICT = """
import warnings
warnings.filterwarnings("error", module="__main__|minibert|numpy")  # the kernel warns of itself
"""


def shown(notebook):
    """Return what each cell shows, with numbers cut to three digits: the rest is rounding."""
    texts = [
        "".join(output.get("text", "") or output.get("data", {}).get("text/plain", ""))
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    ]
    return [re.sub(r"(\d\.\d{3})\d+", r"\1", text) for text in texts]


def test_there_is_a_lesson():
    assert LESSONS


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
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
