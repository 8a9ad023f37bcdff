"""Reconciles the states of runs with the reports of their runners: lost workers, stops that hang, runs without a place.

Reads never do this. The server calls it in a loop (ui/monitor.py), the command line once for each command, and
`Runs.watch` while it waits.
"""

from datetime import UTC, datetime

from studio.schema.errors import StudioError
from studio.schema.events import AdviceEvent
from studio.schema.runs import ACTIVE
from studio.services.runners.local import timestamp
from studio.services.runs.lifecycle import RunLifecycle
from studio.services.runs.run_files import resumable_step
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
        _save_events(runs)
        runs.store.reconcile(resumable_step)
        for run in runs.store.killed_for_memory():
            _retry_with_half_batch(runs, run)
        for run, _ in runs.store.in_state("stopping"):
            runs.runner_of(run).stop(runs.handle(run), runs.store.stop_wish(run) or "keep")
        for runner in runs.runners.values():
            runner.reconcile()
        for run, created in runs.store.in_state("queued"):
            if _age(created) > UNQUEUED_SECONDS and not runs.runner_of(run).is_submitted(runs.handle(run)):
                _submit_again(runs, run)


def _save_events(runs: RunLifecycle) -> None:
    """Save the events of runs that train elsewhere, and fetch the results of those that have ended."""
    for run in [run for status in sorted(ACTIVE) for run, _ in runs.store.in_state(status)]:
        runner, handle = runs.runner_of(run), runs.handle(run)
        for event in runner.events(handle):
            runs.event_store.append(run, event)
        if runs.store.get(run).status not in ACTIVE:
            runner.fetch(handle)


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
    """Submit a queued run, or stop it where the limits leave no place for it."""
    try:
        runs.runner_of(run).submit(runs.handle(run))
    except StudioError as error:
        reason = f"Not started. {error.message}"
        runs.store.set_status(run, "stopped", reason, only_from=("queued",), reason=reason)


def _age(time: str) -> float:
    """Seconds since a time; infinite when it is in the future, because the clock was set back."""
    since = datetime.now(UTC).timestamp() - timestamp(time)
    return since if since >= -1 else float("inf")
