"""Works on one run: waits for its turn, trains, sends heartbeats, obeys stop requests, and reports the outcome.

The broad `except` in `Worker.work` is the boundary of the process.
"""

import json
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from studio.inference.templates import remember_in
from studio.machine.environment import ONE_RUN, VISITORS, remove_secrets
from studio.machine.facts import free_for_training
from studio.machine.paths import without_places
from studio.schema.errors import StudioError
from studio.schema.events import AdviceEvent, AnyEvent, CheckpointEvent, ErrorEvent, PhaseEvent, StepEvent
from studio.schema.runs import ACTIVE, RunRecord, RunStatus, StopWish
from studio.store import Home
from studio.store.db import now
from studio.store.dead_workers import PATIENCE
from studio.store.events import ENDLESS
from studio.store.failures import keep_failure
from studio.store.files import write_whole
from studio.store.next_worker import start_next_worker
from studio.store.quota import Quota
from studio.store.runs import WORKING
from studio.training.loop.checkpoints import Checkpoints
from studio.training.loop.trackers import needs_hub
from studio.worker.failed_result import result_columns, result_stamp
from studio.worker.free_memory import FreeMemory
from studio.worker.imports import train_function
from studio.worker.messages import ENDED_FROM_OUTSIDE, limit_message, log_line, stop_message, to_studio_error
from studio.worker.restart import restart_worker
from studio.worker.shared_cores import SharedCores

if TYPE_CHECKING:
    from studio.training.coach import Coach
    from studio.training.loop.loading import TrainingJob
    from studio.training.loop.outcome import Outcome
    from studio.worker.make_ready import PreparedRun

LOOK_SECONDS = 1.0
"""Seconds between two heartbeats, and between two checks for stop requests and active model hosts."""
WAIT_SECONDS = 0.5
DISK_SECONDS = 5.0
"""Seconds between two checks of a visitor's disk quota."""
RESULT_SHARE = 4
"""The result takes about this fraction of the estimated disk space of a run."""
BEFORE = 1
"""Maximum number of waiting runs before one whose worker waits: a run that does not fit into memory lets others
pass."""
HUNG_CHECK_SECONDS = 30.0
"""Seconds between two checks for hung workers while waiting."""
log = logging.getLogger("studio.worker")


