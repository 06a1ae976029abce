import subprocess
import sys
from pathlib import Path

import pytest
from processes import in_a_new_process

import minibert

MODULES = """
import sys
import numpy
before = set(sys.modules)
sys.path.insert(0, {root!r})
{program}
print(*sorted(set(sys.modules) - before))
"""
FORWARD = "minibert.BertModel.from_pretrained(minibert.EMBEDDED_CHECKPOINT)([[1, 2, 3]])"


def imported_by(program):
    """Return the modules that a program brings besides those of ``import numpy``."""
    root = str(Path(minibert.__file__).parents[1])
    command = [sys.executable, "-c", MODULES.format(root=root, program=program)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_takes_numpy_and_the_standard_library_only():
    packages = {name.partition(".")[0] for name in imported_by("import minibert")}
    assert "minibert" in packages
    assert packages - set(sys.stdlib_module_names) <= {"minibert", "numpy"}


def test_importing_leaves_out_what_few_need():
    """With these it would take more than 1.3 times as long as importing NumPy."""
    slow = {"zipfile", "tempfile", "hashlib", "pickletools", "difflib"}
    assert not imported_by("import minibert") & slow


def test_a_forward_pass_leaves_out_what_few_need():
    assert not imported_by(f"import minibert; {FORWARD}") & {"numpy.random", "huggingface_hub"}


def test_the_public_names_are_there():
    assert all(hasattr(minibert, name) for name in minibert.__all__)
    assert {"BertConfig", "BertModel", "Reference", "verify"} <= set(minibert.__all__)


def test_a_name_that_is_not_there_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'BertForEverything'"):
        _ = minibert.BertForEverything


def test_an_import_that_was_interrupted_may_be_repeated():
    program = """
import builtins
whole = builtins.__import__
def stops(name, *rest):
    if name == "minibert.runtime.threads" and rest[0]["__name__"] == "minibert":
        raise KeyboardInterrupt
    return whole(name, *rest)
builtins.__import__ = stops
try:
    import minibert
except KeyboardInterrupt:
    builtins.__import__ = whole
import minibert
minibert.functions.gelu, minibert.models.bert, minibert.tasks
print(minibert.get_num_threads.__module__, whole is builtins.__import__)
"""
    assert in_a_new_process(program) == "minibert.runtime.threads True"
