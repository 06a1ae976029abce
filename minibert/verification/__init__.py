"""Holding a model's stages against recorded ones."""

from minibert.verification.reference import Reference
from minibert.verification.report import Report
from minibert.verification.run import verify

__all__ = ["Reference", "Report", "verify"]
