"""Warnings point at the nearest line outside the package."""

import subprocess
import sys

import pytest

from minibert.runtime.warn import warn


def test_it_points_at_the_line_of_the_caller():
    with pytest.warns(UserWarning, match="beware") as told:
        warn("beware")
    assert told[0].filename == __file__


def test_callers_inside_the_package_are_passed_over():
    inside = {"warn": warn}
    source = "def lower(): warn('beware')\ndef higher(): lower()"
    exec(compile(source, warn.__code__.co_filename, "exec"), inside)
    with pytest.warns(UserWarning, match="beware") as told:
        inside["higher"]()
    assert told[0].filename == __file__


def test_a_program_that_is_all_package_warns_too():
    program = "from minibert.runtime import warn; warn._PACKAGE = ''; warn.warn('beware')"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "UserWarning: beware" in run.stderr
