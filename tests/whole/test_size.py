"""Small enough to read: the engine in an afternoon, a file and a function at a glance."""

import ast
from pathlib import Path

import pytest

import minibert

PACKAGE = Path(minibert.__file__).parent
ENGINE = (
    *("functions", "layers", "arguments", "batch", "cache", "trace"),
    *(
        "models/bert",
        "models/base",
        "models/shown",
        "models/building",
        "models/stack",
        "models/arrays",
    ),
)
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [path.relative_to(PACKAGE).as_posix() for path in FILES]


def lines(path):
    return path.read_text().splitlines()


def test_the_engine_can_be_read_in_an_afternoon():
    sizes = {name: len(lines(PACKAGE / f"{name}.py")) for name in ENGINE}
    assert sum(sizes.values()) <= 1945, sizes


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_file_has_no_more_than_300_lines(path):
    assert len(lines(path)) <= 300


def length(function):
    """Return the lines of a function without its docstring and its decorators."""
    first = function.body[0]
    has_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    text = first.end_lineno - first.lineno + 1 if has_text else 0
    return function.end_lineno - function.lineno + 1 - text


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_function_has_no_more_than_30_lines_beside_its_docstring(path):
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert {f.name: length(f) for f in functions if length(f) > 30} == {}
