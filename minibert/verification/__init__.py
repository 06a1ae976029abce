"""Holding a model's stages against recorded ones, and recording them."""

from minibert.verification.record import record_checkpoint, record_model
from minibert.verification.reference import Reference
from minibert.verification.report import Report
from minibert.verification.run import verify

__all__ = ["Reference", "Report", "record_checkpoint", "record_model", "verify"]
