"""python tests/benchmarks: see bench/cli.py, or --help."""

import sys
from pathlib import Path

from bench.machine import put_first, with_the_kernel_of_this_processor

with_the_kernel_of_this_processor()
put_first(Path(__file__).parents[2])  # what is measured is the minibert of this checkout

from bench.cli import main  # noqa: E402 - it imports minibert

main(sys.argv[1:])
