"""Which models support gradient checkpointing. It must be implemented in the model's code."""

import re

from studio.schema.models import ModelInfo

UNSUPPORTED = frozenset(
    ("Albert", "CTRL", "FSMT", "Flaubert", "Funnel", "IBert", "MPNet", "OpenAIGPT", "SqueezeBert", "XLM", "XLNet")
)
"""Prefixes of architectures that do not support it, as transformers declares (`supports_gradient_checkpointing`)."""


def supports_checkpointing(info: ModelInfo) -> bool:
    """Whether the model's code supports gradient checkpointing."""
    return re.split("For|With|LMHead|DoubleHeads|Model", info.architecture)[0] not in UNSUPPORTED
