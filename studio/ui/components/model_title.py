"""The name of a base model that people see, the same on all tabs."""

from pathlib import Path

from studio.api import Studio
from studio.schema.errors import StudioError


def model_title(studio: Studio, model: str) -> str:
    """The title of a model: `MiniLM 22M`. Its name, when it is no longer here."""
    try:
        return studio.models.find(model).title
    except StudioError:
        return Path(model).name
