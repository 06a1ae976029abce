"""What every config shares: reading, overrides, printing, saving.

The names, defaults and JSON are those of Hugging Face's configs. Each field is used or refused:
what this package cannot compute it does not accept.
"""

import copy
import json
import math
import os
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from minibert.checkpoint.foreign import foreign_code
from minibert.checkpoint.hub import find_folder
from minibert.checkpoint.layout import CONFIG_NAME
from minibert.checkpoint.load import read_config
from minibert.checkpoint.names import Entry, size_of
from minibert.checkpoint.writing import make_folder, replace_file
from minibert.models import rules
from minibert.models.habits import FIELDS, HARMLESS
from minibert.runtime.arrays import dtype_name
from minibert.runtime.spelling import Spelled, nearest
from minibert.runtime.warn import warn

Config = TypeVar("Config", bound="PretrainedConfig")
MAX_PARAMETERS = 2**38  # a terabyte in float32


def setting(default: Any, rule: rules.Rule) -> Any:
    """Declare a field of a config."""
    return field(default=default, metadata={"rule": rule})


@dataclass(init=False, repr=False, eq=False)
class PretrainedConfig(Spelled):
    """The fields and the behaviour that all configs share.

    Unknown keys of a file are kept as attributes and written back. ValueError for a value that is
    not allowed; TypeError for a keyword that is no field.
    """

    synonyms = FIELDS
    model_type: ClassVar[str]
    known_architectures: ClassVar[str]  # a pattern: classes of transformers that compute as here
    attribute_map: ClassVar[dict[str, str]] = {}  # what all models call a field -> its name here
    constants: ClassVar[dict[str, rules.Rule]] = {}  # no fields, but a file may hold these values
    usual_labels: ClassVar[int] = 2
    default_token_type: ClassVar[int] = -1  # none

    architectures: list[str] | None = setting(None, rules.or_null(rules.TEXTS))
    dtype: str | None = setting(None, rules.DTYPE)  # of the file, not of the model
    output_hidden_states: bool = setting(False, rules.FLAG)
    output_attentions: bool = setting(False, rules.FLAG)
    return_dict: bool = setting(True, rules.FLAG)
    chunk_size_feed_forward: int = setting(0, rules.NATURAL)  # changes no numbers
    is_encoder_decoder: bool = setting(False, rules.one_of(False))
    problem_type: str | None = setting(None, rules.PROBLEM)
    id2label: dict[int, str] = setting(None, rules.NAMES_OF_IDS)  # setting it sets label2id
    label2id: dict[str, int] = setting(None, rules.IDS_OF_NAMES)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in cls.attribute_map.keys() - vars(cls).keys():
            setattr(cls, name, property(attrgetter(cls.attribute_map[name])))

    def __init__(self, **values: Any) -> None:
        for name in values.keys() - self._names() - HARMLESS:
            if not name.startswith("_"):
                hint = f"{type(self).__name__}.from_dict takes whatever a config.json holds"
                raise TypeError(f"{self._no_field(name)} {hint}")
        self._fill(_one_dtype(values))

    def _fill(self, values: dict[str, Any]) -> None:
        found = values.pop("model_type", None)
        if found not in (None, self.model_type):
            allowed = f"{type(self).__name__} reads {self.model_type!r}"
            hint = "AutoModel and AutoConfig choose the class by it"
            raise ValueError(f"config field 'model_type' is {_short(found)}; {allowed}. {hint}")
        # the last one wins where they disagree, as in transformers
        given = {name: values.pop(name, None) for name in ("id2label", "label2id", "num_labels")}
        labels = {name: value for name, value in given.items() if value is not None}
        defaults = {f.name: f.default for f in fields(self) if f.name not in given}
        values = {**defaults, **values, "id2label": _names_of_labels(self.usual_labels), **labels}
        for name, value in values.items():
            self._set(name, value)
        self.check()

    def __setattr__(self, name: str, value: Any) -> None:
        if name in FIELDS and name not in {*self._names(), *vars(self)}:
            raise AttributeError(self._no_field(name))
        self._set(name, value)

    def _set(self, name: str, value: Any) -> None:
        name = {"torch_dtype": "dtype", **self.attribute_map}.get(name, name)
        value = _plain(name, value)
        rule = self._rules().get(name, rules.UNKNOWN)
        if rule is rules.UNKNOWN and (name.startswith("__") or name in dir(type(self))):
            raise ValueError(f"config field {name!r} has a name that this class keeps for itself")
        if not rule.holds(value):
            raise ValueError(f"config field {name!r} is {_short(value)}; allowed: {rule.allowed}")
        if rule in (rules.POSITIVE, rules.NON_NEGATIVE):
            value = float(value)  # transformers refuses a whole number here
        super().__setattr__(name, value)
        if name == "id2label":
            self.label2id = _inverse(value)

    def check(self) -> None:
        """Raise ValueError if fields that are right alone do not fit together."""

    def must_divide(self, part: str, whole: str) -> None:
        """Raise ValueError unless one field divides another."""
        by, size = getattr(self, part), getattr(self, whole)
        if size % by:
            must = f"it must divide {whole!r}, which is {size}"
            raise ValueError(f"config field {part!r} is {by}; {must}")

    def must_fit(self, table: tuple[Entry, ...], counters: Mapping[str, str]) -> None:
        """Raise ValueError if a model with these arrays, and so many layers, would be absurd."""
        count = sum(
            math.prod(size_of(self, size) for size in entry.shape)
            * math.prod(getattr(self, n) for x, n in counters.items() if f"{{{x}}}" in entry.name)
            for entry in table
        )
        if count > MAX_PARAMETERS:
            layers = ", ".join(counters.values())
            fields = dict.fromkeys(str(size) for entry in table for size in entry.shape)
            raise ValueError(
                f"the sizes in the config make {count:.1e} parameters, which no machine can hold; "
                f"allowed: {MAX_PARAMETERS:.1e}. Look at {', '.join(fields)} and {layers}"
            )

    @property
    def residual_scale(self) -> float:
        """How much smaller the matrices before a residual are drawn."""
        return 1.0

    @property
    def blank_token_id(self) -> int | None:
        """The token whose embedding is drawn as zeros."""
        return None

    @property
    def num_labels(self) -> int:
        """The number of labels of a classification head; setting another number resets them."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, value: int) -> None:
        if value != self.num_labels:
            self.id2label = _names_of_labels(value)

    @classmethod
    def _rules(cls) -> dict[str, rules.Rule]:
        others = {"num_labels": rules.LABELS, "pruned_heads": rules.UNPRUNED}
        return others | cls.constants | {f.name: f.metadata["rule"] for f in fields(cls)}

    @classmethod
    def _names(cls) -> set[str]:
        return {*cls._rules(), *cls.attribute_map, "model_type", "torch_dtype"}

    @classmethod
    def _no_field(cls, name: str) -> str:
        near = nearest(name, cls._names(), FIELDS) or "."
        return f"{cls.__name__} has no field {name[:80]!r}{near}"

    @classmethod
    def from_dict(cls: type[Config], values: Mapping[str, Any], **overrides: Any) -> Config:
        """Return the config of these values; keywords override them.

        TypeError for a keyword that is no field and is not among the values either.
        """
        for name in set(overrides) - cls._names() - set(values):
            raise TypeError(f"{cls._no_field(name)} There is nothing to override")
        if "id2label" in overrides:
            values = {k: v for k, v in values.items() if k not in ("num_labels", "label2id")}
        config = cls.__new__(cls)
        config._fill({**_one_dtype(values), **_one_dtype(overrides)})
        return config

    @classmethod
    def from_pretrained(cls: type[Config], name: str | os.PathLike[str], **options: Any) -> Config:
        """Read config.json of a folder or a Hub id; keywords override it.

        options: see BertModel.from_pretrained. OSError if it is not there, ValueError if it is not
        what it should be.
        """
        folder, overrides = find_folder(name, ("config",), options)
        path, found = folder / CONFIG_NAME, read_config(folder)
        foreign = foreign_code(found, cls.known_architectures)
        if foreign and found.get("model_type") in (None, cls.model_type):  # else it is refused
            warn(f"{str(path)!r} names {foreign}; it is read as plain {cls.model_type}")
        try:
            return cls.from_dict(found, **overrides)
        except ValueError as error:
            if str(path) in str(error):
                raise
            raise ValueError(f"{str(path)!r}: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """Return all fields and all unknown keys, ``model_type`` included."""
        return {**copy.deepcopy(vars(self)), "model_type": self.model_type}

    def to_json_string(self) -> str:
        """Return sorted JSON; fields that all models share are left out at their defaults."""
        values, names = self.to_dict(), _names_of_labels(self.usual_labels)
        usual: dict[str, Any] = {f.name: f.default for f in fields(PretrainedConfig)}
        if (self.id2label, self.label2id) == (names, _inverse(names)):
            usual |= {"id2label": names, "label2id": self.label2id}
        values = {k: v for k, v in values.items() if k not in usual or v != usual[k]}
        return json.dumps(values, indent=2, sort_keys=True) + "\n"

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write config.json into a folder, made if need be; whole or not at all."""
        make_folder(Path(folder))
        replace_file(Path(folder) / CONFIG_NAME, self.to_json_string().encode())

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # a config can change


