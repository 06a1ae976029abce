"""A checkpoint that knows nothing and shows everything: tests/tools/make_references.py draws it.

Every size is odd and there is no other like it; the weights are wide, so that each operation shows.
"""

from pathlib import Path

WIDE = Path(__file__).parents[1] / "data" / "wide"
