"""Holding a model's stages against recorded ones, and saying what is wrong where they differ."""

from minibert.verification.diagnosis import Diagnosis, StageResult
from minibert.verification.reference import Reference
from minibert.verification.run import compare_recordings, verify

__all__ = ["Diagnosis", "Reference", "StageResult", "compare_recordings", "verify"]