class Worker:
    """The worker of one run."""

    def __init__(
        self, home: Home, workspace: str, run: str, prepared: bool = False, ready: "PreparedRun | None" = None
    ) -> None:
        self.prepared, self.ready = prepared, ready
        """Whether all imports are done, which take half a gigabyte; and the prepared run, if there is one."""
        self.home, self.workspace, self.run = home, home.workspace(workspace), run
        if self.workspace.is_visitors:  # a prepared process has the server's environment
            remove_secrets(os.environ)
            os.environ.update(VISITORS)
        remember_in(home.root)
        self.runs, self.folder = self.workspace.runs, self.workspace.runs.folder(run)
        self.workspace.db.patience = home.queue.db.patience = PATIENCE
        self._result = result_stamp(self.folder)
        self.phase, self.step, self.steps = "preparing", 0, 0
        self.coach: Coach | None = None
        self._terminated = False
        self._keep_queue_entry = False
        self._wish: StopWish | None = None
        self._looked, self._began, self._seconds_before = 0.0, time.monotonic(), 0.0
        self._cores = SharedCores()
        self._limit = 0.0
        """Maximum working time in seconds, 0 for no limit."""
        self._most_steps = 0
        """Maximum number of steps, 0 for no limit."""
        self._time_is_up = False
        self._quota = Quota(self.workspace)
        self._disk_is_full, self._no_more_room, self._disk_looked, self._result_bytes = False, False, 0.0, 0

    def work(self) -> int:
        """Wait, train and report. Returns the exit status."""
        signal.signal(signal.SIGTERM, self._on_term)
        if not self.home.queue.claim(self.run, os.getpid()):
            log.error("Run %s is not in the queue, or another worker has it.", self.run)
            return 2
        try:
            config = self.runs.spec(self.run).config
            # Several processes make their own imports. A process that has prepared another run no longer contacts the
            # Hub.
            if config.processes > 1 or needs_hub(config.mirror):
                self._restart_without_imports()
            if self._wait():
                self._train()
            return 0
        except Exception as error:
            if to_studio_error(error).code == "out-of-memory" and self._retry_smaller_batch():
                self.workspace.close()
                restart_worker(self.home.root, self.workspace.name, self.run, self.workspace.is_visitors)
            self._fail(error)
            return 1
        finally:
            if not self._keep_queue_entry:
                self.home.queue.remove(self.run, os.getpid())
                self._start_next_worker()
            self.workspace.close()

    def _wait(self) -> bool:
        """Wait for the run's turn. Returns False when the run was stopped, or this worker must end, before that."""
        logged, free = False, FreeMemory()
        while not self.home.queue.try_start(self.run, free()):
            if self._terminated:  # the queue entry stays for the next worker
                self._keep_queue_entry = True
                return False
            if self._is_cancelled():
                words = "Removed from the queue."
                self.runs.set_status(self.run, "stopped", words, only_from=("queued", "paused"), reason=words)
                return False
            if self.home.queue.position(self.run) is None:
                return False
            self._restart_without_imports()
            self._end_hung_workers()
            if self.home.queue.waiting_before(self.run) > BEFORE:
                self._keep_queue_entry = True  # a worker is started again when the turn is nearer
                return False
            self._start_next_worker(free)
            if not logged:
                log.info("Waiting: another run is training on this machine, or there is too little memory.")
                logged = True
            time.sleep(WAIT_SECONDS)
        self._start_next_worker(free)
        return True

    def _start_next_worker(self, free: Callable[[], int] = free_for_training) -> None:
        """Start a worker for the next run. It waits for its turn."""
        if ONE_RUN in os.environ:
            return
        start_next_worker(self.home, free=free, for_visitors=self.workspace.is_visitors)

    def _is_cancelled(self) -> bool:
        """Whether the run was stopped while it waits. With "keep" and a checkpoint, it waits to make that its
        result."""
        wish = self.runs.stop_wish(self.run)
        return wish is not None and not (wish == "keep" and Checkpoints(self.folder.checkpoints).loadable())

    def _restart_without_imports(self) -> None:
        """Restart without the prepared imports, whose memory another run may need while this one waits."""
        if self.prepared and not self._terminated:
            self.workspace.close()
            restart_worker(self.home.root, self.workspace.name, self.run, self.workspace.is_visitors)

    def _end_hung_workers(self) -> None:
        """End hung workers of runs that train, since this run would wait for them forever."""
        if time.monotonic() - self._looked >= HUNG_CHECK_SECONDS:
            self._looked = time.monotonic()
            self.home.queue.end_hung_workers()
            for entry in self.home.queue.listing():
                if entry.running:
                    self.home.workspace(entry.workspace).runs.end_hung_workers()

    def _owns_run(self) -> bool:
        """Whether the run still belongs to this worker: it was not marked as interrupted or resumed meanwhile."""
        return self.runs.get(self.run).status in self._states and self.runs.worker(self.run).pid in (os.getpid(), None)

    @property
    def _states(self) -> tuple[RunStatus, ...]:
        """Statuses that the run may have. A restored database lists the run as interrupted, without a worker."""
        return WORKING if self.runs.worker(self.run).pid else (*WORKING, "interrupted")

    def _train(self) -> None:
        record = self.runs.get(self.run)
        self._seconds_before, self._began = record.seconds or 0.0, time.monotonic()
        self.step, self.steps = self._first_step(record), record.steps
        if not self.runs.begin(self.run, os.getpid()):  # paused or cancelled at this moment
            return
        # The request to finalize the run came before the start, so it is no request to stop in time.
        self._wish = self.runs.stop_wish(self.run)
        self.emit(PhaseEvent(phase="preparing"))
        train = self.ready.train if self.ready else train_function(self.runs.spec(self.run).config.processes)
        from studio.training.coach import Coach

        job = self._job()
        self._describe(job)
        past = self.workspace.events.after(self.run, limit=ENDLESS)
        self.coach = Coach(job.config, (each.event for each in past))
        try:
            outcome = train(job, self.emit, self.should_stop)
        finally:
            self._cores.take_back()
        if not self._owns_run():
            log.error("Run %s was given up as lost in the meantime, so this worker does not set its status.", self.run)
            return
        if outcome.stopped == "keep" and outcome.path is None and record.has_result:  # it had one before it was resumed
            outcome = replace(outcome, path=self.folder.result, best_step=record.best_step, metrics=record.metrics)
        if outcome.stopped in (None, "keep"):
            self._append_all(self.coach.end())
        if outcome.stopped == "discard":
            self.runs.discard_output(self.run)
        if outcome.path is not None and outcome.best_step != record.best_step:
            self.runs.forget_earlier_model(self.run)
        self._no_more_room = outcome.no_room
        self._finish(outcome)
        self.runs.describe(self.run)  # its rows may have been deleted meanwhile
        if outcome.stopped is None:  # a finished run is not resumed, so the resumable state can be deleted
            Checkpoints(self.folder.checkpoints).prune({outcome.steps, outcome.best_step or outcome.steps}, last=-1)

    def _first_step(self, record: RunRecord) -> int:
        """The step after which training continues, so that the progress of a resumed run never falls to 0."""
        if record.stop_wish == "keep":  # no more steps: the result is made from a checkpoint
            return record.step
        return max(Checkpoints(self.folder.checkpoints).resumable(), default=0)

    def _job(self) -> "TrainingJob":
        """The training job. The row numbers of each split are saved."""
        from studio.worker.job import training_job

        spec = self.runs.spec(self.run)
        job, splits = training_job(self.workspace, self.run, spec, finalize_only=self._wish == "keep")
        self._result_bytes = spec.disk_bytes // RESULT_SHARE
        write_whole(self.folder.splits, json.dumps(splits))
        self._cores, self._limit = SharedCores(job.threads), 60 * job.config.max_minutes
        self._most_steps = job.config.max_steps
        return job

    def emit(self, event: AnyEvent) -> None:
        """Append an event, send a heartbeat, write a log line, and append the advice of the coach."""
        self._append(event)
        if isinstance(event, PhaseEvent):
            self.phase, self.steps = event.phase, event.steps or self.steps
            if event.phase == "training":
                self.runs.set_status(self.run, "training", only_from=("starting",))
            self._beat()
        if isinstance(event, StepEvent):
            self.step = event.step
        if isinstance(event, CheckpointEvent):
            self.runs.describe(self.run)
        if self.coach:
            self._append_all(self.coach.observe(event))

    def _append(self, event: AnyEvent) -> None:
        self.workspace.events.append(self.run, event)
        if line := log_line(event, self.steps):
            log.info(line)

    def _append_all(self, advice: Sequence[AdviceEvent]) -> None:
        for each in advice:
            self._append(each)

    def should_stop(self) -> StopWish | None:
        """Called at each step: send a heartbeat, share cores with active model hosts, and return the stop request."""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            self._beat()
            self._cores.share(self.home.queue.active_hosts())
            wish = self.runs.stop_wish(self.run)
            if not wish and self._is_time_up():
                wish, self._time_is_up = "keep", True
            if not wish and self._is_disk_full():
                wish, self._disk_is_full = "keep", True
            if (wish or self._terminated) and not self._wish:
                self.runs.set_status(self.run, "stopping", only_from=("starting", "training"))
            self._wish = wish
        return self._wish or ("keep" if self._terminated else None)

    def _is_time_up(self) -> bool:
        """Whether the run has reached its time limit, or a visitor's run the limit of the demo."""
        allowed = 60 * self.workspace.limits.run_minutes
        return 0 < self._limit < time.monotonic() - self._began or 0 < allowed < self._seconds()

    def _is_disk_full(self) -> bool:
        """Whether a visitor's remaining disk space is needed for the result. Once it is, the run ends."""
        if self._disk_is_full or time.monotonic() - self._disk_looked < DISK_SECONDS:
            return self._disk_is_full
        self._disk_looked = time.monotonic()
        left = self._quota.left()
        return left is not None and left < self._result_bytes

    def _beat(self) -> None:
        self.runs.beat(self.run, self.phase, self.step, self.steps, self._seconds())

    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._began

    def _on_term(self, *_: Any) -> None:
        self._terminated = True

    def _finish(self, outcome: "Outcome") -> None:
        status: RunStatus = "finished"
        words = ""
        if outcome.stopped == "pause":
            self._pause(outcome.steps)
            return
        if outcome.stopped is not None:
            status = "stopped"
            kept = outcome.path is not None
            words = stop_message(outcome.stopped, kept, outcome.steps, outcome.best_step, self._why_stopped())
        elif outcome.early:
            result = f"The best checkpoint, from step {outcome.best_step:,}, is the result."
            words = f"Early stopping: validations no longer improved. {result}"
        elif outcome.steps and outcome.steps == self._most_steps:
            words = limit_message(outcome.steps, outcome.best_step)
        self.step = outcome.steps
        self._beat()
        self.runs.set_status(
            self.run,
            status,
            words,
            only_from=self._states,
            reason=words,
            ended=now(),
            has_result=outcome.path is not None,
            best_step=outcome.best_step,
            metrics=outcome.metrics,
        )
        log.info("%s. %s", status.capitalize(), words)

    def _why_stopped(self) -> str:
        if self._time_is_up:
            allowed = self.workspace.limits.run_minutes
            minutes = min(each for each in (self._limit / 60, allowed) if each)
            return f"after {minutes:g} minutes, its time limit"
        if self._disk_is_full or self._no_more_room:
            return "because your disk space in this demo is used up"
        # A stop request that is not obeyed in time is followed by the same signal. Then the user has stopped the run.
        ended = self._terminated and not self.runs.stop_wish(self.run)
        return ENDED_FROM_OUTSIDE if ended else "on request"

    def _pause(self, step: int) -> None:
        """Set the status to paused. The checkpoint of this step exists."""
        self.step = step
        self._beat()
        words = f"Paused after step {step:,}. Resume continues from there." if step else "Paused."
        self.runs.set_status(self.run, "paused", words, only_from=WORKING, reason=words, stop_wish=None)
        log.info(words)

    def _retry_smaller_batch(self) -> bool:
        """Queue the run again with half the batch size. Returns False when that was tried already or is impossible."""
        from studio.training.loop.oom_retry import TITLE, with_half_batch

        spec = with_half_batch(self.runs.spec(self.run))
        if spec is None or self._terminated or self.runs.stop_wish(self.run):
            return False
        message = spec.because[-1]
        self.runs.replace_spec(self.run, spec)
        self.workspace.events.append(self.run, AdviceEvent(step=self.step, title=TITLE, message=message))
        self._beat()
        log.info(message)
        return self.runs.set_status(self.run, "queued", message, only_from=("starting", "training"))

    def _fail(self, error: Exception) -> None:
        log.exception("The run failed.")
        studio_error = to_studio_error(error)
        if studio_error is not error:
            keep_failure(error, self.home.root)
        clean = without_places if self.workspace.is_visitors else str
        message = clean(studio_error.message)
        event = ErrorEvent(
            code=studio_error.code, message=message, hint=clean(studio_error.hint), field=studio_error.field
        )
        self._append(event)
        if self.coach:
            self._append_all(self.coach.observe(event))
        changes: dict[str, Any] = {"has_result": self.folder.result is not None}
        if result_stamp(self.folder) not in (None, self._result):
            self.runs.forget_earlier_model(self.run)
            changes |= result_columns(self.folder)
        self.runs.set_status(self.run, "failed", message, only_from=ACTIVE, reason=message, ended=now(), **changes)
        with suppress(StudioError, OSError):  # the disk may be full
            self.runs.describe(self.run)

    def _describe(self, job: "TrainingJob") -> None:
        """Write run.json, so that the run's folder can be listed and used on another machine."""
        record = self.runs.get(self.run)
        described = {
            "model": job.info.model_copy(update={"path": None}).model_dump(mode="json"),
            "data": self.workspace.datasets.get(record.dataset, record.dataset_version).model_dump(mode="json"),
        }
        self.runs.describe(self.run, described)
