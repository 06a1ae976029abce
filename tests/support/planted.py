"""The catalogue of planted faults. ``words`` say what the truth is, in any wording."""

import planted_inputs  # noqa: F401 - each registers its own
import planted_layers  # noqa: F401
import planted_weights  # noqa: F401
from planting import FAULTS

__all__ = ["FAULTS"]
