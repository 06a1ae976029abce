"""From a checkpoint to the class that reads it: one small table."""

import os
from typing import Any, ClassVar

from minibert.checkpoint.files import read_json, require_folder
from minibert.checkpoint.hub import find_folder
from minibert.checkpoint.layout import CONFIG_NAME
from minibert.checkpoint.load import open_weights, read_config
from minibert.checkpoint.names import standard_names
from minibert.models import bart, bart_heads, bert_heads, gpt2, gpt2_heads
from minibert.models.base import PreTrainedModel
from minibert.models.bert import BertConfig, BertModel
from minibert.models.config import PretrainedConfig
from minibert.runtime.spelling import Spelled, a_kind
from minibert.tokenizers import (
    BartTokenizer,
    BertTokenizer,
    GPT2Tokenizer,
    PreTrainedTokenizer,
    RobertaTokenizer,
)

#: model_type -> what an Auto class stands for -> the class.
CLASSES: dict[str, dict[str, Any]] = {
    "bert": {
        "config": BertConfig,
        "tokenizer": BertTokenizer,
        "model": BertModel,
        "MaskedLM": bert_heads.BertForMaskedLM,
        "NextSentencePrediction": bert_heads.BertForNextSentencePrediction,
        "PreTraining": bert_heads.BertForPreTraining,
        "SequenceClassification": bert_heads.BertForSequenceClassification,
        "TokenClassification": bert_heads.BertForTokenClassification,
        "QuestionAnswering": bert_heads.BertForQuestionAnswering,
        "MultipleChoice": bert_heads.BertForMultipleChoice,
    },
    "gpt2": {
        "config": gpt2.GPT2Config,
        "tokenizer": GPT2Tokenizer,
        "model": gpt2.GPT2Model,
        "CausalLM": gpt2_heads.GPT2LMHeadModel,
        "SequenceClassification": gpt2_heads.GPT2ForSequenceClassification,
        "TokenClassification": gpt2_heads.GPT2ForTokenClassification,
    },
    "bart": {
        "config": bart.BartConfig,
        "tokenizer": BartTokenizer,
        "model": bart.BartModel,
        "Seq2SeqLM": bart_heads.BartForConditionalGeneration,
        "SequenceClassification": bart_heads.BartForSequenceClassification,
        "QuestionAnswering": bart_heads.BartForQuestionAnswering,
    },
}
#: model_type -> a tensor that no other model has.
TELLING = {
    "bert": "encoder.layer.0.attention.self.query.weight",
    "gpt2": "h.0.attn.c_attn.weight",
    "bart": "decoder.layers.0.encoder_attn.q_proj.weight",
}
#: Every model class.
MODELS: tuple[type[PreTrainedModel], ...] = tuple(
    kind for kinds in CLASSES.values() for kind in kinds.values() if hasattr(kind, "stages")
)
#: The name of each tokenizer, in transformers too -> the class. BART's is RoBERTa's.
TOKENIZERS: dict[str, type[PreTrainedTokenizer]] = {
    name: kind
    for kind in (BertTokenizer, GPT2Tokenizer, RobertaTokenizer, BartTokenizer)
    for name in ([kind.__name__] if kind is BartTokenizer else kind.form.classes)
}
_BY_TYPE = {
    kind.__name__.removesuffix("Tokenizer").lower(): kind
    for kind in (BertTokenizer, GPT2Tokenizer, RobertaTokenizer, BartTokenizer)
}
#: The name of each class -> its model_type.
_TYPES = {kind.__name__: key for key, kinds in CLASSES.items() for kind in kinds.values()}


def model_type(folder: str | os.PathLike[str]) -> str:
    """Return the model_type of a checkpoint.

    Where config.json is silent, its architectures tell, then the names of the tensors. ValueError
    if nothing does, or the type is unknown.
    """
    path = require_folder(folder) / CONFIG_NAME
    config = read_config(path.parent)
    found = config.get("model_type")
    if found is None:
        found = _by_architectures(config.get("architectures")) or _by_tensors(folder)
    if found is None:
        what = "has no model_type, and neither its architectures nor the tensors tell which it is"
        hint = "if you know, call its class, as BertModel.from_pretrained(...)"
        raise ValueError(f"{str(path)!r} {what}: {hint}")
    if not isinstance(found, str) or found not in CLASSES:
        known = ", ".join(CLASSES)
        raise ValueError(f"{str(path)!r} has the model_type {found!r:.80}; known: {known}")
    return found


def _by_architectures(names: Any) -> str | None:
    found = map(_TYPES.get, map(str, names if isinstance(names, list) else []))
    return next(filter(None, found), None)


