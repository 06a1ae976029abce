"""What ships with the package."""

from minibert.data.shipped import EMBEDDED_CHECKPOINT, REFERENCE_NAME, shipped_references

__all__ = ["EMBEDDED_CHECKPOINT", "REFERENCE_NAME", "shipped_references"]
