"""Recording a model's stages: one of ours, or one of transformers, watched while it runs.

The only file of the package that imports torch and transformers, and only to record theirs; how
their stages are seen is in hooks.py.
"""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.batch import make_batch
from minibert.checkpoint.files import sha256
from minibert.checkpoint.hub import find_folder
from minibert.checkpoint.load import open_weights
from minibert.checkpoint.tensors import float_dtype
from minibert.models.auto import CLASSES, AutoModel
from minibert.models.base import TARGETS, PreTrainedModel
from minibert.models.shown import hand_over
from minibert.runtime.progress import progress, work
from minibert.runtime.spelling import a_kind, spelled
from minibert.runtime.threads import in_turn
from minibert.runtime.warn import warn
from minibert.trace import Recording
from minibert.verification.hooks import Stages, watch, weights_back
from minibert.verification.names import DECODER_INPUTS, Arrays, places
from minibert.verification.parts import GRAD
from minibert.verification.reference import Reference, own_array
from minibert.verification.shapes import check_inputs, masks_of, of_decoder, words_of
from minibert.verification.standard import standard_inputs
from minibert.verification.told import labels_of, of_its_class
from minibert.verification.way_back import axes_of_all, learn

SOURCES = ("minibert", "transformers")


@spelled
def record_checkpoint(
    name: str | os.PathLike[str],
    inputs: Mapping[str, Any],
    source: str = "minibert",
    dtype: str = "float64",
    checkpoint: str | None = None,
    gradients: bool = False,
    **options: Any,
) -> Reference:
    """Record every stage of a checkpoint's encoder, and of its pooler if it has one.

    name: a folder or a Hub id. inputs: as in ``Reference.from_arrays``. source: "minibert", or
    "transformers", eager attention, eval mode. dtype: "float64", which runs float32 too and keeps
    how far that is away, or "float32". checkpoint: what the recording calls it; its own name.
    gradients: with the head that the config names, and with the gradients of its loss, as
    ``record_model`` has them with labels; where no labels are among the inputs, made-up ones.
    options: of a Hub id, as in BertModel.from_pretrained.
    ValueError or TypeError for what does not fit; ImportError without transformers and torch.
    """
    if source not in SOURCES:
        raise ValueError(f"source is {source!r}; allowed: {', '.join(SOURCES)}")
    folder, others = find_folder(name, ("config", "weights"), options)
    if others:
        raise TypeError(f"record_checkpoint records a checkpoint as it is, without {[*others]}")
    load = _load_ours if source == "minibert" else _load_theirs
    if gradients:
        load, inputs = partial(load, kind=of_its_class(folder).__name__), _told(folder, inputs)
    else:
        inputs = {name: x for name, x in inputs.items() if name not in TARGETS}
    provenance = {
        "checkpoint": checkpoint or (folder.resolve().name if Path(name).exists() else str(name)),
        "checkpoint_sha256": sha256(open_weights(folder).files),
    }
    with work("record"):
        made = _recorded(load, folder, inputs, float_dtype(dtype).name)
        if made.provenance["dtype"] == "float64":
            single = _recorded(load, folder, inputs, "float32")
            provenance["float32_errors"] = json.dumps(_errors(made, single))
    return Reference(made.inputs, made.stages, {**made.provenance, **provenance})


