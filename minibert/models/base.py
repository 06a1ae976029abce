"""What all models share: drawn or read, called, counted, and their tensors by standard names."""

import copy
import os
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, ClassVar, TypeVar

import numpy as np

from minibert.batch import Batch, make_batch
from minibert.cache import Cache
from minibert.checkpoint.hub import find_folder
from minibert.checkpoint.load import LoadingReport, load_arrays, of_one_save, open_weights
from minibert.checkpoint.tensors import float_dtype
from minibert.models.arrays import WithArrays
from minibert.models.building import initializer
from minibert.models.config import PretrainedConfig
from minibert.models.habits import METHODS
from minibert.models.outputs import ModelOutput
from minibert.models.shown import hand_over, record_no_scores, seen_in
from minibert.models.stack import Stack
from minibert.runtime.arrays import Array
from minibert.runtime.parallel import pass_in_turn
from minibert.runtime.spelling import a_kind
from minibert.runtime.swap import is_swapping
from minibert.trace import Recording, Stage, Trace, expand_stages, silent

Model = TypeVar("Model", bound="PreTrainedModel")

TARGETS = "labels", "next_sentence_label", "start_positions", "end_positions"


class PreTrainedModel(WithArrays):
    """Base of all models.

    ``Model(config, seed)`` draws its weights as transformers does, in float32: matrices and
    embeddings from a normal distribution with the standard deviation ``config.initializer_range``,
    biases 0, norms 1 and 0. A model is never changed by a call: threads may share it.
    """

    hints = METHODS
    config_class: ClassVar[type[PretrainedConfig]]
    output_class: ClassVar[type[ModelOutput]]
    #: What the names of a stack's stages begin with -> the config's field with its layers.
    depths: ClassVar[dict[str, str]] = {"": "num_hidden_layers"}
    required: ClassVar[tuple[str, ...]]  # beginnings of the names that a checkpoint must have
    with_choices: ClassVar[bool] = False  # whether inputs are (batch, choices, tokens)
    targets: ClassVar[tuple[str, ...]] = ()  # the arguments of a call that make it return a loss
    last_state: ClassVar[str] = ""  # the stage that is the last hidden state: by default a layer
    pooler: Any = None
    loading_report: LoadingReport | None

    def __init__(self, config: Any = None, seed: int = 0) -> None:
        name = type(self).__name__
        if not isinstance(config, self.config_class):
            found = config.__name__ if isinstance(config, type) else a_kind(config)
            hint = f"to open a folder or a Hub id, call {name}.from_pretrained(...)"
            raise TypeError(f"{name} takes a {self.config_class.__name__}, found {found}; {hint}")
        config = copy.deepcopy(config)
        config.check()
        initialize = initializer(config, seed, np.dtype(np.float32))
        arrays = {p.field: initialize(p) for p in self.parameters_of(config)}
        self.config, self.loading_report = config, None
        self._assemble(arrays)

    @classmethod
    def from_pretrained(
        cls: type[Model],
        name: str | os.PathLike[str],
        dtype: Any = "float32",
        ignore_mismatched_sizes: bool = False,
        **options: Any,
    ) -> Model:
        """Open a checkpoint, a folder or a Hub id: config.json, and safetensors or PyTorch files.

        dtype: "float32" or "float64", or a type of NumPy or PyTorch; what the file holds is widened
        or narrowed to it. "auto": float64 if the checkpoint is, else float32.
        ignore_mismatched_sizes: draw a head anew if its shape in the file is not the config's.
        options: revision, token, cache_dir, local_files_only, force_download of a Hub id; all
        others override the config.
        Weights of this dtype are not copied but mapped: until the model is gone, replace the files
        (save_pretrained does, and mv) and do not write into them.
        OSError for what is missing, ValueError or TypeError for what is wrong, in a sentence.
        """
        dtype = options.pop("torch_dtype", dtype)  # as it was called for years
        float_dtype(dtype)  # before anything is fetched
        folder, overrides = find_folder(name, ("config", "weights"), options)
        read_config = partial(cls.config_class.from_pretrained, folder, **overrides)
        config, weights = of_one_save(folder, lambda: (read_config(), open_weights(folder)))
        widest = "float64" if any(t.dtype == "F64" for t in weights.tensors.values()) else None
        dtype = float_dtype(dtype, config.dtype or widest)
        needed = cls.fitted(config, weights, dtype), cls.prefix, cls.required
        others = initializer(config, 0, dtype), partial(cls.why_unused, config=config)
        arrays, report = load_arrays(weights, *needed, *others, dtype, ignore_mismatched_sizes)
        model = cls.__new__(cls)
        model.config, model.loading_report = config, report
        model._assemble(arrays)
        return model

    @classmethod
    def stages(cls) -> tuple[Stage, ...]:
        """Return the table of stages, in network order."""
        raise NotImplementedError

    def _assemble(self, arrays: dict[str, Array]) -> None:
        """Build the layers from arrays, known by field."""
        raise NotImplementedError

    @property
    def stacks(self) -> dict[str, Stack]:
        """The embeddings with their layers, by what the names of their stages begin with."""
        return {"": self.base_model}

    def encoded(self, batch: Batch, trace: Trace) -> Batch:
        """Return a batch that is ready for the last stack: all others have run."""
        return batch

    def forward(self, batch: Batch, trace: Trace) -> dict[str, Any]:
        """Run the network: the fields of the output, each put back where its tokens stood."""
        raise NotImplementedError

    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        inputs_embeds: Any = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        trace: dict[str, Array] | None = None,
        *,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        labels: Any = None,
        next_sentence_label: Any = None,
        start_positions: Any = None,
        end_positions: Any = None,
    ) -> Any:
        """Run the model on a batch.

        input_ids: (B, T), lists or whole numbers, 0 to vocab_size - 1.
        attention_mask: (B, T), 1 for a real token (the default), 0 for padding, in any pattern; or
        (B, T, T) or (B, 1, T, T), 1 where a query (the axis before the last) may look at a key.
        token_type_ids: (B, T), the segment of each token; 0 by default.
        position_ids: (T,) or (B, T); 0, 1, 2, ... by default, padding counted.
        inputs_embeds: (B, T, C), in place of input_ids.
        output_hidden_states, output_attentions, return_dict: None means what the config says.
        trace: a dict that receives every stage (see ``stage_axes``) as an array of its own.
        past_key_values: what an earlier call returned, of the tokens that come before these; it is
        extended, and attention_mask, if given, is of all tokens. use_cache: whether to return one.
        labels, next_sentence_label, start_positions, end_positions: what a head is to say, as
        transformers' heads take it (see models/targets.py); then the output has a ``loss``.

        Returns the class's output, or its tuple if return_dict is False. Padding is not computed:
        there are zeros in its place. TypeError or ValueError for a bad argument.
        """
        inputs = input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds
        targets = {
            "labels": labels,
            "next_sentence_label": next_sentence_label,
            "start_positions": start_positions,
            "end_positions": end_positions,
        }
        batch = self.batch(*inputs, cache=self._cache(past_key_values, use_cache), **targets)
        shown = self._shown(output_hidden_states, output_attentions)
        return self._run(batch, shown, trace, return_dict)

    def _run(
        self,
        batch: Batch,
        shown: dict[str, list[str]],
        trace: dict[str, Array] | None,
        return_dict: bool | None,
        **known: Any,
    ) -> Any:
        """Run a checked batch: the output, with the stages that fields show and what is known."""
        wanted = None if trace is not None else {*chain(*shown.values())}
        recording = Recording(batch, wanted)
        is_watched = wanted is None or wanted or is_swapping()  # a SwapError names the part
        found = pass_in_turn(self.forward, batch, recording if is_watched else silent)
        if batch.cache is not None:
            batch.cache.add(batch.mask)
            found["past_key_values"] = batch.cache
        if not batch.sequences:
            record_no_scores(self, batch, recording)
        output = self.output_class(**{**seen_in(recording, shown), **known, **found})
        if trace is not None:
            hand_over(recording, self.stage_axes(), trace)
        return output if self._wants("return_dict", return_dict) else output.to_tuple()

    def _cache(self, given: Cache | None, use_cache: bool | None) -> Cache | None:
        """Return what keeps keys and values: what is given, or a new one if wanted."""
        returns_it = hasattr(self.output_class, "past_key_values")
        if returns_it and given is None and self._wants("use_cache", use_cache):
            return Cache()
        if (given is not None or use_cache) and not returns_it:
            what = "keeps no keys and values from call to call"
            raise ValueError(
                f"{type(self).__name__} {what}: leave past_key_values and use_cache out"
            )
        return given

    def _shown(self, states: bool | None, attentions: bool | None) -> dict[str, list[str]]:
        """Return the stages that the fields of the output show, hidden_states and attentions."""
        layers = [f"layer.{i}" for i in range(len(self.base_model.layers))]
        shown = layers if self._wants("output_attentions", attentions) else []
        hidden = ["embeddings", *layers[:-1], self.last_state or layers[-1]]
        return {
            "hidden_states": hidden if self._wants("output_hidden_states", states) else [],
            "attentions": [f"{layer}.attention.probabilities" for layer in shown],
        }

    def _wants(self, option: str, given: bool | None) -> Any:
        return getattr(self.config, option) if given is None else given

    def batch(self, *inputs: Any, **named: Any) -> Batch:
        """Check the inputs of a call, and pack them; with the targets among the arguments."""
        targets = self.checked({name: named.pop(name, None) for name in TARGETS})
        named["with_choices"] = self.with_choices
        batch = make_batch(self.config, self.dtype, *inputs, **named)
        return self.reserved(replace(batch, targets=targets))

    def checked(self, targets: dict[str, Any]) -> dict[str, Any] | None:
        """Return what a head is to say; ValueError if it says no such thing, or some is missing."""
        given = {name: values for name, values in targets.items() if values is not None}
        name, known = type(self).__name__, f"it takes {', '.join(self.targets)}"
        if extra := [x for x in given if x not in self.targets]:
            why = known if self.targets else "without a head it has no loss"
            raise ValueError(f"{name} takes no {extra[0]}: {why}")
        if given and (missing := [x for x in self.targets if x not in given]):
            raise ValueError(f"{name} has no loss without {missing[0]}: {known}")
        return given or None

    def reserved(self, batch: Batch) -> Batch:
        """Return the batch, its cache with room for its tokens in the layers that fill it."""
        if batch.cache is not None:
            *_, stack = self.stacks.values()
            heads = stack.layers[0].attention.num_heads
            sizes = len(stack.layers), heads, self.config.hidden_size // heads
            batch.cache.reserve(batch.mask, *sizes, self.dtype)
        return batch

    def stage_axes(self) -> dict[str, str]:
        """Return the axes of every stage that a trace receives, in network order."""
        counts = {start: len(stack.layers) for start, stack in self.stacks.items()}
        stages = expand_stages(self.stages(), counts)
        has_pooler = self.base_model.pooler is not None
        return {s.name: s.axes for s in stages if s.name != "pooler" or has_pooler}

    def dropouts(self) -> dict[str, float]:
        """Return how many of a stage's numbers drop out in training, by the stage's pattern."""
        rates: dict[str, float] = self.config.dropouts()
        return rates

    def save_pretrained(
        self, folder: str | os.PathLike[str], *, safe_serialization: bool = True
    ) -> None:
        """Write config.json and model.safetensors into a folder, made if need be.

        safe_serialization: False writes pytorch_model.bin, which torch.load reads. A crash leaves
        the old checkpoint or the new one. OSError if the folder cannot be written.
        """
        from minibert.checkpoint.save import save_checkpoint  # few need it, and all would wait

        config = copy.deepcopy(self.config)
        config.architectures, config.dtype = [type(self).__name__], self.dtype.name
        content = config.to_json_string().encode()
        save_checkpoint(folder, content, self.state_dict(), safe_serialization=safe_serialization)

    @property
    def dtype(self) -> "np.dtype[np.floating[Any]]":
        """The dtype of the weights and of all that is computed."""
        dtype: np.dtype[np.floating[Any]] = self.base_model.embeddings.word.dtype
        return dtype

    def __repr__(self) -> str:
        c, numbers = self.config, f"{self.num_parameters():,} parameters, {self.dtype}"
        layers = " + ".join(str(len(stack.layers)) for stack in self.stacks.values())
        sizes = f"{layers} layers, hidden {c.hidden_size}, {c.num_attention_heads} heads"
        return f"{type(self).__name__}({sizes}, {numbers})"
