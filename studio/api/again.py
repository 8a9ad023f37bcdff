"""Runs again: with one change, or for some passes more."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from studio.api.runs import RunsDoor
from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError
from studio.schema.runs import ACTIVE, RunRecord
from studio.services.runs.rerun import changed_settings, extended_in_words, in_words

Words = Callable[[TrainingConfig, TrainingConfig], str]


class AgainDoor(RunsDoor):
    """Runs again: with one change, or for some passes more."""

    def repeat(self, run: str, changes: Mapping[str, Any] | None = None, name: str = "") -> RunRecord:
        """Start a run as another one was: the same rows, parts and settings, but for `changes` (and perhaps a name)."""
        record = self.run(run)
        return self._again(
            record, changes or {}, name or record.name, lambda before, after: in_words(record.name, before, after)
        )

    def extend(self, run: str, epochs: float = 1.0, name: str = "") -> RunRecord:
        """Start a run that goes on from another one's result for some passes more, with a schedule of its own."""
        record = self.run(run)
        if not record.has_result or record.status in ACTIVE:
            raise StudioError(
                "wrong-state",
                f"The run {record.name} has left no result to go on from.",
                given=record.status,
                valid="a run that has finished, or was stopped and kept",
                hint="A run that has not ended goes on with Resume.",
            )
        changes = {"start_from": record.id, "epochs": epochs, "max_steps": 0}
        return self._again(record, changes, name or record.name, lambda _, after: extended_in_words(record, after))

    def _again(self, record: RunRecord, changes: Mapping[str, Any], name: str, words: Words) -> RunRecord:
        before = self.spec(record.id)
        info = self._models.ready(before.config.model)
        method, settings = changed_settings(before.config, changes)
        self._runs.require_rows(before)
        began = self._beginning(settings, method, info, before.data)
        if began.replay and before.replay and settings.get("replay_from") == before.config.replay_from:
            began = replace(began, replay=before.replay)  # the version that it learned from, read as it was then
        view = self._planning.plan(
            before.dataset,
            info,
            before.data,
            began,
            preset=before.config.preset,
            name=name,
            validation=before.validation_dataset,
        )
        self._require_fit(info, view)
        spec = self._run_spec(before.dataset, before.data, view, before.validation_dataset, began.replay)
        because = (words(before.config, view.plan.config), *view.plan.because)
        kept = {"dataset_version": before.dataset_version, "validation_version": before.validation_version}
        return self._runs.start(spec.model_copy(update={**kept, "because": because}))
