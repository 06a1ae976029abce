"""Recording stages, holding them against others, and saying what is wrong where they differ."""

from minibert.verification.diagnosis import Diagnosis, StageResult
from minibert.verification.record import record_checkpoint, record_model
from minibert.verification.reference import Reference
from minibert.verification.run import compare_recordings, verify

__all__ = [
    "Diagnosis",
    "Reference",
    "StageResult",
    "compare_recordings",
    "record_checkpoint",
    "record_model",
    "verify",
]
