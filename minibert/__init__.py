"""BERT in NumPy: opens a checkpoint itself, runs it, and proves its hidden states.

Reading order: functions, layers, models/bert, batch, trace, checkpoint, verification.
"""

from minibert.checkpoint.source import EMBEDDED_CHECKPOINT
from minibert.models.bert import BertConfig, BertModel
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
