"""Reconciles the states of runs with the reports of their runners: lost workers, stops that hang, runs without a place.

Reads never do this. The server calls it in a loop (ui/monitor.py), the command line once for each command, and
`Runs.watch` while it waits.
"""

from contextlib import suppress
from datetime import UTC, datetime
from typing import cast

from studio.schema.errors import StudioError
from studio.schema.events import AdviceEvent, StateEvent
from studio.schema.runs import ACTIVE, RunStatus
from studio.services.runners import LOCAL, Runner
from studio.services.runners.local import timestamp
from studio.services.runs.lifecycle import RunLifecycle
from studio.services.runs.run_files import resumable_step
from studio.store.db import now
from studio.store.files import ignore_full_disk
from studio.training.loop.oom_retry import TITLE, retry_message, with_half_batch

UNQUEUED_SECONDS = 20
"""Seconds after which a `queued` run that its runner does not know is submitted: the server was killed before that."""


def reconcile(runs: RunLifecycle) -> None:
    """Bring the runs of a workspace, and the queue of the machine, in line with what is running.

    Run folders that were copied into the workspace are imported.
    """
    runs.store.import_copied_runs()
    with ignore_full_disk():
        active = _active(runs)
        elsewhere = {run: runner for run, runner in active.items() if runner.is_elsewhere}
        for run, runner in elsewhere.items():
            _save_events(runs, run, runner)
        runs.store.reconcile(resumable_step, elsewhere)
        for run in runs.store.killed_for_memory():
            _retry_with_half_batch(runs, run)
        for run, runner in _active(runs, "stopping").items():
            runner.stop(runs.handle(run), runs.store.stop_wish(run) or "keep")
        for runner in {runs.runners[LOCAL], *active.values()}:
            runner.reconcile()
        for run, created in runs.store.in_state("queued"):
            if _age(created) > UNQUEUED_SECONDS:
                _submit_again(runs, run)


def _active(runs: RunLifecycle, *statuses: RunStatus) -> dict[str, Runner]:
    """Active runs and their runners, without those of a runner that is no longer installed."""
    known = {}
    for status in statuses or sorted(ACTIVE):
        for run, _ in runs.store.in_state(status):
            with suppress(StudioError):
                known[run] = runs.runner_of(run)
    return known


def _save_events(runs: RunLifecycle, run: str, runner: Runner) -> None:
    """Save the events and the state of a run that trains elsewhere, and fetch the results when it has ended."""
    for event in runner.events(runs.handle(run)):
        if not isinstance(event, StateEvent):
            runs.event_store.append(run, event)
            continue
        status = cast(RunStatus, event.status)
        ended = {} if status in ACTIVE else {"ended": now(), "reason": event.message}
        runs.store.set_status(run, status, event.message, only_from=ACTIVE, **ended)
    if runs.store.get(run).status not in ACTIVE:
        runner.fetch(runs.handle(run))
        runs.store.update(run, has_result=runs.store.folder(run).result is not None)


def _retry_with_half_batch(runs: RunLifecycle, run: str) -> None:
    """Queue a run whose worker the system killed for lack of memory again, with half the batch size."""
    before = runs.store.spec(run)
    spec = with_half_batch(before)
    if spec is None or runs.store.stop_wish(run) or not runs.has_room(run):
        runs.store.update(run, cause="")
        return
    message, record = retry_message(before.config.batch_size), runs.store.get(run)
    runs.store.replace_spec(run, spec)
    if runs.queue_again(record, message, only_from=("interrupted",), cause=""):
        runs.event_store.append(run, AdviceEvent(step=record.step, title=TITLE, message=message))


def _submit_again(runs: RunLifecycle, run: str) -> None:
    """Submit a queued run that its runner does not know. Stop it where there is no place for it, or no such runner."""
    try:
        runner, handle = runs.runner_of(run), runs.handle(run)
        if not runner.is_submitted(handle):
            runner.submit(handle)
    except StudioError as error:
        reason = f"Not started. {error.message}"
        runs.store.set_status(run, "stopped", reason, only_from=("queued",), reason=reason)


def _age(time: str) -> float:
    """Seconds since a time; infinite when it is in the future, because the clock was set back."""
    since = datetime.now(UTC).timestamp() - timestamp(time)
    return since if since >= -1 else float("inf")
