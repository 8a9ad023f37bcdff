"""Which models can compute activations twice to save memory: it is their own code that must know how."""

import re

from studio.schema.models import ModelInfo

UNABLE = frozenset(
    ("Albert", "CTRL", "FSMT", "Flaubert", "Funnel", "IBert", "MPNet", "OpenAIGPT", "SqueezeBert", "XLM", "XLNet")
)
"""How the architectures begin that do not: transformers says so of each (`supports_gradient_checkpointing`)."""


def recomputes(info: ModelInfo) -> bool:
    """Whether the model's code can compute its activations twice."""
    return re.split("For|With|LMHead|DoubleHeads|Model", info.architecture)[0] not in UNABLE
