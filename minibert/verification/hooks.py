"""Seeing the stages of a BERT of transformers while it runs: which module shows which.

Forward hooks on modules see every stage but the attention's scores, which are no module's input or
output: they are what torch's softmax is given, and a function mode of torch sees that. Nothing is
computed here that the model itself does not compute.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

from minibert.runtime.arrays import Array

Stages = dict[str, Array]

# fmt: off
#: As what a module shows a stage: what goes in, what comes out, the second thing that comes out.
IN, OUT, SECOND = "in", "out", "second"
#: Stage, module of a BertModel, as what.
ENCODER_PLACES = (
    ("embeddings.sum", "embeddings.LayerNorm", IN),
    ("embeddings", "embeddings", OUT),
    ("layer.{i}.attention.query", "encoder.layer.{i}.attention.self.query", OUT),
    ("layer.{i}.attention.key", "encoder.layer.{i}.attention.self.key", OUT),
    ("layer.{i}.attention.value", "encoder.layer.{i}.attention.self.value", OUT),
    ("layer.{i}.attention.probabilities", "encoder.layer.{i}.attention.self", SECOND),
    ("layer.{i}.attention.context", "encoder.layer.{i}.attention.output.dense", IN),
    ("layer.{i}.attention.output", "encoder.layer.{i}.attention.output.dense", OUT),
    ("layer.{i}.attention", "encoder.layer.{i}.attention.output", OUT),
    ("layer.{i}.feed_forward.intermediate", "encoder.layer.{i}.intermediate.dense", OUT),
    ("layer.{i}.feed_forward.activation", "encoder.layer.{i}.intermediate", OUT),
    ("layer.{i}.feed_forward", "encoder.layer.{i}.output.dense", OUT),
    ("layer.{i}", "encoder.layer.{i}", OUT),
    ("pooler", "pooler", OUT),
)
#: The same for the modules that a head adds.
HEAD_PLACES = (
    ("predictions.intermediate", "cls.predictions.transform.dense", OUT),
    ("predictions.activation", "cls.predictions.transform.LayerNorm", IN),
    ("predictions", "cls.predictions.transform", OUT),
    ("logits", "cls.predictions.decoder", OUT),
    ("seq_relationship", "cls.seq_relationship", OUT),  # called logits where it is the only head
    ("logits", "classifier", OUT),
    ("logits", "qa_outputs", OUT),
)
# fmt: on


def watch(torch: Any, model: Any, seen: Stages, stack: ExitStack) -> Iterator[str]:
    """Have a model tell its stages into ``seen``, until the stack is left.

    Yields their names in network order. ValueError while it runs if a stage comes in pieces.
    """

    def keep(stage: str, tensor: Any) -> None:
        if stage in seen:
            raise ValueError(
                f"stage {stage} is computed in several steps: chunk_size_feed_forward, perhaps; "
                "set it to 0"
            )
        seen[stage] = tensor.detach().cpu().numpy().copy()

    for stage, module, part in _places_in(model):
        if stage.endswith(".attention.probabilities"):
            scores = stage.replace("probabilities", "scores")
            _watch_softmax(torch, module, partial(keep, scores), stack)
            yield scores
        _hook(module, part, partial(keep, stage), stack)
        yield stage


def _places_in(model: Any) -> Iterator[tuple[str, Any, str]]:
    """Yield the stages that a model has, the module that shows each, and as what."""
    encoder, modules = model.base_model, dict(model.named_modules())
    for stage, name, part in _places(model.config.num_hidden_layers):
        if stage != "pooler" or getattr(encoder, "pooler", None) is not None:
            yield stage, encoder.get_submodule(name), part
    for stage, name, part in HEAD_PLACES:
        if name in modules:
            alone = name == "cls.seq_relationship" and "cls.predictions" not in modules
            yield "logits" if alone else stage, modules[name], part


def _places(num_hidden_layers: int) -> list[tuple[str, str, str]]:
    """Return the stages of an encoder with so many layers: name, module, as what."""
    layers = [place for place in ENCODER_PLACES if "{i}" in place[0]]
    return [
        *(place for place in ENCODER_PLACES if place[0].startswith("embeddings")),
        *(
            (stage.format(i=i), module.format(i=i), part)
            for i in range(num_hidden_layers)
            for stage, module, part in layers
        ),
        ENCODER_PLACES[-1],
    ]


def _hook(module: Any, part: str, keep: Callable[[Any], None], stack: ExitStack) -> None:
    """Have a module tell what goes in or comes out, each time it runs."""

    def before(_: Any, arguments: tuple[Any, ...]) -> None:
        keep(arguments[0])

    def after(_: Any, arguments: tuple[Any, ...], output: Any) -> None:
        outputs = output if isinstance(output, tuple) else (output,)
        shown = outputs[1] if part == SECOND else outputs[0]
        if shown is not None:  # no probabilities, where the attention is not eager
            keep(shown)

    add = module.register_forward_pre_hook if part == IN else module.register_forward_hook
    stack.callback(add(before if part == IN else after).remove)


def _watch_softmax(torch: Any, module: Any, keep: Callable[[Any], None], stack: ExitStack) -> None:
    """Have a module tell what torch's softmax is given while the module runs."""
    softmax = (torch.nn.functional.softmax, torch.softmax, torch.Tensor.softmax)

    def watch(_: Any, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        if function in softmax:
            keep(arguments[0])
        return function(*arguments, **(options or {}))

    base = torch.overrides.TorchFunctionMode
    mode = type("Softmax", (base,), {"__torch_function__": watch})()
    stack.callback(module.register_forward_pre_hook(lambda *_: mode.__enter__() and None).remove)
    leave = module.register_forward_hook(
        lambda *_: mode.__exit__(None, None, None), always_call=True
    )
    stack.callback(leave.remove)
