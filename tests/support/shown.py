"""Results that no model made, for what shows a result."""

import numpy as np
from stages import stage_axes

from minibert.verification.report import Diagnosis
from minibert.verification.result import StageResult

TEXT = """[CLS] the quick brown fox jump ##s over the lazy dog near the old riverbank , and no
##body seem ##ed to notice that it had already done so twice before break ##fast . [SEP]"""
WORDS = TEXT.split()
TOKENS = [WORDS, WORDS[:9]]


def row(stage, status="OK", accumulated=1e-7, added=1e-7, floor=1e-7, cause=None, **others):
    """A stage, with errors unless they are None; the excess follows from them."""
    excess = added / floor if added is not None and floor else None
    fields = {"excess": excess, **others}
    return StageResult(stage, status, accumulated, added, floor, cause=cause, **fields)


def report(rows, precision="float32", factor=8.0, provenance=None, **others):
    """A diagnosis of these rows."""
    return Diagnosis(tuple(rows), precision, factor, provenance or {}, **others)


CAUSES = {
    "layer.2.feed_forward.activation": "the reference agrees with gelu_new (tanh), this model uses "
    "gelu (erf)",
    "layer.5.attention": "the reference agrees with layer_norm_eps 1e-05, this model uses 1e-12",
}


def realistic(num_hidden_layers=8):
    """Two faults in a deep network; what they add is inherited by all that follows."""
    draw = np.random.default_rng(0)
    rows, inherited = [], 0.0
    for stage in stage_axes(num_hidden_layers):
        floor = 10 ** draw.uniform(-7.4, -6.6)
        added = floor * draw.uniform(0.6, 1.6)
        if stage in CAUSES:
            added = 10 ** draw.uniform(-4.2, -3.4)
        inherited = float(np.hypot(inherited * draw.uniform(0.93, 1.04), added))
        cause = CAUSES.get(stage)
        status = "FAULT" if cause else "INHERITED" if inherited > 20 * floor else "OK"
        rows.append(row(stage, status, inherited, added, floor, cause))
    errors = {row.stage: token_errors(draw, row.accumulated) for row in rows}
    return report(rows, provenance=PROVENANCE, token_errors=errors)


def token_errors(draw, size):
    """Errors of two sequences, the second one shorter."""
    errors = size * 10 ** draw.uniform(-1.5, 0.7, (2, len(WORDS)))
    errors[1, 9:] = np.nan
    return errors


PROVENANCE = {
    "model": "BertModel(8 layers, hidden 384, 12 heads, 22,713,216 parameters, float32)",
    "files": ["all-MiniLM-L6-v2/model.safetensors"],
    "checkpoint_sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "real_tokens": 43,
    "reference": {
        "tools": "transformers 5.23.0, torch 2.13.0",
        "dtype": "float32",
        "attention": "eager",
        "checkpoint": "all-MiniLM-L6-v2",
        "checkpoint_sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "training": "False",
        "tf32": "False",
    },
}


EVIL = "<img src=x onerror=alert(1)>&\"'</style></script>"


def evil():
    """Every text that a report carries, from a stranger."""
    rows = [
        row(EVIL, EVIL, 1e-3, 1e-3, 1e-7, EVIL, after=EVIL, detail=EVIL),
        row(f"layer.0.{EVIL}", "FAULT", detail=EVIL),
    ]
    facts = {EVIL: EVIL, "files": [EVIL], "real_tokens": EVIL, "reference": {EVIL: EVIL}}
    return report(rows, EVIL, provenance=facts, token_errors={EVIL: np.array([[1e-3, 1e-4]])})


EVIL_TOKENS = [[EVIL, EVIL]]
