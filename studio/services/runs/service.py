"""Runs: start, rerun, extend, watch, combine, find."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from studio.schema.config import TrainingConfig
from studio.schema.events import StoredEvent
from studio.schema.requests import RunRequest
from studio.schema.runs import ACTIVE, RunRecord
from studio.services.context import Context
from studio.services.model_host.client import HostClient
from studio.services.planning.service import Planning
from studio.services.runners.base import Runner
from studio.services.runners.worker_processes import WorkerProcesses
from studio.services.runs.adapter_merge import WAYS, combine
from studio.services.runs.history import ORDERS, filter_runs, in_order
from studio.services.runs.lifecycle import RunLifecycle
from studio.services.runs.reconcile import reconcile
from studio.services.runs.rerun import changed_settings, extension_reason, rerun_reason
from studio.services.runs.run_messages import wrong_state

POLL_SECONDS = 0.5


class Runs(RunLifecycle):
    """The runs of a workspace."""

    def __init__(
        self,
        context: Context,
        runners: Mapping[str, Runner],
        processes: WorkerProcesses,
        planning: Planning,
        host: HostClient,
    ) -> None:
        super().__init__(context, runners, processes)
        self._planning, self._host = planning, host

    def start(self, request: RunRequest, once: str | None = None) -> RunRecord:
        """Start a run. It waits for its turn when another run trains.

        Of several calls with the same `once` only the first starts a run; the others get that one.

        Raises:
            StudioError: with all problems of the request at once.
        """
        return self.submit(self._planning.spec_to_start(request), once)

    def free_name(self, name: str) -> str:
        """The name that a new run gets: with a number appended when another run has it."""
        return self.store.unique_name(name)

    def prepare(self, request: RunRequest | None = None) -> None:
        """Prepare a worker process: all imports done, and with a request the model and rows loaded as well.

        A visitor of a demo, and a run with several processes or a GPU, gets the imports alone.
        """
        self.prepare_worker(self._planning.spec_to_start(request) if request else None)

    def watch(self, run: str, after: int = 0, poll_seconds: float = POLL_SECONDS) -> Iterator[StoredEvent]:
        """Events of a run as they come, from the cursor `after` on, until the run ends or is paused."""
        record = self.get(run)
        while True:
            reconcile(self)
            record = self.get(record.id)  # before the events: those that come with the end are in the next batch
            events = self.events(record.id, after)
            yield from events
            after = events[-1].id if events else after
            if record.status in ACTIVE:
                time.sleep(poll_seconds)
            elif not events:
                return

    def rerun(self, run: str, changes: Mapping[str, Any] | None = None, name: str = "") -> RunRecord:
        """Start a run with the same rows, splits and settings as another one, except for `changes`."""
        record = self.get(run)
        return self._rerun(
            record,
            changes or {},
            name or record.name,
            lambda before, after: rerun_reason(record.name, before, after),
        )

    def extend(self, run: str, epochs: float = 1.0, name: str = "") -> RunRecord:
        """Start a run that continues from the result of another one for more epochs, with its own schedule."""
        record = self.get(run)
        if not record.has_result or record.status in ACTIVE:
            valid = "a run that has finished, or was stopped with its best checkpoint"
            hint = "Resume continues a run that has not finished."
            raise wrong_state(record, "The run {name} has no result to continue from.", valid, hint)
        changes = {"start_from": record.id, "epochs": epochs, "max_steps": 0}
        return self._rerun(record, changes, name or record.name, lambda _, after: extension_reason(record, after))

    def _rerun(
        self,
        record: RunRecord,
        changes: Mapping[str, Any],
        name: str,
        reason: Callable[[TrainingConfig, TrainingConfig], str],
    ) -> RunRecord:
        before = self.spec(record.id)
        method, settings = changed_settings(before.config, changes)
        self.require_rows(before)
        request = RunRequest(
            dataset=before.dataset,
            model=before.config.model,
            method=method,
            preset=before.config.preset,
            settings=settings,
            name=name,
            validation=before.validation_dataset,
            runner=before.runner,
        )
        replay = before.replay if settings.get("replay_from") == before.config.replay_from else None
        spec = self._planning.spec_on_rows(request, before.data, before.dataset_version, replay)
        because = (reason(before.config, spec.config), *spec.because)
        same = {"validation_version": before.validation_version, "fold": before.fold}
        return self.submit(spec.model_copy(update={**same, "because": because}))

    def combination_methods(self) -> dict[str, str]:
        """How adapters can be combined: name → sentence."""
        return dict(WAYS)

    def combine(self, weights: Mapping[str, float], how: str = "cat", name: str = "") -> RunRecord:
        """One adapter from several of one base model, as its own run; `weights` is run → weight."""
        return combine(self.context, weights, how, name)

    def find(self, text: str = "", tag: str = "", sort: str = "newest", archived: bool = False) -> list[RunRecord]:
        """Runs that contain every word of a text (name, note, tags, model, dataset …), sorted by one of `ORDERS`."""
        names = {each.id: each.name for each in self.context.workspace.datasets.all()}
        records = filter_runs(self.all(), text, tag, archived, names)
        sizes = {record.id: self.size(record.id) for record in records} if sort == "size" else None
        return in_order(records, sort, sizes)

    def orders(self) -> dict[str, str]:
        """How runs can be sorted: name → label."""
        return dict(ORDERS)

    def delete(self, run: str) -> None:
        """Delete a run and all its files; the model host unloads it first."""
        record = self.get(run)
        self._host.forget(str(self.store.folder(record.id).root))
        super().delete(record.id)

    def delete_many(self, runs: Sequence[str]) -> list[RunRecord]:
        """Delete several runs. Active ones stay, and are returned."""
        records = [self.get(run) for run in dict.fromkeys(runs)]
        for record in records:
            if record.status not in ACTIVE:
                self.delete(record.id)
        return [record for record in records if record.status in ACTIVE]
