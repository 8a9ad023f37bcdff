"""Reconciles the states of runs with the processes that exist: lost workers, stops that hang, runs outside the queue.

Reads never do this. The server calls it in a loop (ui/monitor.py), the command line once for each command, and
`Runs.watch` while it waits.
"""

import signal
from datetime import UTC, datetime
from itertools import takewhile

from studio.machine.processes import end_group
from studio.schema.errors import StudioError
from studio.schema.events import AdviceEvent, StateEvent, StoredEvent
from studio.services.runs.lifecycle import RunLifecycle, timestamp
from studio.services.runs.run_files import resumable_step
from studio.store.files import ignore_full_disk, is_written_to
from studio.training.loop.oom_retry import TITLE, retry_message, with_half_batch

UNQUEUED_SECONDS = 20
"""A `queued` run that is not in the queue for so long is put there: the server was killed before it did."""
TERM_SECONDS, KILL_SECONDS = 90, 150
"""Seconds after a request to stop until the worker gets SIGTERM, and SIGKILL."""
SAVING_SECONDS = 60
"""A worker that has written into its run's folder within so many seconds is saving, and is not killed."""


def reconcile(runs: RunLifecycle, import_copied: bool = True) -> None:
    """Bring the runs of a workspace, and the machine's queue, in line with what is running.

    `import_copied`: also list run folders that were copied into the workspace.
    """
    if import_copied:
        runs.store.import_copied_runs()
    with ignore_full_disk():
        runs.store.reconcile(resumable_step)
        for run in runs.store.killed_for_memory():
            _retry_with_half_batch(runs, run)
        for run, _ in runs.store.in_state("stopping"):
            _enforce_stop(runs, run)
        runs.queue.end_hung_workers()
        runs.call_next()
        runs.runner.watch(runs.queue.listing())
        for run, created in runs.store.in_state("queued"):
            if _age(created) > UNQUEUED_SECONDS and runs.queue.position(run) is None:
                _enqueue_again(runs, run)


def _retry_with_half_batch(runs: RunLifecycle, run: str) -> None:
    """Queue a run whose worker the system killed for lack of memory again, with half the batch size."""
    before = runs.store.spec(run)
    spec = with_half_batch(before)
    if spec is None or runs.store.stop_wish(run) or not runs.places.has_room(run):
        runs.store.update(run, cause="")
        return
    message, record = retry_message(before.config.batch_size), runs.store.get(run)
    runs.store.replace_spec(run, spec)
    if runs.queue_again(record, message, only_from=("interrupted",), cause=""):
        runs.event_store.append(run, AdviceEvent(step=record.step, title=TITLE, message=message))


def _enqueue_again(runs: RunLifecycle, run: str) -> None:
    """Put a queued run into the queue, or stop it where the limits leave no place for it."""
    try:
        runs.places.ask(run)
    except StudioError as error:
        reason = f"Not started. {error.message}"
        runs.store.set_status(run, "stopped", reason, only_from=("queued",), reason=reason)
        return
    runs.call_next()


def _enforce_stop(runs: RunLifecycle, run: str) -> None:
    """SIGTERM, then SIGKILL, to a worker that does not stop in time. A large model takes time to save."""
    worker = runs.store.worker(run)
    if runs.store.stop_wish(run) == "pause":  # it may finish its validation first
        return
    states = reversed(runs.event_store.last(run, "state", 5))
    stopping = list(takewhile(_is_stopping, states))  # a stop from before a resume does not count
    if not stopping or worker.pid is None:
        return
    waited = datetime.now(UTC).timestamp() - timestamp(stopping[-1].time)
    if waited > KILL_SECONDS:
        if not is_written_to(runs.store.folder(run).root, SAVING_SECONDS):
            end_group(worker.pid, signal.SIGKILL)
    elif waited > TERM_SECONDS or waited < -1:  # negative: the clock was set back since
        end_group(worker.pid, signal.SIGTERM)


def _is_stopping(stored: StoredEvent) -> bool:
    return isinstance(stored.event, StateEvent) and stored.event.status == "stopping"


def _age(time: str) -> float:
    """Seconds since a time; infinite when it is in the future, because the clock was set back."""
    since = datetime.now(UTC).timestamp() - timestamp(time)
    return since if since >= -1 else float("inf")
