"""Runs: planned, started, watched, stopped."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from studio.api.asking import AskingDoor
from studio.machine.facts import machine_facts
from studio.schema.dataset import DatasetSpec
from studio.schema.errors import StudioError
from studio.schema.events import StoredEvent
from studio.schema.models import ModelInfo
from studio.schema.runs import ACTIVE, Replay, RunRecord, RunSpec, StopWish
from studio.schema.views import (
    FitView,
    PlanView,
    Progress,
)
from studio.services.datasets import subprocess_jobs
from studio.services.planning.probe import probe
from studio.services.planning.service import split_spec
from studio.services.runs.adapter_merge import WAYS, combine
from studio.services.runs.finish import finish
from studio.store.queue import Move
from studio.training.planning.memory_budget import ROOM

OnProgress = Callable[[int, int, str], None]


class RunsDoor(AskingDoor):
    """Runs: planned, started, watched, stopped."""

    # --- plans and runs ---

    def plan(
        self,
        dataset: str | None,
        model: str,
        task: str | None = None,
        method: str | None = None,
        preset: str = "balanced",
        settings: Mapping[str, Any] | None = None,
        name: str = "",
        validation: str | None = None,
        roles: Mapping[str, str] | None = None,
        leave_out: Sequence[str] = (),
    ) -> PlanView:
        """What a run would do and take; without a dataset, for 400 rows of a usual length."""
        how: dict[str, Any] = {"preset": preset, "name": name, "validation": validation}
        info, spec = self._meant(dataset, model, task, roles, leave_out, settings, method, **how)
        began = self._beginning(settings, method, info, spec)
        return self._planning.plan(dataset, info, spec, began, **how)

    def fit(
        self,
        dataset: str | None,
        model: str,
        task: str | None = None,
        method: str | None = None,
        preset: str = "balanced",
        settings: Mapping[str, Any] | None = None,
        name: str = "",
        validation: str | None = None,
        roles: Mapping[str, str] | None = None,
        leave_out: Sequence[str] = (),
    ) -> FitView:
        """Settings near to these with which a run fits this machine's memory, and what had to be changed for it."""
        how: dict[str, Any] = {"preset": preset, "name": name, "validation": validation}
        info, spec = self._meant(dataset, model, task, roles, leave_out, settings, method, **how)
        began = self._beginning(settings, method, info, spec)
        return self._planning.fit(dataset, info, spec, began, **how)

    def probe(
        self,
        dataset: str,
        model: str,
        task: str | None = None,
        method: str | None = None,
        preset: str = "balanced",
        settings: Mapping[str, Any] | None = None,
        name: str = "",
        validation: str | None = None,
        roles: Mapping[str, str] | None = None,
        leave_out: Sequence[str] = (),
    ) -> PlanView:
        """A plan whose memory and time were measured by a few real steps on the longest rows."""
        how: dict[str, Any] = {"preset": preset, "name": name, "validation": validation}
        info, spec = self._meant(dataset, model, task, roles, leave_out, settings, method, ready=True, **how)
        self.shared.runner.close()  # a process that makes a run ready beside it would be measured, too
        began = self._beginning(settings, method, info, spec)
        view = self._planning.plan(dataset, info, spec, began, **how)
        measured = probe(self.context, self._run_spec(dataset, spec, view, validation, began.replay))
        return self._planning.plan(dataset, info, spec, began, **how, measured=measured)

    def start(
        self,
        dataset: str,
        model: str,
        task: str | None = None,
        method: str | None = None,
        preset: str = "balanced",
        settings: Mapping[str, Any] | None = None,
        name: str = "",
        prompts: Sequence[str] = (),
        validation: str | None = None,
        roles: Mapping[str, str] | None = None,
        leave_out: Sequence[str] = (),
        once: str | None = None,
    ) -> RunRecord:
        """Start a run; when another is at work it waits for its turn.

        Of those that ask with the same `once` only the first starts one, and the others are given that one.
        """
        asked = self._asked(dataset, model, task, method, preset, settings, name, prompts, validation, roles, leave_out)
        return self._runs.start(asked, once)

    def make_ready(
        self,
        dataset: str,
        model: str,
        task: str | None = None,
        method: str | None = None,
        preset: str = "balanced",
        settings: Mapping[str, Any] | None = None,
        name: str = "",
        prompts: Sequence[str] = (),
    ) -> None:
        """Have the run that `start` would begin stand before its first step, since a person is about to press Start."""
        self._runs.make_ready(self._asked(dataset, model, task, method, preset, settings, name, prompts))

    def prepare_worker(self) -> None:
        """Have a process ready that has imported everything; it is told later what to make ready."""
        self.shared.runner.prepare()

    def _asked(
        self,
        dataset: str,
        model: str,
        task: str | None,
        method: str | None,
        preset: str,
        settings: Mapping[str, Any] | None,
        name: str,
        prompts: Sequence[str],
        validation: str | None = None,
        roles: Mapping[str, str] | None = None,
        leave_out: Sequence[str] = (),
    ) -> RunSpec:
        """What is asked of a run that is to be started; a refusal when it can't be."""
        settings = {**(settings or {}), "test_prompts": tuple(prompts)}
        how: dict[str, Any] = {"preset": preset, "name": name, "validation": validation}
        info, spec = self._meant(dataset, model, task, roles, leave_out, settings, method, ready=True, **how)
        how["name"] = name or Path(self._datasets.store.get(dataset).name).stem
        with suppress(StudioError):  # the plan tells it with all else that is wrong
            self._look_at(dataset, spec)
        began = self._beginning(settings, method, info, spec)
        view = self._planning.plan(dataset, info, spec, began, **how)
        self._require_fit(info, view)
        return self._run_spec(dataset, spec, view, validation, began.replay)

    def _run_spec(
        self, dataset: str, spec: DatasetSpec, view: PlanView, validation: str | None, replay: Replay | None
    ) -> RunSpec:
        """All that a worker needs to know of a planned run."""
        other = self._datasets.store.get(validation) if validation else None
        return RunSpec(
            config=view.plan.config,
            dataset=dataset,
            dataset_version=self._datasets.store.get(dataset).version,
            data=spec,
            splits=split_spec(view.plan.config.model_dump()),
            validation_dataset=other.id if other else None,
            validation_version=other.version if other else 1,
            replay=replay,
            because=view.plan.because,
            memory_bytes=view.estimate.memory_bytes,
            disk_bytes=view.estimate.disk_bytes,
        )

    def _look_at(self, dataset: str, spec: DatasetSpec) -> None:
        """Have it known what is wrong with the rows; many that nobody looked at are looked at by another process."""
        given = {
            "dataset": dataset,
            "task": spec.task,
            "roles": spec.roles,
            "leave_out": list(spec.left_out),
            "rows_left_out": spec.rows_left_out,
        }
        many = self._datasets.store.get(dataset).rows > subprocess_jobs.MANY
        elsewhere = (lambda: subprocess_jobs.check(self.context, given)) if many else None
        self._datasets.check(
            dataset,
            spec.task,
            spec.roles,
            leave_out=spec.left_out,
            rows_left_out=spec.rows_left_out,
            elsewhere=elsewhere,
        )

    def fits_later(self, view: PlanView) -> bool:
        """Whether a run would fit this machine when others have let go of its memory; it waits for that."""
        machine = machine_facts()
        computed = view.estimate.memory_bytes <= ROOM * machine.training_memory
        return computed and view.estimate.beside_bytes <= ROOM * machine.memory_total

    def _require_fit(self, info: ModelInfo, view: PlanView) -> None:
        estimate, machine = view.estimate, machine_facts()
        if not estimate.fits and not self.fits_later(view):
            sizes = [estimate.memory_bytes, machine.training_memory]
            if estimate.beside_bytes > ROOM * machine.memory_total:  # never to be had, whatever the GPU's is
                sizes = [estimate.beside_bytes, machine.memory_total]
            needed, most = (f"{size / 2**30:.1f} GB" for size in sizes)
            raise StudioError(
                "does-not-fit",
                f"Training {info.title} with these settings needs more memory than this machine has.",
                given=f"about {needed}, of {most}",
                hint=f"{estimate.short} Make it fit (studio estimate --fit) finds settings that do; or choose a "
                "smaller model.",
                field="batch_size",
            )

    def ways_to_combine(self) -> dict[str, str]:
        """How adapters can be combined, each in a sentence."""
        return dict(WAYS)

    def has_adapter(self, run: str) -> bool:
        """Whether a run has left an adapter."""
        return (self.context.workspace.runs.folder(self.run(run).id).adapter / "adapter_config.json").exists()

    def combine(self, weights: Mapping[str, float], how: str = "cat", name: str = "") -> RunRecord:
        """One adapter of several of one base, as a run of its own; `weights` is run → weight."""
        return combine(self.context, weights, how, name)

    def runs(self) -> list[RunRecord]:
        """All runs, newest first."""
        return self._runs.all()

    def run(self, run: str) -> RunRecord:
        """One run by id, or `last`."""
        return self._runs.get(run)

    def spec(self, run: str) -> RunSpec:
        """What was asked of a run."""
        return self.context.workspace.runs.spec(run)

    def events(self, run: str, after: int = 0, limit: int = 100_000, kinds: Sequence[str] = ()) -> list[StoredEvent]:
        """What a run said after the cursor."""
        return self._runs.after(run, after, limit, kinds)

    def checkpoints(self, run: str) -> list[int]:
        """Steps of the checkpoints from which a run can go on, oldest first."""
        return self._runs.checkpoints(run)

    def judged_by(self, run: str) -> tuple[str, str] | None:
        """Name and title of the metric by which the best step is chosen; None where it is validation loss."""
        return self._runs.judged_by(run)

    def progress(self, run: str) -> Progress:
        """How far a run is."""
        return self._runs.progress(run)

    def log(self, run: str) -> str:
        """What the worker printed."""
        return self._runs.log(run)

    def stop(self, run: str, wish: StopWish = "keep") -> RunRecord:
        """Stop a run, keeping the best so far or throwing all away."""
        return self._runs.stop(run, wish)

    def pause(self, run: str) -> RunRecord:
        """Give the turn away, to go on later as if nothing was."""
        return self._runs.pause(run)

    def waiting(self) -> list[RunRecord]:
        """The queue: the run at work, then those that wait, in the order of their turn."""
        return self._runs.waiting()

    def move(self, run: str, way: Move) -> RunRecord:
        """Give a waiting run another place: up, down, first or last."""
        return self._runs.move(run, way)

    def resume(self, run: str) -> RunRecord:
        """Go on from the last whole checkpoint: a run that is paused, was interrupted, stopped or failed."""
        return self._runs.resume(run)

    def finish(self, run: str) -> RunRecord:
        """End a run that was interrupted, paused or failed with its best step as the result, without learning on."""
        return finish(self._runs, run)

    def delete_run(self, run: str) -> None:
        """Remove a run with all it made."""
        record = self.run(run)
        self.shared.host.forget(str(self.context.workspace.runs.folder(record.id).root))
        self._runs.delete(record.id)

    def delete_runs(self, runs: Sequence[str]) -> list[RunRecord]:
        """Remove several runs with all they made; those at work stay, and are returned."""
        asked = [self.run(run) for run in dict.fromkeys(runs)]
        for record in asked:
            if record.status not in ACTIVE:
                self.delete_run(record.id)
        return [record for record in asked if record.status in ACTIVE]

    def run_bytes(self, run: str) -> int:
        """What a run takes on the disk, in bytes."""
        return self._runs.bytes(run)
