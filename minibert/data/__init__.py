"""What ships with the package."""

from minibert.data.shipped import (
    EMBEDDED_BART,
    EMBEDDED_CHECKPOINT,
    EMBEDDED_GPT2,
    REFERENCE_NAME,
    shipped_references,
)

__all__ = [
    "EMBEDDED_BART",
    "EMBEDDED_CHECKPOINT",
    "EMBEDDED_GPT2",
    "REFERENCE_NAME",
    "shipped_references",
]
