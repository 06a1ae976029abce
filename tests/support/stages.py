"""The stages of a BERT without a head."""

from minibert.models.bert import STAGES
from minibert.trace import expand_stages


def stage_axes(count):
    """Return the axes of every stage of a model with so many layers, in network order."""
    return {stage.name: stage.axes for stage in expand_stages(STAGES, {"": count})}
