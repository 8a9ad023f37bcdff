"""Packages that the studio installs beside its own, on request."""

from studio.schema.base import FrozenModel


class ExtraTools(FrozenModel):
    """Packages in an environment of their own in the data folder."""

    name: str
    """Name of the environment."""
    title: str
    """Name for people."""
    sentence: str
    """What is installed, from where, and how large it is."""
    ready: bool
    """The packages are installed."""
