"""The loop: a batch, its gradients, a step; and again. What there is is saved, and gone on from.

    model, history = minibert.train(model, examples, evaluate=held_out, folder="runs/one")

All that chance decides (the order of the examples, what drops out) follows from the seed and the
number of the step, so a run that is gone on with ends in the same bits as one that never stopped.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from minibert.models.base import PreTrainedModel
from minibert.runtime.progress import progress, work
from minibert.runtime.spelling import spelled
from minibert.runtime.threads import in_turn
from minibert.trace import silent
from minibert.training.batches import Example, batches, collate
from minibert.training.dropout import Dropout, none
from minibert.training.interrupt import held
from minibert.training.learning import Fields, learn, refuse_strangers
from minibert.training.optimizers import AdamW, clip
from minibert.training.saved import resumed, save
from minibert.training.settings import Settings
from minibert.training.weights import learning, trainable

Model = TypeVar("Model", bound=PreTrainedModel)
History = list[dict[str, float]]  # a row for each step: step, loss, norm, rate; and held-out loss


@spelled
def train(
    model: Model,
    examples: Sequence[Example],
    *,
    evaluate: Sequence[Example] = (),
    folder: str | os.PathLike[str] | None = None,
    resume: bool = True,
    **settings: Any,
) -> tuple[Model, History]:
    """Train a copy of a model on examples; return it, and what happened at each step.

    evaluate: held-out examples, whose loss is told at the end of each epoch. folder: where the run
    is kept: ``last`` and ``best`` are checkpoints, run.safetensors is what a run is gone on with
    (weights, optimizer, step), if resume is on and the settings are the same. settings: see
    Settings, ``epochs=3`` for instance.

    Ctrl-C ends the step that is under way, saves, and then raises KeyboardInterrupt. ValueError for
    a setting that is not allowed; FloatingPointError for a loss that is no number, saying where it
    began.
    """
    run = Run(model, examples, evaluate, Settings(**settings))
    path = None if folder is None else Path(folder)
    if path is not None and resume:
        resumed(run, path)
    with work("train"), held() as stopped:
        while run.step < run.steps and not stopped:
            run.one_step()
            if path is not None and (stopped or run.is_at_a_stop()):
                save(run, path)
    if stopped:
        raise KeyboardInterrupt
    return run.model, run.history


class Run:
    """A model on its way: its weights, the optimizer, and how far it is."""

    def __init__(
        self,
        model: Any,
        examples: Sequence[Example],
        held_out: Sequence[Example],
        settings: Settings,
    ) -> None:
        if not examples:
            raise ValueError("there are no examples: there is nothing to learn from")
        for some in (examples, held_out):
            if some:  # all have the names of the first
                refuse_strangers(model, *some[0])
        self.model, self.weights = trainable(model)
        self.examples, self.held_out, self.settings = examples, held_out, settings
        self.fields = learning(self.model, settings.frozen)
        per_step = settings.batch_size * settings.accumulate
        self.per_epoch = -(-len(examples) // per_step)  # rounded up
        self.step, self.steps = 0, settings.epochs * self.per_epoch
        self.rate = settings.rate(self.steps)
        self.optimizer = AdamW(
            settings.learning_rate,
            settings.betas,
            eps=settings.eps,
            weight_decay=settings.weight_decay,
            bias_correction=settings.bias_correction,
        )
        self.history: History = []
        self.ordered: tuple[int, list[list[Example]]] = (-1, [])  # the batches of an epoch

    def one_step(self) -> None:
        """Learn from some batches, and change the weights."""
        began, rate = time.perf_counter(), self.rate(self.step)
        loss, gradients, tokens = self.gradients()
        norm = clip(gradients, self.settings.largest_norm)
        if not np.isfinite([loss, norm]).all():
            raise FloatingPointError(self.what_is_not_finite(loss))
        self.optimizer.step(self.weights, gradients, rate)
        self.step += 1
        row = {"step": self.step, "loss": loss, "norm": norm, "rate": rate}
        if self.held_out and self.step % self.per_epoch == 0:
            row |= evaluated(self.model, self.held_out, self.settings.batch_size)
        self.history.append(row)
        speed = tokens / (time.perf_counter() - began)
        progress(f"step {self.step} of {self.steps}, loss {loss:.4f}, {speed:,.0f} tokens a second")

    def gradients(self) -> tuple[float, Fields, int]:
        """Return the mean loss of a step's batches, their mean gradients, and how many tokens."""
        losses, tokens, total = [], 0, dict[str, Any]()
        for number, arguments in enumerate(self.batches()):
            batch = self.model.batch(**arguments)
            seed = (self.settings.seed, self.step, number)
            rates = self.model.dropouts() if self.settings.dropout else {}
            loss, found = learn(self.model, batch, Dropout(rates, seed) if rates else none)
            losses.append(loss)
            tokens += int(batch.mask.sum())
            for field in self.fields:
                total[field] = total[field] + found[field] if field in total else found[field]
        if len(losses) > 1:
            total = {field: grad / len(losses) for field, grad in total.items()}
        return float(np.mean(losses)), total, tokens

    def batches(self) -> list[dict[str, Any]]:
        """Return the batches of the step that comes, as arguments of a call."""
        epoch, place = divmod(self.step, self.per_epoch)
        size, count = self.settings.batch_size, self.settings.accumulate
        if self.ordered[0] != epoch:
            seed, examples = (self.settings.seed, epoch), self.examples
            if hasattr(examples, "of_epoch"):  # they are drawn anew
                examples = examples.of_epoch(seed)
            self.ordered = epoch, batches(examples, size, seed)
        return [*map(collate, self.ordered[1][place * count : (place + 1) * count])]

    def is_at_a_stop(self) -> bool:
        """Tell whether it is time to save: an epoch's end is, where held-out losses are told."""
        every = self.per_epoch, self.settings.save_every or self.per_epoch
        return any(self.step % steps == 0 for steps in every)

    def what_is_not_finite(self, loss: float) -> str:
        """Say where numbers first went wrong, and what to try."""
        stages: dict[str, Any] = {}
        self.model(**self.batches()[0], trace=stages)
        odd = [name for name, stage in stages.items() if not np.isfinite(stage).all()]
        hint = "try a smaller learning_rate, a longer warmup or a smaller largest_norm"
        where = "a gradient overflows"
        if odd:
            where = f"the first stage that is not finite is {odd[0]}"
        elif np.isnan(loss):
            where, hint = "of a batch's labels none counts", "leave its examples out"
        return f"the loss is {loss} at step {self.step + 1}: {where}; {hint}"


def evaluated(model: Any, examples: Sequence[Example], size: int) -> dict[str, float]:
    """Return the mean loss of examples, and the share of right labels where there are classes."""
    losses, weights, right = [], [], list[bool]()
    for start in range(0, len(examples), size):
        arguments = collate(examples[start : start + size])
        batch = model.batch(**arguments)
        found = in_turn(model.forward, batch, silent)
        losses.append(found["loss"])
        weights.append(len(batch.mask))
        told = arguments.get("labels")
        if told is not None and told.ndim == 1 and told.dtype.kind == "i":
            right += (found["logits"].argmax(-1) == told).tolist()
    row = {"held-out loss": float(np.average(losses, weights=weights))}
    return {**row, "held-out accuracy": float(np.mean(right))} if right else row
