"""Persistence: the only package that knows SQL and the layout of the data folder. `Home` is the entry point."""

from studio.store.home import Home, Workspace

__all__ = ["Home", "Workspace"]
