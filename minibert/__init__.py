"""BERT in NumPy: opens a checkpoint itself, runs it, and proves its hidden states.

Reading order: functions, layers, models/bert, batch, trace, checkpoint, verification; then
models/heads, tokenizers, tasks.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from minibert.checkpoint.source import EMBEDDED_CHECKPOINT
from minibert.models.bert import BertConfig, BertModel

if TYPE_CHECKING:
    from minibert.auto import (
        AutoConfig,
        AutoModel,
        AutoModelForMaskedLM,
        AutoModelForMultipleChoice,
        AutoModelForNextSentencePrediction,
        AutoModelForPreTraining,
        AutoModelForQuestionAnswering,
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
        AutoTokenizer,
    )
    from minibert.models.heads import (
        BertForMaskedLM,
        BertForMultipleChoice,
        BertForNextSentencePrediction,
        BertForPreTraining,
        BertForQuestionAnswering,
        BertForSequenceClassification,
        BertForTokenClassification,
    )
    from minibert.tokenizers import BertTokenizer
    from minibert.verification import Diagnosis, Reference, compare_recordings, verify

__version__ = "0.1.0"
__all__ = [
    "EMBEDDED_CHECKPOINT",
    "AutoConfig",
    "AutoModel",
    "AutoModelForMaskedLM",
    "AutoModelForMultipleChoice",
    "AutoModelForNextSentencePrediction",
    "AutoModelForPreTraining",
    "AutoModelForQuestionAnswering",
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "AutoTokenizer",
    "BertConfig",
    "BertForMaskedLM",
    "BertForMultipleChoice",
    "BertForNextSentencePrediction",
    "BertForPreTraining",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertModel",
    "BertTokenizer",
    "Diagnosis",
    "Reference",
    "__version__",
    "compare_recordings",
    "verify",
]

#: What not every program needs is imported when it is first asked for, by how its name begins.
_HOMES = {
    "Auto": "minibert.auto",
    "BertFor": "minibert.models.heads",
    "BertTokenizer": "minibert.tokenizers",
    "Diagnosis": "minibert.verification",
    "Reference": "minibert.verification",
    "compare_recordings": "minibert.verification",
    "verify": "minibert.verification",
}


def __getattr__(name: str) -> Any:
    if name == "tasks":
        return import_module("minibert.tasks")
    if name in __all__:
        home = next(module for start, module in _HOMES.items() if name.startswith(start))
        return getattr(import_module(home), name)
    raise AttributeError(f"module 'minibert' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
