"""What a faulty stage agrees with: the known mistakes are tried, and none is guessed.

A hypothesis is a run of the engine from the last known stages, with one thing exchanged.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from minibert.runtime.arrays import Array
from minibert.runtime.progress import progress
from minibert.runtime.swap import OPERATIONS, replacement_for, swap
from minibert.trace import pattern_of
from minibert.verification.compare import real_places
from minibert.verification.derived import around, of_gradient
from minibert.verification.dials import dials, solved
from minibert.verification.fits import fits
from minibert.verification.inside import recovered
from minibert.verification.isolate import Isolation
from minibert.verification.looked import looked_at
from minibert.verification.measure import Measure, Size
from minibert.verification.parts import is_gradient
from minibert.verification.places import ours_at
from minibert.verification.precision import SHORT, TF32, Precision
from minibert.verification.search import levels
from minibert.verification.signatures import signatures
from minibert.verification.trials import Trial
from minibert.verification.words import other_words

#: A stage is a fault if its added error is more than this many times its floor. Measured beside
#: PyTorch on the checkpoints of the tests: at most 6.3 without a fault, because BLAS libraries sum
#: in orders of their own, some less exact than ours. What formulas change is 100 times and more in
#: float32, and a million times in float64; an eps of 1e-6 for 1e-12 is the exception.
FACTOR = 16.0
PRODUCTS = ("linear", "attention_scores", "attention_context")
NEARER = 10  # times smaller is the error with what explains it
SOLVED = 1e-9  # of the error is left where a few numbers have been solved for
IN_VAIN = 2  # searches of gaps in different layers without a cause: another has none either
LARGE = 1000  # times float32's rounding is an error that float32 may look at
SINGLE = 2  # faulty layers at most where a few numbers of one may be others
EXPLAINED = 3  # the same digits left out make TF32's error so much smaller; a fault's error stays


def likely_cause(side: Isolation, stage: str) -> str | None:
    """Return a sentence with the mistake that explains a fault, or those that do equally well.

    None if no known mistake brings the added error down to the floor. What has explained a fault of
    this recording is tried first, and if it explains this one too, nothing else is.
    """
    enough = min(FACTOR, side.excess(stage) / 2)
    with np.errstate(all="ignore"):
        found = side.causes[stage] = _fitting(side, stage, enough)
    if not found:
        return None
    sentence = _sentence(side, found[0])
    if len(found) > 1:
        others = "; or ".join(_at_stages(trial, found[0]) for trial in found[1:4])
        sentence += f"; or, which cannot be told apart here, {others}"
    return sentence


def _fitting(side: Isolation, stage: str, enough: float) -> list[Trial]:
    """Return what explains a fault: all trials of the first level that has any.

    What the numbers themselves show, without being computed again, comes after all trials.
    """
    if is_gradient(stage) and (found := around(side, stage, enough)):
        return found
    search = _Search(side, stage, enough)
    known = {trial.phrase for trials in side.causes.values() for trial in trials}
    is_new = _is_new(side, stage)
    for level in _levels(side, stage):
        explaining: list[Trial] = []
        for is_known in (True, False) if is_new else (True,):
            for trial in (t for t in level if (t.phrase in known) is is_known):
                if not _is_said(trial, explaining) and search.fits(trial):
                    explaining.append(trial)
            if explaining:
                return explaining
    return _solved(side, stage, search) if is_new and not is_gradient(stage) else []


def _is_new(side: Isolation, stage: str) -> bool:
    """Tell whether to search at all: not where such a gap has been searched in vain, and again."""
    alike = (x for x in side.causes if pattern_of(x) == pattern_of(stage))
    in_vain = [x for x in alike if not side.causes[x]]
    return not side.gap(stage) or len(in_vain) < IN_VAIN


def _solved(side: Isolation, stage: str, search: "_Search") -> list[Trial]:
    """Return what explains a fault with numbers that are found."""
    for dial in dials(side.model, side.gap(stage), stage):
        found = solved(dial, search.numbers, search.theirs)
        if found and search.fits(found):
            return [found]
    for phrase, made in chain(signatures(side, stage), fits(side, stage)):
        if side.excess(stage, side.error(stage, made)) <= search.enough:
            return [Trial((stage,), phrase)]
    faulty = [
        x for x in side.measures if pattern_of(x) == pattern_of(stage) and side.excess(x) > FACTOR
    ]
    for place, phrase, made in recovered(side, stage) if len(faulty) <= SINGLE else ():
        error, added = side.error(stage, made), side.measures[stage].added
        if side.excess(stage, error) <= search.enough or error.rms <= SOLVED * added.rms:
            return [Trial((place,), phrase)]
    return []


def _levels(side: Isolation, stage: str) -> Iterator[list[Trial]]:
    if is_gradient(stage):
        yield from of_gradient(side, stage)
        return
    yield from levels(side.model, side.gap(stage), stage, side.inputs)
    words = other_words(side, stage)
    yield [words] if words else []
    if side.inputs.source is not None:
        yield list(looked_at(side, stage))


class _Search:
    """Tells which trials explain a stage: tried on one sequence first, then on the batch."""

    def __init__(self, side: Isolation, stage: str, enough: float) -> None:
        self.side, self.stage, self.enough = side, stage, enough
        self.few: list[int] | None = None
        self.count = 0
        measure = side.measures[stage]
        is_large = measure.added.rms > LARGE * measure.rounding.rms
        self.dtype = np.float32 if is_large else np.float64  # of the first look
        # a sequence may have no place in a stage, as one padded on the left has none in the pooler
        places, sequences = side.places(stage), side.batch.sequences
        sequences = tuple(s for s in sequences if is_gradient(stage) or places[s.index].any())
        if len(sequences) > 1 and not is_gradient(stage):  # whose loss is that of all
            computed = side.computed(stage)
            added = {s.index: side.error(stage, computed, [s.index]).rms for s in sequences}
            far = [s for s in sequences if added[s.index] >= max(added.values()) / 2]
            for shortest in sorted(far, key=lambda s: len(s.columns))[:1]:  # none, if all are NaN
                self.few, self.added = [shortest.index], added[shortest.index]

    def fits(self, trial: Trial) -> bool:
        """Tell whether the fault is gone with a trial."""
        self.count += 1
        progress(f"{self.stage}, what explains it: trial {self.count}")
        if self.few is not None and trial.inputs is None:
            made = _tried(self.side, self.stage, trial, self.dtype, self.few)
            if made is None or made.shape != self.side.stages[self.stage].shape:
                return False
            if not self.side.error(self.stage, made, self.few).rms < self.added / 1.5:
                return False
        return excess_with(self.side, self.stage, trial, self.enough) <= self.enough

    @property
    def theirs(self) -> Array:
        """What is recorded, of the sequence that is tried first."""
        return self._of_few(self.side.stages[self.stage])

    def numbers(self, trial: Trial) -> Array | None:
        """Return the same numbers as a trial makes them."""
        made = _tried(self.side, self.stage, trial, np.float64, self.few)
        shape = self.side.stages[self.stage].shape
        return None if made is None or made.shape != shape else self._of_few(made)

    def _of_few(self, stage: Array) -> Array:
        few = slice(None) if self.few is None else self.few
        return stage[few][self.side.places(self.stage)[few]].astype(np.float64)


def _sentence(side: Isolation, trial: Trial) -> str:
    """Say with what a recording agrees."""
    stages = trial.stages
    where = ", ".join(stages if len(stages) < 4 else (stages[0], "...", stages[-1]))
    if is_gradient(stages[0]):
        return f"{where}: {side.who} agrees with {trial.phrase}"
    ours = ours_at(side.model, stages[0])
    if trial.phrase in ours:  # what it should do, and does not
        ours = ", this model does something else"
    else:
        ours = f", this model uses {ours}"
    return f"{where}: {side.who} agrees with {trial.phrase}{ours}"


def _at_stages(trial: Trial, first: Trial) -> str:
    same = trial.stages == first.stages
    return trial.phrase if same else f"{', '.join(trial.stages[:2])}: {trial.phrase}"


def _is_said(trial: Trial, fits: list[Trial]) -> bool:
    """Tell whether one that fits has said the same, of fewer stages or by the same functions."""
    return any(
        t.phrase == trial.phrase
        and (set(t.stages) <= set(trial.stages) or (t.swaps and t.swaps == trial.swaps))
        for t in fits
    )


def excess_with(side: Isolation, stage: str, trial: Trial, enough: float) -> float:
    """Return how many times above its floor the error is, if something else is done."""
    exact = _tried(side, stage, trial, np.float64)
    if exact is None or exact.shape != side.stages[stage].shape:
        return float("inf")
    added = side.error(stage, exact)
    excess = side.excess(stage, added)
    if not enough < excess < 1000 * enough:
        return excess if excess <= enough else float("inf")
    if not added.rms * NEARER <= side.measures[stage].added.rms:
        return excess  # a floor of its own must not explain what stays as far off as it was
    # near: other operations round differently, so they have a floor of their own
    single = _tried(side, stage, trial, np.float32)
    if single is None:
        return excess
    rounding = Size.of(side.numbers(stage, single) - side.numbers(stage, exact))
    measure = Measure(added, rounding, side.measures[stage].size)
    return measure.excess(side.precisions[stage])


def _tried(
    side: Isolation, stage: str, trial: Trial, dtype: Any, only: list[int] | None = None
) -> Array | None:
    """Return the stage as a trial computes it; None if it cannot be done with these arrays."""
    try:
        inputs = trial.inputs(side.inputs) if trial.inputs else None
        with swap(**trial.swaps):
            made = side.computed(stage, dtype, change=trial.change, inputs=inputs, only=only)
    except (ValueError, IndexError, TypeError):
        return None
    if inputs is None or np.array_equal(inputs.mask, side.real):
        return made
    source = inputs.source.mask if inputs.source else None
    there = real_places(side.axes[stage], inputs.mask, source)  # of tokens that both have
    return np.where(there, made, side.stages[stage]) if there.any() else None


# matrix products that keep few digits of what they multiply: TF32


def short_products(side: Isolation, stage: str) -> Precision | None:
    """Return the precision of a stage whose matrix products leave out digits.

    It is believed only if leaving the same digits out brings the same numbers: a fault does not.
    """
    if any(replacement_for(name) for name in PRODUCTS):
        return None  # short products of ours would hide what a user's function does
    for precision in (TF32, SHORT):
        if side.measures[stage].excess(precision) > FACTOR:
            continue
        for swaps in _ways_to_shorten(precision.arithmetic or precision.digits):
            computed = _tried(side, stage, Trial((stage,), "", swaps), np.float64)
            error = None if computed is None else side.error(stage, computed)
            if error and error.rms * EXPLAINED <= side.measures[stage].added.rms:
                return precision
    return None


def _ways_to_shorten(digits: int) -> Iterator[dict[str, Callable[..., Array]]]:
    rounded, cut_off = (partial(shortened, digits=digits, cut=f) for f in (np.rint, np.trunc))
    yield from (products(short, whole) for short in (rounded, cut_off))
    yield from (products(rounded, rounded, with_bias) for with_bias in (True, False))


def whole(x: Array) -> Array:
    """Leave out nothing."""
    return x


def products(
    short: Callable[[Array], Array], result: Callable[[Array], Array], with_bias: bool = True
) -> dict[str, Callable[..., Array]]:
    """Return the operations that are matrix products, with digits left out.

    short: of what is multiplied; result: of the product, before or after the bias is added.
    """
    ours = OPERATIONS["linear"]

    def linear(x: Array, weight: Array, bias: Array) -> Array:
        if with_bias:
            return result(ours(short(x), short(weight), bias))
        return result(result(ours(short(x), short(weight), 0 * bias)) + bias)

    two = {
        name: lambda x, y, f=OPERATIONS[name]: result(f(short(x), short(y)))
        for name in ("attention_scores", "attention_context")
    }
    return {**two, "linear": linear}


def shortened(x: Array, digits: int, cut: Any = np.rint) -> Array:
    """Keep so many binary digits of each number."""
    mantissa, exponent = np.frexp(x)
    kept: Array = np.ldexp(cut(mantissa * 2.0**digits) / 2.0**digits, exponent).astype(x.dtype)
    return kept