def _told(folder: Path, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return inputs with labels."""
    if inputs.keys() & {*TARGETS}:
        return inputs
    kind = of_its_class(folder)
    config = kind.config_class.from_pretrained(folder)
    return {**inputs, **labels_of(kind, config, _given(inputs, config))}


@spelled
def record_model(
    model: Any,
    inputs: Mapping[str, Any],
    checkpoint: str = "",
    labels: Mapping[str, Any] | None = None,
) -> Reference:
    """Record every stage of a model in memory on these inputs, zeros where there is padding.

    model: one of minibert's, or its like of transformers with any head but that of multiple choice,
    on any device, as it is: ValueError if it would draw at random (training mode) or compute in
    less than float32 (half precision, autocast, TF32); a warning for stages that are not seen, as
    scores and probabilities are not unless the attention is eager.
    inputs: as in ``Reference.from_arrays``. checkpoint: its name, for the provenance.
    labels: what makes a call return a loss (``labels``, ``start_positions``, ...); then the
    gradients of the loss are recorded, too: ``grad.layer.0`` that of ``layer.0``, and
    ``grad.weight.NAME`` that of a weight, under its name in the checkpoint, once if it is tied.
    """
    given = _given({**inputs, **(labels or {})}, getattr(model, "config", None))
    run = _run_ours if isinstance(model, PreTrainedModel) else _run_theirs
    stages, provenance = run(model, given)
    masks = masks_of(given)
    whole = {name: np.where(places(name, a, *masks), a, 0) for name, a in stages.items()}
    dtype = next(iter(whole.values())).dtype.name
    named = {"checkpoint": checkpoint} if checkpoint else {}
    return Reference(given, whole, {**provenance, "dtype": dtype, **named})


def _given(inputs: Mapping[str, Any], config: Any) -> Arrays:
    """Return inputs as arrays, checked."""
    given, _ = standard_inputs({name: own_array(name, x) for name, x in inputs.items()})
    check_inputs(given)
    return _filled(given, config)


def _filled(inputs: Arrays, config: Any) -> Arrays:
    """Return inputs with the masks, and the words of a decoder, that a call has by default."""
    found = {"attention_mask": np.ones(words_of(inputs).shape[:2], np.int64), **inputs}
    if getattr(config, "is_encoder_decoder", False):
        if not of_decoder(inputs):
            start, read = config.decoder_start_token_id, inputs.get("input_ids")
            labels = inputs.get("labels", np.zeros(1))
            if labels.ndim == 2 and labels.dtype.kind in "iu":  # what is to be written
                read = np.where(labels < 0, config.pad_token_id or 0, labels)
            if read is None or start is None:
                raise ValueError("the decoder's words are not known: give decoder_input_ids")
            found["decoder_input_ids"] = np.insert(read[:, :-1], 0, start, axis=1)
        shape = words_of(of_decoder(found)).shape[:2]
        found.setdefault("decoder_attention_mask", np.ones(shape, np.int64))
    return found


def _recorded(
    load: Callable[[Path, str], tuple[Any, bool]],
    folder: Path,
    inputs: Mapping[str, Any],
    dtype: str,
) -> Reference:
    """Record a checkpoint in one dtype, without a pooler that was drawn at random."""
    progress(f"loading, in {dtype}")
    model, drawn = load(folder, dtype)
    progress(f"running in {dtype}")
    if drawn and inputs.keys() & {*TARGETS}:
        raise ValueError("the head or the pooler is not in the checkpoint: it was drawn at random")
    made = record_model(model, inputs)
    if drawn:
        made.stages.pop("pooler")
    return made


def _errors(exact: Reference, single: Reference) -> dict[str, list[float]]:
    """Return the root mean square and the maximum of what float32 is off, at real tokens."""
    errors = {}
    for name, stage in exact.stages.items():
        error = np.abs(stage - single.stages[name])[places(name, stage, *exact.masks)]
        if error.size:  # there is no pair of real tokens, or the like
            errors[name] = [float(np.sqrt((error**2).mean())), float(error.max())]
    return errors


def _load_ours(folder: Path, dtype: str, kind: str = "") -> tuple[PreTrainedModel, bool]:
    """Return the model, and whether its pooler is drawn."""
    chosen = of_its_class(folder) if kind else AutoModel
    model: PreTrainedModel = chosen.from_pretrained(folder, dtype=dtype)
    return model, bool(model.loading_report and model.loading_report.newly_initialized)


def _run_ours(model: PreTrainedModel, inputs: dict[str, Any]) -> tuple[Stages, dict[str, str]]:
    from minibert._version import __version__

    seen: Stages = {}
    tools = f"minibert {__version__}, numpy {np.__version__}"
    axes = model.stage_axes()
    if inputs.keys() & {*TARGETS}:
        axes, batch = axes_of_all(model), model.batch(**inputs)
        recording = Recording(batch)
        in_turn(learn, model, batch, recording)
        hand_over(recording, axes, seen)
    else:
        model(**inputs, trace=seen)
    stages = {name: seen[name] for name in axes if name in seen}
    return stages, {"tools": tools, "attention": "minibert"}


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise ImportError(
            f"recording from transformers needs {name}, which is not installed: "
            "pip install 'minibert-numpy[live]'"
        ) from None


def _load_theirs(folder: Path, dtype: str, kind: str = "AutoModel") -> tuple[Any, bool]:
    """Return transformers' model, and whether its pooler is drawn."""
    _library("torch")
    model, found = getattr(_library("transformers"), kind).from_pretrained(
        folder, dtype=dtype, attn_implementation="eager", output_loading_info=True
    )
    missing = set(found["missing_keys"])
    if others := sorted(name for name in missing if not name.startswith("pooler.")):
        raise ValueError(f"transformers drew {others[0]} at random: it is not in the checkpoint")
    return model.eval(), bool(missing)


def _run_theirs(model: Any, inputs: dict[str, Any]) -> tuple[Stages, dict[str, str]]:
    torch, transformers = _library("torch"), _library("transformers")
    if getattr(getattr(model, "config", None), "model_type", None) not in CLASSES:
        raise TypeError(
            f"the model is {a_kind(model)}; needed: one of minibert, or its like of transformers."
            " For what another program computes there is Reference.from_arrays"
        )
    if type(model).__name__ == "BertForMultipleChoice":
        raise TypeError("a multiple-choice head takes inputs of three axes; record its model.bert")
    _refuse_inexact(torch, model)
    limits = CLASSES[model.config.model_type]["config"].from_dict(model.config.to_dict())
    decoder = of_decoder(inputs)
    source = {x: y for x, y in inputs.items() if x not in (*DECODER_INPUTS, *TARGETS)}
    for given in (source, decoder) if decoder else (source,):
        make_batch(limits, np.float64, **given)  # says in a sentence what torch would not
    attention = model.config._attn_implementation
    seen, order = _seen(torch, model, inputs)
    if missing := [name for name in order if name not in seen]:
        warn(
            f"{len(missing)} stages were not seen and are not in the recording, among them "
            f"{missing[0]}: the attention is {attention!r}. "
            "Load the model with attn_implementation='eager'"
        )
    version = torch.__version__.split("+")[0]
    tools = f"transformers {transformers.__version__}, torch {version}"
    stages = {name: seen[name] for name in order if name in seen}
    return stages, {"tools": tools, "attention": attention}


def _seen(torch: Any, model: Any, inputs: Mapping[str, NDArray[Any]]) -> tuple[Stages, list[str]]:
    """Return what was seen of a run, and the names of all that there is, in order."""
    seen: Stages = {}
    back: Stages | None = {} if inputs.keys() & {*TARGETS} else None
    frozen = [name for name, weight in model.named_parameters() if not weight.requires_grad]
    if back is not None and frozen:
        raise ValueError(f"the weight {frozen[0]} is frozen: set requires_grad of all weights")
    with torch.inference_mode(back is None), torch.set_grad_enabled(back is not None):
        with ExitStack() as stack:
            order = list(watch(torch, model, seen, stack, back))
            output = model(**_tensors(torch, model, inputs))
        if back is not None:
            weights = weights_back(torch, model, output.loss)
            seen |= {**{f"{GRAD}{name}": grad for name, grad in back.items()}, **weights}
            order += [*(f"{GRAD}{name}" for name in reversed(order)), *weights]
    return seen, order


def _refuse_inexact(torch: Any, model: Any) -> None:
    """Raise ValueError if the model would draw at random, or compute in less than float32."""
    if any(module.training for module in model.modules()):
        raise ValueError("the model is in training mode: dropout is random. Call model.eval()")
    dtypes = sorted({str(weight.dtype).removeprefix("torch.") for weight in model.parameters()})
    if dtypes not in (["float32"], ["float64"]):
        raise ValueError(
            f"the model's weights are {', '.join(dtypes)}; a recording is of float32 or float64: "
            "call model.float() or model.double()"
        )
    if torch.is_autocast_enabled(model.device.type):
        raise ValueError("autocast is on, which computes in half precision: leave it")
    backends = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)
    set_to = {getattr(backend, "fp32_precision", "none") for backend in backends}
    exact = torch.get_float32_matmul_precision() == "highest" and not set_to & {"tf32", "bf16"}
    if dtypes == ["float32"] and not exact:
        raise ValueError(
            "torch may multiply float32 in TF32 or bfloat16, three digits: "
            "call torch.set_float32_matmul_precision('highest')"
        )


def _tensors(torch: Any, model: Any, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    tensors = {}
    for name, array in inputs.items():
        is_real = name.endswith("inputs_embeds") or array.dtype.kind == "f"  # labels may be
        dtype = model.dtype if is_real else torch.int64
        tensors[name] = torch.tensor(np.array(array), dtype=dtype, device=model.device)
        if name == "position_ids":
            tensors[name] = tensors[name].reshape(-1, array.shape[-1])
    return tensors
