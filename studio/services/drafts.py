"""Drafts: inputs and choices that were not used yet, saved so that a reload loses nothing."""

from typing import Any

from studio.services.context import Context


class Drafts:
    """The drafts of a workspace, by key. Those of a viewer are kept in memory only: viewers write nothing."""

    def __init__(self, context: Context) -> None:
        self._store = context.workspace.drafts
        self._own: dict[str, Any] | None = {} if context.role == "viewer" else None

    def get(self, key: str, default: Any = None) -> Any:
        """The saved draft, else `default`."""
        if self._own is not None and key in self._own:
            return self._own[key]
        return self._store.get(f"page:{key}", default)

    def put(self, key: str, value: Any) -> None:
        """Save a draft; any JSON value."""
        if self._own is not None:
            self._own[key] = value
            return
        self._store.put(f"page:{key}", value)
