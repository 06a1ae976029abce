"""python tests/benchmarks: see cli.py, or --help."""

import sys
from pathlib import Path

from machine import put_first

put_first(Path(__file__).parents[2])  # what is measured is the minibert of this checkout

from cli import main  # noqa: E402 - it imports minibert

main(sys.argv[1:])
