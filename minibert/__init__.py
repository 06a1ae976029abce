"""BERT in NumPy: opens a checkpoint itself, runs it, and proves its hidden states.

Reading order: functions, layers, models/bert, batch, trace, checkpoint, verification.
"""

from typing import TYPE_CHECKING, Any

from minibert.checkpoint.source import EMBEDDED_CHECKPOINT
from minibert.models.bert import BertConfig, BertModel

if TYPE_CHECKING:
    from minibert.verification import Reference, verify

__version__ = "0.1.0"
__all__ = [
    "EMBEDDED_CHECKPOINT",
    "BertConfig",
    "BertModel",
    "Reference",
    "__version__",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Import what not every program needs when it is first asked for."""
    if name in ("Reference", "verify"):
        from minibert import verification

        return getattr(verification, name)
    raise AttributeError(f"module 'minibert' has no attribute {name!r}")
