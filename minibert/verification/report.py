"""A result that shows itself: as a table in a terminal, as a page in a notebook."""

from minibert.verification.page import fragment
from minibert.verification.result import Result
from minibert.verification.table import table


class Diagnosis(Result):
    """What ``verify`` and ``compare_recordings`` return: see Result for its fields."""

    def __str__(self) -> str:
        return table(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return fragment(self)
