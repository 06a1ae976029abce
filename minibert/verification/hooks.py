"""Seeing the stages of a model of transformers while it runs.

A model's own table of stages says which module shows which. Forward hooks see every stage but the
attention's scores, which are no module's input or output: they are what torch's softmax is given,
and a function mode of torch sees that. Nothing is computed here that the model itself does not
compute.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

from minibert.models.auto import MODELS
from minibert.runtime.arrays import Array
from minibert.runtime.progress import progress
from minibert.trace import Stage, expand_stages
from minibert.verification.parts import WEIGHT

Stages = dict[str, Array]
Keep = Callable[[Any, Callable[[Any], Any]], None]  # a tensor, and what takes the stage out of it


def watch(
    torch: Any, model: Any, seen: Stages, stack: ExitStack, gradients: Stages | None = None
) -> Iterator[str]:
    """Have a model tell its stages into ``seen``, until the stack is left.

    gradients: receives those of the stages, by the same names, when autograd goes back.
    Yields their names in network order. ValueError while it runs if a stage comes in pieces.
    """

    def keep(stage: str, tensor: Any, part: Callable[[Any], Any]) -> None:
        if stage in seen:
            raise ValueError(
                f"stage {stage} is computed in several steps: chunk_size_feed_forward, perhaps; "
                "set it to 0"
            )
        seen[stage] = _array(part(tensor))
        if gradients is not None:
            tensor.register_hook(lambda grad: gradients.update({stage: _array(part(grad))}))
        progress(stage)

    for stage, module in _places_in(model):
        if stage.shown == "softmax":
            _watch_softmax(torch, module, partial(keep, stage.name), stack)
        else:
            _hook(module, stage.shown, partial(keep, stage.name), stack)
        yield stage.name


def weights_back(torch: Any, model: Any, loss: Any) -> Stages:
    """Have autograd go back from a loss: return the gradients of weights that it is made of."""
    named = dict(model.named_parameters())
    found = torch.autograd.grad(loss, [*named.values()], allow_unused=True)
    pairs = reversed([*zip(named, found, strict=True)])
    return {f"{WEIGHT}{name}": _array(grad) for name, grad in pairs if grad is not None}


def _array(tensor: Any) -> Array:
    array: Array = tensor.detach().cpu().numpy().copy()
    return array


def _places_in(model: Any) -> Iterator[tuple[Stage, Any]]:
    """Yield the stages that a model has, each with the module that shows it."""
    encoder = model.base_model
    kinds = {kind.__name__: kind for kind in MODELS}
    base = kinds[type(encoder).__name__]
    kind = kinds.get(type(model).__name__, base)
    counts = {start: getattr(model.config, field) for start, field in kind.depths.items()}
    inside, outside = dict(encoder.named_modules()), dict(model.named_modules())
    own = expand_stages(base.stages(), counts)
    for stage in expand_stages(kind.stages(), counts):
        modules = inside if stage in own else outside
        if modules.get(stage.module) is not None:
            yield stage, modules[stage.module]


def _hook(module: Any, part: str, keep: Keep, stack: ExitStack) -> None:
    """Have a module tell what goes in or comes out, each time it runs."""

    def before(_: Any, arguments: tuple[Any, ...]) -> None:
        keep(arguments[0], whole)

    def whole(tensor: Any) -> Any:
        return tensor

    def third(tensor: Any) -> Any:
        return tensor.chunk(3, -1)[int(part[0]) - 1]

    def after(_: Any, arguments: tuple[Any, ...], output: Any) -> None:
        output = getattr(output, "logits", output)  # of a whole model, after a loss perhaps
        outputs = output if isinstance(output, tuple) else (output,)
        shown = outputs[1] if part == "second" else outputs[0]
        if shown is not None:  # no probabilities, where the attention is not eager
            keep(shown, third if part.endswith(" of 3") else whole)  # query, key and value in one

    add = module.register_forward_pre_hook if part == "input" else module.register_forward_hook
    stack.callback(add(before if part == "input" else after).remove)


def _watch_softmax(torch: Any, module: Any, keep: Keep, stack: ExitStack) -> None:
    """Have a module tell what torch's softmax is given while the module runs."""

    def counting(scores: Any) -> Any:  # without the large negative numbers of those that do not
        return scores.masked_fill(scores < torch.finfo(scores.dtype).min / 2, 0)

    softmax = (torch.nn.functional.softmax, torch.softmax, torch.Tensor.softmax)

    def watch(_: Any, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        if function in softmax:
            keep(arguments[0], counting)
        return function(*arguments, **(options or {}))

    base = torch.overrides.TorchFunctionMode
    mode = type("Softmax", (base,), {"__torch_function__": watch})()
    stack.callback(module.register_forward_pre_hook(lambda *_: mode.__enter__() and None).remove)
    leave = module.register_forward_hook(
        lambda *_: mode.__exit__(None, None, None), always_call=True
    )
    stack.callback(leave.remove)
