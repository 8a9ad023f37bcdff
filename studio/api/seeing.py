"""What the model sees: a row token by token, how long rows are, and the first batch of a run."""

from collections.abc import Callable, Mapping
from typing import Any

from studio.api.base import Door
from studio.schema.preview import Batch, LengthStats
from studio.schema.report import Preview

OnProgress = Callable[[int, int, str], None]


class SeeingDoor(Door):
    """What the model sees. `settings` are those of the run; without a `max_length` the plan's is taken."""

    def preview(
        self,
        dataset: str,
        model: str,
        task: str | None = None,
        row: int = 1,
        settings: Mapping[str, Any] | None = None,
        roles: Mapping[str, str] | None = None,
    ) -> Preview:
        """What the model sees of a row, token by token."""
        return self._seeing.preview(dataset, model, task, row, settings or {}, roles)

    def lengths(
        self,
        dataset: str,
        model: str,
        task: str | None = None,
        settings: Mapping[str, Any] | None = None,
        roles: Mapping[str, str] | None = None,
    ) -> LengthStats:
        """How long the rows are in tokens, how many are cut, and which are the longest."""
        return self._seeing.lengths(dataset, model, task, settings or {}, roles)

    def first_batch(
        self,
        dataset: str,
        model: str,
        task: str | None = None,
        method: str | None = None,
        preset: str = "balanced",
        settings: Mapping[str, Any] | None = None,
        roles: Mapping[str, str] | None = None,
        progress: OnProgress | None = None,
    ) -> Batch:
        """The first batch exactly as training will get it, padding included."""
        return self._seeing.first_batch(
            progress,
            dataset=dataset,
            model=model,
            task=task,
            method=method,
            preset=preset,
            settings=settings or {},
            roles=roles,
        )

    def known_batch(self, **asked: Any) -> Batch | None:
        """The same, if it was asked for already; None else. Nothing is loaded for it."""
        return self._seeing.known_batch(**asked)