def _by_tensors(folder: str | os.PathLike[str]) -> str | None:
    try:
        found = open_weights(folder).tensors
    except FileNotFoundError:  # a folder with a config alone
        return None
    for name, telling in TELLING.items():
        prefix = CLASSES[name]["model"].prefix
        if telling in standard_names(found, [telling], prefix)[0].values():
            return name
    return None


def class_for(found: str, stands_for: str) -> Any:
    """Return what a model of a type has; ValueError if it has none of that."""
    if stands_for not in CLASSES[found]:
        there = [name for name, kinds in CLASSES.items() if stands_for in kinds]
        what = f"there is no {stands_for} of {found!r} here"
        ways = [_auto_name(name) for name, kind in CLASSES[found].items() if kind in MODELS]
        others = f"there is one of {', '.join(map(repr, there))}"
        raise ValueError(f"{what}: {others}; {found!r} has {', '.join(ways)}")
    return CLASSES[found][stands_for]


class _Auto(Spelled):
    """Base of the classes that only choose another."""

    def __init__(self, *_: Any, **__: Any) -> None:
        ways = [way for way in ("from_pretrained", "from_config") if way in dir(self)]
        calls = " or ".join(f"{type(self).__name__}.{way}(...)" for way in ways)
        raise TypeError(f"{type(self).__name__} only chooses a class: call {calls}")


class AutoConfig(_Auto):
    """Reads the config of whatever model is there."""

    @staticmethod
    def from_pretrained(name: str | os.PathLike[str], **options: Any) -> PretrainedConfig:
        """Return the config; see BertConfig.from_pretrained."""
        folder, overrides = find_folder(name, ("config",), options)
        kind: type[PretrainedConfig] = CLASSES[model_type(folder)]["config"]
        return kind.from_pretrained(folder, **overrides)


class AutoTokenizer(_Auto):
    """Reads the tokenizer of whatever model is there."""

    @staticmethod
    def from_pretrained(name: str | os.PathLike[str], **options: Any) -> PreTrainedTokenizer:
        """Return the tokenizer; see BertTokenizer.from_pretrained.

        ``tokenizer_type`` tells which (bert, gpt2, roberta or bart), or else tokenizer_class in
        tokenizer_config.json, or config.json.
        """
        wanted: Any = options.get("tokenizer_type")
        folder, overrides = find_folder(name, ("tokenizer",), options)
        path = folder / "tokenizer_config.json"
        kind_name = str(read_json(path).get("tokenizer_class")) if path.exists() else ""
        kind = _BY_TYPE.get(wanted) or TOKENIZERS.get(kind_name.removesuffix("Fast"))
        if kind is None:
            found = model_type(find_folder(name, ("config",), options)[0])
            kind = CLASSES[found]["tokenizer"]
        return kind.from_pretrained(folder, **overrides)


class AutoClass(_Auto):
    """Base of AutoModel and of each AutoModelFor..."""

    stands_for: ClassVar[str]

    @classmethod
    def from_pretrained(
        cls, name: str | os.PathLike[str], dtype: Any = "float32", **options: Any
    ) -> Any:
        """Return the model that the checkpoint holds; see BertModel.from_pretrained."""
        folder, others = find_folder(name, ("config", "weights", "generation"), options)
        kind = class_for(model_type(folder), cls.stands_for)
        return kind.from_pretrained(folder, dtype, **others)

    @classmethod
    def from_config(cls, config: PretrainedConfig, seed: int = 0) -> Any:
        """Return a model with drawn weights."""
        if not isinstance(config, PretrainedConfig):
            raise TypeError(f"from_config takes a config, found {a_kind(config)}")
        return class_for(config.model_type, cls.stands_for)(config, seed)


def _auto_name(stands_for: str) -> str:
    return "AutoModel" if stands_for == "model" else f"AutoModelFor{stands_for}"


def _auto(stands_for: str) -> type[AutoClass]:
    kinds = ", ".join(k[stands_for].__name__ for k in CLASSES.values() if stands_for in k)
    doc = f"Chooses the class for a checkpoint: {kinds}."
    return type(_auto_name(stands_for), (AutoClass,), {"__doc__": doc, "stands_for": stands_for})


AutoModel = _auto("model")
AutoModelForMaskedLM = _auto("MaskedLM")
AutoModelForNextSentencePrediction = _auto("NextSentencePrediction")
AutoModelForPreTraining = _auto("PreTraining")
AutoModelForSequenceClassification = _auto("SequenceClassification")
AutoModelForTokenClassification = _auto("TokenClassification")
AutoModelForQuestionAnswering = _auto("QuestionAnswering")
AutoModelForMultipleChoice = _auto("MultipleChoice")
AutoModelForCausalLM = _auto("CausalLM")
AutoModelForSeq2SeqLM = _auto("Seq2SeqLM")
