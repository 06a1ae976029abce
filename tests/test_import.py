import subprocess
import sys
from pathlib import Path

import minibert

MODULES = """
import sys
import numpy
before = set(sys.modules)
sys.path.insert(0, {root!r})
import minibert
print(*sorted({{name.partition(".")[0] for name in set(sys.modules) - before}}))
"""


def test_importing_takes_numpy_and_the_standard_library_only():
    root = str(Path(minibert.__file__).parents[1])
    command = [sys.executable, "-c", MODULES.format(root=root)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = set(run.stdout.split())
    assert "minibert" in imported
    assert imported - set(sys.stdlib_module_names) <= {"minibert", "numpy"}


def test_the_public_names_are_there():
    assert all(hasattr(minibert, name) for name in minibert.__all__)
    assert {"BertConfig", "BertModel"} <= set(minibert.__all__)
