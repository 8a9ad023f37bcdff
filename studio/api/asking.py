"""What is asked of a run, looked up, and all that speaks against it, told at once."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from studio.api.base import Door
from studio.schema.dataset import DatasetSpec
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.schema.settings_check import gathered, raise_once
from studio.services.planning.replay_mixing import StartingPoint, beginning
from studio.tasks import task_named

Looked = tuple[ModelInfo | None, DatasetSpec | None, list[StudioError]]
"""A model and how rows are read, as far as they can be told, and why the rest can't."""


class AskingDoor(Door):
    """Model, rows, method and settings as they are asked for."""

    def problems(
        self,
        dataset: str | None,
        model: str | None,
        task: str | None = None,
        method: str | None = None,
        preset: str = "balanced",
        settings: Mapping[str, Any] | None = None,
        name: str = "",
        validation: str | None = None,
        roles: Mapping[str, str] | None = None,
        leave_out: Sequence[str] = (),
    ) -> tuple[StudioError, ...]:
        """All that can be known to be wrong with such a run before tokens are counted, also where there is no dataset
        or no model (None) since these were refused before.

        What depends on what is missing is not told: of a dataset how many rows a batch and a check may have, of a model
        what it can do and what its methods can, of both whether an earlier run's result can be begun with.
        """
        looked = self._looked_up(dataset, model, task, roles, leave_out, settings, validation)
        return tuple(self._against(dataset, looked, settings, method, preset=preset, name=name, validation=validation))

    def _meant(
        self,
        dataset: str | None,
        model: str,
        task: str | None,
        roles: Mapping[str, str] | None,
        leave_out: Sequence[str],
        settings: Mapping[str, Any] | None,
        method: str | None,
        *,
        validation: str | None,
        ready: bool = False,
        **how: Any,
    ) -> tuple[ModelInfo, DatasetSpec]:
        """Which model (`ready`: one that can be loaded), and rows read how; `how` are preset and name, for a refusal
        that tells all."""
        looked = self._looked_up(dataset, model, task, roles, leave_out, settings, validation, ready)
        info, spec, found = looked
        if info is None or spec is None or found:
            raise_once(self._against(dataset, looked, settings, method, validation=validation, **how))
        assert info and spec
        return info, spec

    def _against(
        self,
        dataset: str | None,
        looked: Looked,
        settings: Mapping[str, Any] | None,
        method: str | None,
        **how: Any,
    ) -> list[StudioError]:
        """What was found already, and all else that is wrong."""
        info, spec, found = looked
        began = StartingPoint(method, settings or {})
        if info and spec:
            began = self._beginning(settings, method, info, spec)
        elif start := (settings or {}).get("start_from"):
            with gathered(found):
                self.context.workspace.runs.get(str(start))
        return [*found, *self._planning.problems(dataset, info, spec, began, **how)]

    def _looked_up(
        self,
        dataset: str | None,
        model: str | None,
        task: str | None,
        roles: Mapping[str, str] | None,
        leave_out: Sequence[str],
        settings: Mapping[str, Any] | None,
        validation: str | None,
        ready: bool = False,
    ) -> Looked:
        """What of a run is somewhere on this machine."""
        found: list[StudioError] = []
        info = spec = None
        if model is not None:
            with gathered(found):
                info = self._models.ready(model) if ready else self._models.find(model)
            if found and ready:  # it may be known all the same
                with suppress(StudioError):
                    info = self._models.find(model)
        with gathered(found):
            if dataset is not None:
                spec, _ = self._datasets.reading(dataset, task, roles)
            elif task or info:
                wanted = task_named(task or next(iter(info.tasks if info else ()), ""))
                spec = DatasetSpec(task=wanted.name, roles={})
        if dataset is not None and info and spec:
            with gathered(found):
                spec = self._leaving.settled(dataset, info, spec, leave_out, settings or {}, validation)
        return info, spec, found

    def _beginning(
        self, settings: Mapping[str, Any] | None, method: str | None, info: ModelInfo, spec: DatasetSpec
    ) -> StartingPoint:
        return beginning(self.context, self._datasets, settings or {}, method, info.name, spec)