def _names_of_labels(count: int) -> dict[int, str]:
    return {i: f"LABEL_{i}" for i in range(count)}


def _inverse(id2label: dict[int, str]) -> dict[str, int]:
    return {str(name): i for i, name in id2label.items()}


def _one_dtype(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values without torch_dtype, the older name of dtype, which wins if both are."""
    values = dict(values)
    older = values.pop("torch_dtype", None)
    if values.get("dtype") is None and older is not None:
        values["dtype"] = older
    return values


def _plain(name: str, value: Any) -> Any:
    """Return what JSON would hold: Python's numbers, whole numbers of labels, names of dtypes."""
    if isinstance(value, np.generic):
        return value.item()
    if name == "dtype":
        return None if isinstance(value, str) and value == "auto" else dtype_name(value) or value
    if name == "id2label" and isinstance(value, dict):
        return {_whole(k): v for k, v in value.items()}
    if name == "label2id" and isinstance(value, dict):
        return {k: _whole(v) for k, v in value.items()}
    return value


def _whole(value: Any) -> Any:
    """Return the whole number that is written as text, or in NumPy's; else the value itself."""
    digits = isinstance(value, str) and value.isdecimal() and len(value) < 20
    return int(value) if digits or isinstance(value, np.integer) else value


def _short(value: Any) -> str:
    try:
        return reprlib.repr(value)
    except ValueError:  # Python prints no number of more than 4300 digits
        return "a number of thousands of digits"
