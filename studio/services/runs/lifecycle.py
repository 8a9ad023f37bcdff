"""The lifecycle of runs: submit, stop, pause, resume, delete, and their progress. reconcile.py repairs states."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from studio.machine.facts import machine_facts
from studio.machine.paths import without_places
from studio.metrics import METRICS
from studio.schema.errors import StudioError, named
from studio.schema.events import PhaseEvent, StoredEvent
from studio.schema.runs import ACTIVE, GOES_ON, RunRecord, RunSpec, StopWish
from studio.schema.views import Progress
from studio.services.context import Context
from studio.services.runners import LOCAL, default_runner
from studio.services.runners.base import RunHandle, Runner
from studio.services.runners.worker_processes import WorkerProcesses
from studio.services.runs.run_files import end_of, resumable_step, resumable_steps, step_to_keep
from studio.services.runs.run_messages import (
    PAUSING,
    preparation_message,
    resume_message,
    state_message,
    stopped_message,
    wrong_state,
)
from studio.services.runs.time_left import WINDOW, seconds_left
from studio.store.demo_rules import require_allowed
from studio.store.files import folder_size, require_room
from studio.store.queue import MOVES, Move
from studio.store.quota import Quota
from studio.store.run_rows import dataset_versions
from studio.tasks import task_named


class RunLifecycle:
    """The runs of a workspace: submitted, stopped, paused, resumed, deleted. Reads have no side effects."""

    def __init__(self, context: Context, runners: Mapping[str, Runner], processes: WorkerProcesses) -> None:
        """`processes`: the worker processes of this machine. One of them may have prepared the next run."""
        self.context, self.runners, self.processes = context, runners, processes
        self.store = context.workspace.runs
        self.event_store = context.workspace.events
        self.queue = context.home.queue
        self._here = context.workspace.name
        self.quota = Quota(context.workspace)

    def handle(self, run: str) -> RunHandle:
        """A run as its runner receives it."""
        return RunHandle(self.context.workspace, run)

    def runner_of(self, run: str) -> Runner:
        """The runner of a run."""
        return named(self.runners, self.store.spec(run).runner, "runner", field="runner")

    def has_room(self, run: str = "") -> bool:
        """Whether the limits allow one more run."""
        try:
            runner = self.runner_of(run) if run else self.runners[default_runner()]
            runner.require_place(self.handle(run))
        except StudioError:
            return False
        return True

    def submit(self, spec: RunSpec, once: str | None = None) -> RunRecord:
        """Save a run and put it into the queue. It waits for its turn when another run trains.

        Of several requests with the same `once` only the first makes a run; the others get that one.
        """
        if spec.config.mirror != "none":
            self.context.owner_only("An experiment tracker")
        if spec.runner != default_runner():
            self.context.owner_only(f"Training with the runner {spec.runner}")
        require_allowed(self.context.workspace, spec)
        runner = named(self.runners, spec.runner, "runner", field="runner")
        if reason := runner.check():
            raise StudioError("not-allowed", reason, given=spec.runner, hint="Choose another runner.", field="runner")
        self.store.sweep()
        require_room(self.store.root.parent, spec.disk_bytes)
        hint = "Delete runs or datasets that you no longer need (Runs tab, Storage), or choose LoRA or a smaller model."
        self.quota.require(spec.disk_bytes, "This run", hint)
        self.quota.require_few(runs=1)
        config = spec.config.model_copy(update={"name": self.store.unique_name(spec.config.name)})
        prepared = self.processes.claim_prepared_run(self._here) if spec.runner == LOCAL else ""
        record = self.store.create(spec.model_copy(update={"config": config}), once, prepared)
        handle = self.handle(record.id)
        if record.status == "queued" and not runner.is_submitted(handle):
            try:
                runner.submit(handle)
            except StudioError:
                self.store.delete(record.id)
                raise
        return self.get(record.id)

    def prepare_worker(self, spec: RunSpec | None = None) -> None:
        """Prepare a worker process: imports, and for a `spec` also model and rows, up to the first step.

        A visitor of a demo, and a run with several processes or a GPU, gets the imports alone.
        """
        if default_runner() != LOCAL:  # it starts workers in its own way
            return
        alone = spec and spec.config.processes == 1 and spec.config.mirror == "none" and not machine_facts().gpus
        if spec and alone and spec.runner == LOCAL and not self.context.demo:
            # The estimate changes with the load of the machine, which is no reason to prepare the run again.
            lasting = spec.model_copy(update={"seconds": 0.0, "seconds_range": None})
            self.processes.prepare_run(self._here, lasting, self.store.new_id())
        else:
            self.processes.prepare()

    def all(self) -> list[RunRecord]:
        """All runs, newest first, as the database has them."""
        return self.store.all()

    def active(self) -> list[RunRecord]:
        """The runs that wait or train, newest first, as the database has them."""
        return self.store.active()

    def get(self, run: str) -> RunRecord:
        """One run by id, or `last`, as the database has it."""
        return self.store.get(run)

    def spec(self, run: str) -> RunSpec:
        """The request of a run."""
        return self.store.spec(run)

    def has_adapter(self, run: str) -> bool:
        """Whether a run has saved an adapter."""
        return (self.store.folder(self.store.get(run).id).adapter / "adapter_config.json").exists()

    def stop(self, run: str, wish: StopWish = "keep") -> RunRecord:
        """Ask a run to stop at the end of its step, keeping the best checkpoint or nothing."""
        record = self.get(run)
        runner = self.runner_of(record.id)
        self.store.request_stop(record.id, wish)
        words = stopped_message(record, self.resume_point(record.id)[0], wish)
        # A worker may have begun the run since it was read. Then it keeps its place, so that no other run starts.
        if self.store.set_status(record.id, "stopped", words, only_from=("queued", "paused"), reason=words):
            runner.withdraw(self.handle(record.id))
            if wish == "discard":
                self.store.discard_output(record.id)
        elif not self.store.set_status(record.id, "stopping", only_from=("starting", "training", "stopping")):
            raise wrong_state(record, "The run {name} is not running.", "a run that is running or queued")
        return self.store.get(record.id)

    def pause(self, run: str) -> RunRecord:
        """Pause a run: one that trains ends after its step with a checkpoint, one that waits leaves the queue."""
        record = self.get(run)
        runner, words = self.runner_of(record.id), "Paused while queued."
        if self.store.set_status(record.id, "paused", words, only_from=("queued",), reason=words):
            runner.withdraw(self.handle(record.id))
            return self.store.get(record.id)
        self.store.request_stop(record.id, "pause")
        if not self.store.set_status(record.id, "stopping", PAUSING, only_from=("starting", "training")):
            self.store.request_stop(record.id, record.stop_wish)
            raise wrong_state(record, "The run {name} can't be paused.", "a run that is running or queued")
        return self.store.get(record.id)

    def move(self, run: str, way: Move) -> RunRecord:
        """Move a waiting run among the runs of this workspace."""
        record = self.get(run)
        if way not in MOVES:
            raise StudioError(
                "bad-setting", "A run can't be moved this way in the queue.", given=way, valid=MOVES, field="move"
            )
        if record.status != "queued" or not self.queue.move(record.id, way):
            raise wrong_state(record, "The run {name} is not queued.", "a run that is queued")
        return record

    def queued(self) -> list[RunRecord]:
        """The runs of this workspace in the queue, the running one first, then in their order."""
        known = {record.id: record for record in self.store.all()}
        return [known[entry.run] for entry in self.queue.listing() if entry.run in known]

    def resume(self, run: str) -> RunRecord:
        """Resume from the last complete checkpoint, or from the start when there is none."""
        record = self.get(run)
        spec = self.store.spec(record.id)
        self.require_rows(spec)
        there = folder_size(self.store.folder(record.id).checkpoints)  # new checkpoints replace these
        require_room(self.store.root.parent, max(0, spec.disk_bytes - there))
        self.quota.require(max(0, spec.disk_bytes - there), "This run")
        self._require_time(record)
        step, words = self.resume_point(record.id)
        if not self.queue_again(record, words, step=step or 0):
            raise wrong_state(
                record, "The run {name} can't be resumed.", "a run that is paused, interrupted, stopped or failed"
            )
        return self.get(record.id)

    def finish(self, run: str) -> RunRecord:
        """End an interrupted, paused or failed run with its best checkpoint as the result, without more training."""
        progress = self.progress(run)
        record, spec, step = progress.record, self.store.spec(progress.record.id), progress.keeps or 0
        words = f"Finishes with the checkpoint from step {step:,}."
        self.require_rows(spec)
        if progress.keeps is None or not self.queue_again(record, words, stop_wish="keep"):
            valid = "a run that has a complete checkpoint but no result, and is not running or queued"
            raise wrong_state(
                record, "The run {name} has no checkpoint to finish with, or has a result already.", valid
            )
        return self.get(record.id)

    def delete(self, run: str) -> None:
        """Delete a run with all its files. A running one is ended first."""
        record = self.get(run)
        if record.status in ACTIVE:
            raise wrong_state(record, "The run {name} is queued or running.", hint="Stop it first, then delete it.")
        self.store.delete(record.id)

    def log(self, run: str, most: int = 200_000) -> str:
        """The end of the worker's output, and of that of each of several processes."""
        folder = self.store.folder(self.store.get(run).id)
        text = end_of(folder.log, most)
        for path in folder.of_processes:
            text += f"\n--- {path.name} ---\n{end_of(path, most)}"
        if not self.context.demo:
            return text
        # A visitor may read what went wrong, but not the paths of this machine.
        return without_places(text)

    def checkpoints(self, run: str) -> list[int]:
        """Steps from which a run can resume, in order. Their checkpoints are complete."""
        return resumable_steps(self.store.folder(self.store.get(run).id).checkpoints)

    def resume_point(self, run: str) -> tuple[int | None, str]:
        """The step from which a run would resume (None: from the start), and a message about it."""
        folder = self.store.folder(self.store.get(run).id).checkpoints
        step = resumable_step(folder)
        return step, resume_message(step, any(folder.glob("checkpoint-*")))

    def size(self, run: str) -> int:
        """Bytes on disk of a run."""
        return self.store.folder(self.store.get(run).id).bytes

    def selection_metric(self, run: str) -> tuple[str, str, bool] | None:
        """Name and title of the metric that selects the best step, and whether it is shown in per cent.

        None where it is validation loss.
        """
        spec = self.store.spec(self.get(run).id)
        # For generative models, validations have only the loss, which the page then uses.
        metric = METRICS.get(task_named(spec.config.task).variant("encoder", spec.data.roles).best_metric)
        return (metric.name, metric.title, metric.as_share) if metric else None

    def progress(self, run: str) -> Progress:
        """The progress of a run, in words and numbers."""
        record = self.get(run)
        place = None
        if record.status == "queued":
            with suppress(StudioError):  # its runner is no longer installed
                place = self.runner_of(record.id).position(self.handle(record.id))
        position, short = (place.before, place.memory) if place else (None, None)
        share = record.step / record.steps if record.steps else 0.0
        if record.status == "finished":
            share = 1.0
        works = record.status in ("starting", "training")
        saved, message = self.resume_point(record.id) if record.status in GOES_ON else (None, "")
        keeps = None
        if record.status in GOES_ON and not record.has_result:
            keeps = step_to_keep(self.store.folder(record.id).checkpoints, self.store.spec(record.id).config.keep_best)
        return Progress(
            record=record,
            share=share,
            seconds_left=self._seconds_left(record) if works and not record.stop_wish else None,
            doing=self._preparation(record) if works else "",
            waiting=self._waiting(record.id) if record.status in ACTIVE else 0,
            position=position,
            short=short is not None,
            sentence=state_message(record, position, short),
            saved=saved,
            way_on=message,
            keeps=keeps,
            bytes=self.size(record.id) if record.status in GOES_ON else 0,
        )

    def events(self, run: str, after: int = 0, limit: int = 100_000, kinds: Sequence[str] = ()) -> list[StoredEvent]:
        """Events newer than the cursor."""
        return self.event_store.after(run, after, limit, tuple(kinds))

    def sampled_events(self, run: str, after: int, most: int) -> list[StoredEvent]:
        """As `events`, but at most about `most` steps: those that a curve needs."""
        return self.event_store.thinned(run, after, most)

    def queue_again(
        self, record: RunRecord, words: str, *, only_from: Collection[str] = GOES_ON, **changes: Any
    ) -> bool:
        """Queue a run that has ended or is paused. False when its state does not allow it.

        Raises:
            StudioError `limit-reached`: when a visitor has too many runs in the queue. The run stays as it was.
        """
        runner, handle = self.runner_of(record.id), self.handle(record.id)
        runner.require_place(handle)
        reset = {"stop_wish": None, "reason": "", "ended": None, "archived": 0, **changes}
        if not self.store.set_status(record.id, "queued", words, only_from=only_from, **reset):
            return False
        try:
            runner.submit(handle, rerun=True)
        except StudioError:  # another run was queued in this moment
            kept = {name: getattr(record, name) for name in ("stop_wish", "reason", "ended", "step", "archived")}
            self.store.set_status(record.id, record.status, record.reason, only_from=("queued",), **kept)
            raise
        return True

    def _require_time(self, record: RunRecord) -> None:
        """Refuse a run that has trained for as long as the limits allow."""
        minutes, took = self.context.workspace.limits.run_minutes, (record.seconds or 0.0) / 60
        if minutes and took >= minutes:
            raise StudioError(
                "limit-reached",
                f"The run {record.name} has used all training time that this demo allows.",
                given=f"{took:.0f} minutes",
                valid=f"up to {minutes:g} minutes for one run",
                hint="Finish it with its best checkpoint, or install the studio to train longer.",
            )

    def require_rows(self, spec: RunSpec) -> None:
        """Require that the rows of a run still exist."""
        store = self.context.workspace.datasets
        for dataset, version in dataset_versions(spec):
            if not store.has(dataset, version):
                raise StudioError(
                    "no-such-dataset",
                    "The dataset of this run was deleted.",
                    given=f"{dataset}, version {version}",
                    hint="Import the file again and start a new run.",
                )
            if not store.rows_path(dataset, version).exists():
                raise StudioError(
                    "no-such-dataset",
                    "The rows of this run are no longer on the disk.",
                    given=f"{dataset}, version {version}",
                    hint="Import the file again and start a new run.",
                )

    def _seconds_left(self, record: RunRecord) -> float | None:
        """Estimated from the speed of the last steps, and of the validations between them."""
        steps = self.event_store.last(record.id, "step", WINDOW)
        if not steps or not record.steps or record.phase == "saving":
            return None
        events = self.event_store.after(record.id, steps[0].id - 1, kinds=("step", "evaluation", "state"))
        return seconds_left(events, record.step, record.steps, self.store.spec(record.id).config.eval_steps)

    def _preparation(self, record: RunRecord) -> str:
        """What a run does before its next step, in a sentence. Empty when it trains."""
        phases = self.event_store.last(record.id, "phase")
        event = phases[0].event if phases else None
        if not isinstance(event, PhaseEvent):
            return ""
        if record.phase == "training" and record.step:
            is_over = event.phase != "training" or any(self.event_store.after(record.id, phases[0].id, limit=1))
            return event.message if event.total and not is_over else ""
        return preparation_message(event)

    def _waiting(self, run: str) -> int:
        """Number of other runs that wait for this machine."""
        return sum(not entry.running and entry.run != run for entry in self.queue.listing())
