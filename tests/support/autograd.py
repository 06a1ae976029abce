"""What torch's autograd finds of a model of transformers; for those who have both."""

from contextlib import ExitStack

import numpy as np

from minibert.verification.hooks import watch


def tensors(inputs):
    """Return arrays as torch has them."""
    import torch

    return {name: torch.tensor(value) for name, value in inputs.items()}


def loss_of(model, inputs, labels):
    """Return the loss as transformers has it, but of the logits' dtype, and without padding."""
    import torch

    kind, given = type(model).__name__, tensors({**inputs, **labels})
    output = model(**given)
    entropy = torch.nn.functional.cross_entropy
    if kind == "GPT2LMHeadModel":  # which transformers computes in float32
        return entropy(output.logits[:, :-1].flatten(0, 1), given["labels"][:, 1:].flatten())
    mask = "attention_mask" if kind.startswith("Bert") else "decoder_attention_mask"
    if "QuestionAnswering" not in kind or mask not in given:
        return output.loss
    terms = []
    for side in ("start", "end"):  # an answer is not in the padding
        logits = output[f"{side}_logits"].masked_fill(given[mask] == 0, -torch.inf)
        places = given[f"{side}_positions"].clip(0)
        terms.append(entropy(logits, places.masked_fill(places >= logits.shape[1], -100)))
    return (terms[0] + terms[1]) / 2


def autograd(model, inputs, labels):
    """Return the loss, the gradients of the weights, and those of the stages, as arrays.

    A weight that nothing reads has zeros, and so has a stage at padding.
    """
    stages = {}
    with ExitStack() as stack:
        import torch

        names = [*watch(torch, model, {}, stack, stages)]
        loss = loss_of(model, inputs, labels)
        model.zero_grad()
        loss.backward()
    found = {
        name: np.zeros(weight.shape) if weight.grad is None else weight.grad.numpy().copy()
        for name, weight in model.named_parameters()
    }
    return loss.item(), found, {name: _real(name, stages[name], inputs) for name in names}


def _real(stage, grad, inputs):
    """Return the gradient of a stage, zeros where a key is padding: autograd goes there, too."""
    if not stage.endswith("probabilities"):
        return grad
    is_written = stage.startswith("decoder.") and "cross" not in stage
    keys = inputs.get("decoder_attention_mask" if is_written else "attention_mask")
    return grad if keys is None else grad * keys.reshape(-1, 1, 1, keys.shape[-1])
