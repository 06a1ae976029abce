"""What imports what: a file uses the rooms below its own and its own, nothing above.

Imports within functions and for type checkers count, too: who reads the file must know both.
"""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import minibert

PACKAGE = Path(minibert.__file__).parent
#: The rooms, from the ground up. A file of the package itself is a room of its own.
FLOORS = {
    "_version": 0,
    **dict.fromkeys(("runtime", "trace"), 1),  # trace knows arrays; what runs functions, traces
    "data": 2,
    "checkpoint": 3,
    "tokenizers": 4,
    "erf": 5,
    **dict.fromkeys(("activations", "functions"), 6),  # one is the other's, in a file of its own
    **dict.fromkeys(("arguments", "cache", "derivatives", "activation_derivatives", "losses"), 7),
    "batch": 8,
    "layers": 9,
    "models": 10,
    "training": 11,
    "tasks": 11,
    "mistakes": 12,
    "verification": 13,
    "grading": 14,
    "commands": 15,
    "cli": 16,
    "__init__": 17,
    "__main__": 18,
}
FILES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def room(module):
    return module.split(".")[1]


def imports(module):
    """Yield (file that is imported from, name or None) for each import of the package's own."""
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from ((home(a.name), None) for a in node.names if a.name.startswith("minibert"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minibert"):
            assert node.level == 0
            for alias in node.names:
                file = home(f"{node.module}.{alias.name}")
                inside = file.removesuffix(".__init__") != f"{node.module}.{alias.name}"
                yield file, alias.name if inside else None


def home(name):
    """Return the file that a dotted name stands in."""
    while name not in FILES and f"{name}.__init__" not in FILES:
        name = name.rpartition(".")[0]
    return name if name in FILES else f"{name}.__init__"


MODULES = pytest.mark.parametrize("module", FILES)


def test_every_room_has_a_floor():
    assert {room(module) for module in FILES} == set(FLOORS)
    assert len(FILES) > 70


@MODULES
def test_a_file_uses_no_room_above_its_own(module):
    above = {
        other
        for other, _ in imports(module)
        if room(other) != room(module) and FLOORS[room(other)] > FLOORS[room(module)]
    }
    assert above == set()


def circle(graph):
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_files_go_round_in_no_circle():
    graph = {
        module: {other for other, _ in imports(module)} - {module}
        for module in FILES
        if module != "minibert.__init__"
    }
    assert circle(graph) == []


@MODULES
def test_no_private_name_leaves_its_room(module):
    taken = {
        f"{other}.{name}"
        for other, name in imports(module)
        if name
        and name.startswith("_")
        and not name.startswith("__")
        and room(other) != room(module)
    }
    assert taken == set()


@pytest.mark.parametrize("module", [m for m in FILES if m.count(".") == 2 and "__init__" in m])
def test_a_room_hands_on_names_and_defines_nothing(module):
    kinds = [type(node) for node in ast.parse(FILES[module].read_text()).body]
    assert kinds[0] is ast.Expr  # its docstring
    assert set(kinds[1:]) <= {ast.Import, ast.ImportFrom, ast.Assign}
    assert kinds.count(ast.Assign) <= 1  # __all__
