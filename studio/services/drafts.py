"""Drafts: inputs and choices that were not used yet, saved so that a reload loses nothing."""

from typing import Any

from studio.services.context import Context


class Drafts:
    """The drafts of a workspace, by key."""

    def __init__(self, context: Context) -> None:
        self._store = context.workspace.drafts

    def get(self, key: str, default: Any = None) -> Any:
        """The saved draft, else `default`."""
        return self._store.get(f"page:{key}", default)

    def put(self, key: str, value: Any) -> None:
        """Save a draft; any JSON value."""
        self._store.put(f"page:{key}", value)
