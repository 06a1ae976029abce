"""A program run by a Python of its own."""

import os
import subprocess
import sys


def in_a_new_process(program, **environment):
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()
