"""One run at work: wait for its turn, train, beat, obey, say how it ended.

A broad `except` stands in `Worker.work` alone: it is the edge of a process.
"""

import json
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from studio.inference.templates import remember_in
from studio.machine.environment import VISITORS, remove_secrets
from studio.machine.facts import free_for_training, machine_facts
from studio.machine.paths import without_places
from studio.schema.errors import StudioError
from studio.schema.events import AdviceEvent, AnyEvent, CheckpointEvent, ErrorEvent, PhaseEvent, StepEvent
from studio.schema.runs import ACTIVE, RunStatus, StopWish
from studio.store import Home
from studio.store.db import now
from studio.store.dead_workers import PATIENCE
from studio.store.events import ENDLESS
from studio.store.failures import keep_failure
from studio.store.files import write_whole
from studio.store.next_worker import call_next
from studio.store.quota import Quota
from studio.store.runs import AT_WORK
from studio.training.loop.checkpoints import Checkpoints
from studio.training.loop.trackers import asks_hub
from studio.worker.free_memory import FreeMemory
from studio.worker.messages import ENDED_FROM_OUTSIDE, in_plain_words, line_of, stopped_in_words
from studio.worker.restart import start_anew

if TYPE_CHECKING:
    from studio.training.coach import Coach
    from studio.training.loop.callbacks import Emit, ShouldStop
    from studio.training.loop.loading import TrainingJob
    from studio.training.loop.outcome import Outcome
    from studio.worker.make_ready import Ready

LOOK_SECONDS = 1.0
"""Between two heartbeats, and two looks at the wish to stop and at guests."""
WAIT_SECONDS = 0.5
DISK_SECONDS = 5.0
"""Between two looks at how much disk space a visitor's run may still take."""
RESULT_SHARE = 4
"""The result takes about this part of the disk space that a run is estimated to need."""
BEFORE = 1
"""Runs that may wait before one whose worker waits: one that does not fit into memory, and lets this one pass."""
HANG_SECONDS = 30.0
"""While it waits: between two looks at whether the one at work hangs."""
log = logging.getLogger("studio.worker")


def import_heavy() -> None:
    """Everything that a run needs and that takes seconds to import. Computes nothing."""
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # one process trains on one GPU; TRL refuses to see several
    import datasets
    import peft  # noqa: F401
    import transformers
    from trl.chat_template_utils import get_training_chat_template  # noqa: F401

    import studio.training.trainers.classification
    import studio.training.trainers.sft  # noqa: F401

    if find_spec("deepspeed"):  # accelerate would import it when training has begun, and it would warn of having no GPU
        if not machine_facts().gpus:
            os.environ.setdefault("DS_ACCELERATOR", "cpu")
        import deepspeed  # noqa: F401

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()


def way_to_train(processes: int) -> "Callable[[TrainingJob, Emit, ShouldStop], Outcome]":
    """In this process, all imports done; or in several, each of which makes its own."""
    if processes > 1:
        from studio.worker import launcher

        return launcher.train
    import_heavy()
    from studio.training.loop.run import train

    return train


