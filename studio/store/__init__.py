"""All that is kept: the only place that knows SQL and paths. `Home` is the way in."""

from studio.store.home import Home, Workspace

__all__ = ["Home", "Workspace"]
