"""BERT in NumPy: opens a checkpoint itself, runs it, and proves its hidden states.

Reading order: functions, layers, models/bert, batch, trace, blocks, threads, checkpoint,
verification; then models/heads, tokenizers, tasks, swapping, grading.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from minibert._version import __version__
from minibert.data import EMBEDDED_CHECKPOINT
from minibert.models.bert import BertConfig, BertModel
from minibert.runtime.threads import get_num_threads, set_num_threads

if TYPE_CHECKING:
    from minibert.grading import Grade, grade
    from minibert.models.auto import (
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
    from minibert.models.bert_heads import (
        BertForMaskedLM,
        BertForMultipleChoice,
        BertForNextSentencePrediction,
        BertForPreTraining,
        BertForQuestionAnswering,
        BertForSequenceClassification,
        BertForTokenClassification,
    )
    from minibert.runtime.swap import SwapError, swap
    from minibert.tokenizers import BertTokenizer
    from minibert.verification import (
        Diagnosis,
        Reference,
        compare_recordings,
        record_checkpoint,
        record_model,
        verify,
    )

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
    "Grade",
    "Reference",
    "SwapError",
    "__version__",
    "compare_recordings",
    "get_num_threads",
    "grade",
    "record_checkpoint",
    "record_model",
    "set_num_threads",
    "swap",
    "verify",
]

#: What not every program needs is imported when it is first asked for, by how its name begins.
_HOMES = {
    "Auto": "minibert.models.auto",
    "BertFor": "minibert.models.bert_heads",
    "BertTokenizer": "minibert.tokenizers",
    "Grade": "minibert.grading",
    "Reference": "minibert.verification",
    "record": "minibert.verification",
    "SwapError": "minibert.runtime.swap",
    "grade": "minibert.grading",
    "swap": "minibert.runtime.swap",
    "Diagnosis": "minibert.verification",
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