class Worker:
    """One run at work."""

    def __init__(
        self, home: Home, workspace: str, run: str, prepared: bool = False, ready: "Ready | None" = None
    ) -> None:
        self.prepared, self.ready = prepared, ready
        """All imports are done, and take half a gigabyte; perhaps this very run stands before its first step."""
        self.home, self.workspace, self.run = home, home.workspace(workspace), run
        if self.workspace.is_visitors:  # a prepared process has the server's environment
            remove_secrets(os.environ)
            os.environ.update(VISITORS)
        remember_in(home.root)
        self.runs, self.folder = self.workspace.runs, self.workspace.runs.folder(run)
        self.workspace.db.patience = home.queue.db.patience = PATIENCE
        self.phase, self.step, self.steps = "preparing", 0, 0
        self.coach: Coach | None = None
        self._terminated = False
        self._keeps_place = False
        self._wish: StopWish | None = None
        self._looked, self._began, self._seconds_before = 0.0, time.monotonic(), 0.0
        self._threads, self._gave_core = 0, False
        self._limit = 0.0
        """Seconds that it may work, 0 for as long as it takes."""
        self._time_is_up = False
        self._quota = Quota(self.workspace)
        self._disk_is_full, self._no_more_room, self._disk_looked, self._result_bytes = False, False, 0.0, 0

    def work(self) -> int:
        """The exit status."""
        signal.signal(signal.SIGTERM, self._on_term)
        if not self.home.queue.claim(self.run, os.getpid()):
            log.error("Run %s is not in the queue, or another worker has it.", self.run)
            return 2
        try:
            config = self.runs.spec(self.run).config
            # several processes make their own imports; one that has made another run ready asks the Hub no more
            if config.processes > 1 or asks_hub(config.mirror):
                self._let_go_of_imports()
            if self._wait():
                self._train()
            return 0
        except Exception as error:
            said = in_plain_words(error)
            if said.code == "out-of-memory" and self._try_again():
                self.workspace.close()
                start_anew(self.home.root, self.workspace.name, self.run, self.workspace.is_visitors)
            self._fail(error)
            return 1
        finally:
            if not self._keeps_place:
                self.home.queue.leave(self.run, os.getpid())
                self._call_next()
            self.workspace.close()

    def _wait(self) -> bool:
        """Until its turn; False when it was stopped, or ended, before that."""
        said, free = False, FreeMemory()
        while not self.home.queue.my_turn(self.run, free()):
            if self._terminated:  # its place in the queue stays, for the next worker
                self._keeps_place = True
                return False
            if self._taken_out():
                words = "Taken out of the queue."
                self.runs.set_status(self.run, "stopped", words, only_from=("queued", "paused"), reason=words)
                return False
            if self.home.queue.position(self.run) is None:
                return False
            self._let_go_of_imports()
            self._end_one_that_hangs()
            if self.home.queue.waiting_before(self.run) > BEFORE:
                self._keeps_place = True  # a worker is started again when the turn is nearer
                return False
            self._call_next(free)
            if not said:
                log.info("Waiting: another run is at work on this machine, or there is too little memory.")
                said = True
            time.sleep(WAIT_SECONDS)
        self._call_next(free)
        return True

    def _call_next(self, free: Callable[[], int] = free_for_training) -> None:
        """The run after this one gets a worker, which waits for its turn."""
        call_next(self.home, free=free, for_visitors=self.workspace.is_visitors)

    def _taken_out(self) -> bool:
        """Asked to stop while it waits; one that holds something to be kept waits to make its result of it."""
        wish = self.runs.stop_wish(self.run)
        return wish is not None and not (wish == "keep" and Checkpoints(self.folder.checkpoints).loadable())

    def _let_go_of_imports(self) -> None:
        """What was prepared to begin at once, and can't, holds memory that another run may be short of."""
        if self.prepared and not self._terminated:
            self.workspace.close()
            start_anew(self.home.root, self.workspace.name, self.run, self.workspace.is_visitors)

    def _end_one_that_hangs(self) -> None:
        """Whoever has its turn before and says nothing any more would be waited for for ever, if nobody looks."""
        if time.monotonic() - self._looked >= HANG_SECONDS:
            self._looked = time.monotonic()
            self.home.queue.end_hanging()
            for entry in self.home.queue.listing():
                if entry.running:
                    self.home.workspace(entry.workspace).runs.end_hanging()

    def _is_mine(self) -> bool:
        """Whether the run is still this worker's: nobody has called it interrupted, or resumed it, meanwhile."""
        return self.runs.get(self.run).status in self._states and self.runs.worker(self.run).pid in (os.getpid(), None)

    @property
    def _states(self) -> tuple[RunStatus, ...]:
        """In which it may be; a mended database lists a run anew, as nobody's."""
        return AT_WORK if self.runs.worker(self.run).pid else (*AT_WORK, "interrupted")

    def _train(self) -> None:
        self._seconds_before, self._began = self.runs.get(self.run).seconds or 0.0, time.monotonic()
        if not self.runs.begin(self.run, os.getpid()):  # paused or taken out in this very moment
            return
        self._wish = self.runs.stop_wish(self.run)  # what it was sent for: nobody waits for it to stop in time
        self.emit(PhaseEvent(phase="preparing"))
        train = self.ready.train if self.ready else way_to_train(self.runs.spec(self.run).config.processes)
        from studio.training.coach import Coach

        job = self._job()
        self._describe(job)
        past = self.workspace.events.after(self.run, limit=ENDLESS)
        self.coach = Coach(job.config, (each.event for each in past))
        outcome = train(job, self.emit, self.should_stop)
        if not self._is_mine():
            log.error("Run %s was taken for lost meanwhile; what it has become is not this worker's to say.", self.run)
            return
        if outcome.stopped is None:
            self._advise(self.coach.end())
        if outcome.stopped == "discard":
            self.runs.discard_output(self.run)
        self._no_more_room = outcome.no_room
        self._finish(outcome)
        self.runs.describe(self.run)  # its rows may be deleted by now
        if outcome.stopped is None:  # nobody resumes a run that has finished: what only resuming needs can go
            Checkpoints(self.folder.checkpoints).prune({outcome.steps, outcome.best_step or outcome.steps}, last=-1)

    def _job(self) -> "TrainingJob":
        """Rows, model and settings; which rows are in which part is written down for later."""
        from studio.worker.job import job_of

        spec = self.runs.spec(self.run)
        job, splits = job_of(self.workspace, self.run, spec, ends=self._wish == "keep")
        self._result_bytes = spec.disk_bytes // RESULT_SHARE
        write_whole(self.folder.splits, json.dumps(splits))
        self._threads, self._limit = job.threads, 60 * job.config.max_minutes
        return job

    def emit(self, event: AnyEvent) -> None:
        """Append an event, beat, and write a line for the log; then the coach is heard."""
        self._tell(event)
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
            self._advise(self.coach.hear(event))

    def _tell(self, event: AnyEvent) -> None:
        self.workspace.events.append(self.run, event)
        if line := line_of(event, self.steps):
            log.info(line)

    def _advise(self, advice: Sequence[AdviceEvent]) -> None:
        for each in advice:
            self._tell(each)

    def should_stop(self) -> StopWish | None:
        """Asked at each step boundary: beat, share cores with a model host that answers, and hear the wish."""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            self._beat()
            self._share_cores()
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
        """Whether it has trained for its longest time, or a visitor's run for as long as the demo allows in all."""
        allowed = 60 * self.workspace.limits.run_minutes
        return 0 < self._limit < time.monotonic() - self._began or 0 < allowed < self._seconds()

    def _is_disk_full(self) -> bool:
        """Whether what the visitor may still write is no more than the result takes."""
        if time.monotonic() - self._disk_looked < DISK_SECONDS:
            return False
        self._disk_looked = time.monotonic()
        left = self._quota.left()
        return left is not None and left < self._result_bytes

    def _beat(self) -> None:
        self.runs.beat(self.run, self.phase, self.step, self.steps, self._seconds())

    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._began

    def _share_cores(self) -> None:
        from studio.machine.cores import give_up_core, take_back

        guests = self.home.queue.guests() > 0
        if guests and not self._gave_core:
            self._gave_core = give_up_core(self._threads)
        elif self._gave_core and not guests:
            take_back(self._threads)
            self._gave_core = False

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
            words = stopped_in_words(outcome.stopped, kept, outcome.steps, outcome.best_step, self._why_stopped())
        elif outcome.early:
            words = f"Ended early, since checks no longer got better; the best step, {outcome.best_step:,}, is kept."
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
            return f"after {minutes:g} minutes, its longest time"
        if self._disk_is_full or self._no_more_room:
            return "because your disk space in this demo is used up"
        # a wish that is not obeyed in time is followed by the same signal: the run was stopped by the person then
        ended = self._terminated and not self.runs.stop_wish(self.run)
        return ENDED_FROM_OUTSIDE if ended else "on request"

    def _pause(self, step: int) -> None:
        """Give the turn away; the checkpoint of this step is there."""
        self.step = step
        self._beat()
        words = f"Paused after step {step:,}; it goes on from there as if nothing was." if step else "Paused."
        self.runs.set_status(self.run, "paused", words, only_from=AT_WORK, reason=words, stop_wish=None)
        log.info(words)

    def _try_again(self) -> bool:
        """Have the run tried with fewer rows at once; False when it was, or can't be."""
        from studio.training.loop.oom_retry import TITLE, at_half_the_batch, in_words

        before = self.runs.spec(self.run)
        spec = at_half_the_batch(before)
        if spec is None or self._terminated or self.runs.stop_wish(self.run):
            return False
        said = in_words(before.config.batch_size)
        self.runs.replace_spec(self.run, spec)
        self.workspace.events.append(self.run, AdviceEvent(step=self.step, title=TITLE, message=said))
        self._beat()
        log.info(said)
        return self.runs.set_status(self.run, "queued", said, only_from=("starting", "training"))

    def _fail(self, error: Exception) -> None:
        log.exception("The run failed.")
        said = in_plain_words(error)
        if said is not error:
            keep_failure(error, self.home.root)
        shown = without_places if self.workspace.is_visitors else str
        message = shown(said.message)
        ended = ErrorEvent(code=said.code, message=message, hint=shown(said.hint), field=said.field)
        self._tell(ended)
        if self.coach:
            self._advise(self.coach.hear(ended))
        self.runs.set_status(
            self.run,
            "failed",
            message,
            only_from=ACTIVE,
            reason=message,
            ended=now(),
            has_result=self.folder.result is not None,
        )
        with suppress(StudioError, OSError):  # the disk may be full
            self.runs.describe(self.run)

    def _describe(self, job: "TrainingJob") -> None:
        """run.json: the run in its own folder, so that it can be listed and used on another machine."""
        record = self.runs.get(self.run)
        described = {
            "model": job.info.model_copy(update={"path": None}).model_dump(mode="json"),
            "data": self.workspace.datasets.get(record.dataset, record.dataset_version).model_dump(mode="json"),
        }
        self.runs.describe(self.run, described)
