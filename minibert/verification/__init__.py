"""Recording stages, holding them against others, and saying what is wrong where they differ."""

from minibert.verification.diagnose import compare_recordings, verify
from minibert.verification.record import record_checkpoint, record_model
from minibert.verification.reference import Reference
from minibert.verification.report import Diagnosis
from minibert.verification.result import StageResult

__all__ = [
    "Diagnosis",
    "Reference",
    "StageResult",
    "compare_recordings",
    "record_checkpoint",
    "record_model",
    "verify",
]
