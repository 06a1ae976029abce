"""BERT, GPT-2 and BART in NumPy: opens a checkpoint itself, runs it, and proves its hidden states.

Reading order: functions, layers, models/bert, batch, trace, runtime, checkpoint, verification;
then models/bert_heads, models/gpt2, models/bart, cache, derivatives, training, tokenizers, tasks,
mistakes, grading.
"""

# ruff: noqa: F403 - for type checkers alone
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from minibert._version import __version__
from minibert.data import EMBEDDED_BART, EMBEDDED_CHECKPOINT, EMBEDDED_GPT2
from minibert.models.bert import BertConfig, BertModel
from minibert.runtime.spelling import SpelledModule
from minibert.runtime.threads import get_num_threads, set_num_threads

if TYPE_CHECKING:
    from minibert.grading import *
    from minibert.models.auto import *
    from minibert.models.bart import BartConfig as BartConfig
    from minibert.models.bart import BartModel as BartModel
    from minibert.models.bart_heads import *
    from minibert.models.bert_heads import *
    from minibert.models.generation_config import GenerationConfig as GenerationConfig
    from minibert.models.gpt2 import GPT2Config as GPT2Config
    from minibert.models.gpt2 import GPT2Model as GPT2Model
    from minibert.models.gpt2_heads import *
    from minibert.runtime.swap import *
    from minibert.tokenizers import *
    from minibert.training import *
    from minibert.verification import *

_HEADS = (
    *("MaskedLM", "NextSentencePrediction", "PreTraining", "SequenceClassification"),
    *("TokenClassification", "QuestionAnswering", "MultipleChoice"),
)
#: What not every program needs: the names of each module, imported when first asked for.
_LATER = {
    "models.auto": (
        *("AutoConfig", "AutoModel", "AutoTokenizer"),
        *map("AutoModelFor{}".format, (*_HEADS, "CausalLM", "Seq2SeqLM")),
    ),
    "models.bart": ("BartConfig", "BartModel"),
    "models.bart_heads": (
        *("BartForConditionalGeneration", "BartForQuestionAnswering"),
        "BartForSequenceClassification",
    ),
    "models.bert_heads": (*map("BertFor{}".format, _HEADS),),
    "models.generation_config": ("GenerationConfig",),
    "models.gpt2": ("GPT2Config", "GPT2Model"),
    "models.gpt2_heads": (
        "GPT2LMHeadModel",
        *map("GPT2For{}Classification".format, ("Sequence", "Token")),
    ),
    "tokenizers": ("BartTokenizer", "BertTokenizer", "GPT2Tokenizer", "RobertaTokenizer"),
    "runtime.swap": ("SwapError", "swap"),
    "verification": (
        *("Diagnosis", "Reference", "compare_recordings"),
        *("record_checkpoint", "record_model", "verify"),
    ),
    "grading": ("Grade", "grade"),
    "training": ("Example", "gradients", "train"),
}
_HOMES = {name: f"minibert.{module}" for module, names in _LATER.items() for name in names}

__all__ = ["EMBEDDED_BART", "EMBEDDED_CHECKPOINT", "EMBEDDED_GPT2"]
__all__ += ["BertConfig", "BertModel", "__version__", "get_num_threads", "set_num_threads", *_HOMES]


def __getattr__(name: str) -> Any:
    if name == "tasks":
        return import_module("minibert.tasks")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(name)  # which SpelledModule puts into words


SpelledModule.of(sys.modules[__name__])
