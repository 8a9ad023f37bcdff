"""Reconciles the states of runs with the reports of their runners: lost workers, stops that hang, runs without a place.

Reads never do this. The server calls it in a loop (ui/monitor.py), the command line once for each command, and
`Runs.watch` while it waits.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from math import inf
from typing import Any, cast, get_args

from studio.machine.locks import try_lock
from studio.schema.errors import StudioError
from studio.schema.events import AdviceEvent, AnyEvent, EvaluationEvent, PhaseEvent, StateEvent, StepEvent
from studio.schema.numbers import timestamp
from studio.schema.runs import ACTIVE, RunStatus
from studio.services.runners import LOCAL, Runner, default_runner
from studio.services.runs.lifecycle import RunLifecycle
from studio.services.runs.run_files import resumable_step
from studio.store.db import now
from studio.store.files import ignore_full_disk
from studio.training.loop.oom_retry import TITLE, with_half_batch

_log = logging.getLogger("studio.runs")
CURSOR = "runner_events"
"""File of a run's folder: how many events of its runner are saved."""
UNQUEUED_SECONDS = 20
"""Seconds after which a `queued` run that its runner does not know is submitted: the server was killed before that."""


def reconcile(runs: RunLifecycle) -> None:
    """Bring the runs of a workspace, and the queue of the machine, in line with what is running."""
    reconcile_runs(runs)
    reconcile_queue(runs)


def reconcile_queue(runs: RunLifecycle) -> None:
    """Bring the queue of the machine in line with what is running, whatever the workspace of its runs."""
    with ignore_full_disk():
        runs.runners[default_runner()].reconcile()


def reconcile_runs(runs: RunLifecycle) -> bool:
    """Bring the runs of a workspace in line with what is running. Returns whether some wait or train.

    Run folders that were copied into the workspace are imported.
    """
    runs.store.import_copied_runs()
    active = {run for run, _ in runs.store.in_state(*ACTIVE)}
    with ignore_full_disk():
        if active:
            _reconcile_active(runs, active)
        for run in runs.store.killed_for_memory():
            _retry_with_half_batch(runs, run)
    return bool(active)


def _reconcile_active(runs: RunLifecycle, active: set[str]) -> None:
    runners, local = _runners_of(runs, active), runs.runners[default_runner()]
    elsewhere = {run: runner for run, runner in runners.items() if runner.is_elsewhere}
    has_no_runner = active - set(runners)  # its state is not known here
    runs.store.reconcile(resumable_step, {*elsewhere, *has_no_runner})
    stopping = [run for run, _ in runs.store.in_state("stopping")]
    for run, runner in _runners_of(runs, stopping).items():
        with _isolated(runner):
            runner.stop(runs.handle(run), runs.store.stop_wish(run) or "keep")
    for runner in set(runners.values()) - {local}:
        with _isolated(runner):
            runner.reconcile()
    for run, created in runs.store.in_state("queued"):
        if _age(created) > UNQUEUED_SECONDS:
            _submit_again(runs, run)
    for run, runner in elsewhere.items():
        with _isolated(runner):
            _save_events(runs, run, runner)


@contextmanager
def _isolated(runner: Runner, reraise: type[Exception] | tuple[()] = ()) -> Iterator[None]:
    """A plugin's runner that fails, for example without a network, does not keep other runs from being reconciled."""
    try:
        yield
    except reraise:
        raise
    except Exception as error:
        if runner.name == LOCAL:
            raise
        _log.error("The runner %s failed: %s: %s", runner.name, type(error).__name__, error)


def _runners_of(runs: RunLifecycle, ids: Iterable[str]) -> dict[str, Runner]:
    """Runs and their runners, without those of a runner that is no longer installed."""
    known = {}
    for run in ids:
        with suppress(StudioError):
            known[run] = runs.runner_of(run)
    return known


def _save_events(runs: RunLifecycle, run: str, runner: Runner) -> None:
    """Save the new events of a run that trains elsewhere, its progress and its state.

    One process at a time does this. It notes after each event how many are saved.
    """
    handle = runs.handle(run)
    cursor = handle.folder.root / CURSOR
    with cursor.open("a+", encoding="utf-8") as file:
        if not try_lock(file):
            return
        file.seek(0)
        saved = int(file.read() or 0)
        for event in runner.events(handle, saved):
            if isinstance(event, StateEvent):
                _save_state(runs, run, runner, event)
            else:
                runs.event_store.append(run, event)
                if progress := _progress(event):
                    runs.store.update(run, **progress)
            saved += 1
            file.truncate(0)
            file.write(str(saved))
            file.flush()


def _save_state(runs: RunLifecycle, run: str, runner: Runner, event: StateEvent) -> None:
    """Save a state. The results of a run that has ended are fetched first, so that none is lost."""
    if event.status not in get_args(RunStatus):
        event = StateEvent(
            status="failed", message=f"The runner {runner.name} reports an unknown state: {event.status}."
        )
    status, record = cast(RunStatus, event.status), runs.store.get(run)
    changes: dict[str, Any] = {}
    if status in ("starting", "training") and not record.started:
        changes = {"started": now()}
    elif status not in (*ACTIVE, "paused"):
        runner.fetch(runs.handle(run))
        has_result = runs.store.folder(run).result is not None
        seconds = _age(record.started) if record.started else inf
        changes = {"ended": now(), "reason": event.message, "has_result": has_result}
        changes |= {"seconds": seconds} if seconds < inf else {}
    runs.store.set_status(run, status, event.message, only_from=ACTIVE, **changes)


def _progress(event: AnyEvent) -> dict[str, Any]:
    """The columns of a run's record that an event changes."""
    if isinstance(event, PhaseEvent):
        return {"phase": event.phase, **({"steps": event.steps} if event.steps else {})}
    if isinstance(event, StepEvent):
        return {"step": event.step}
    return {"best_step": event.step} if isinstance(event, EvaluationEvent) and event.best else {}


def _retry_with_half_batch(runs: RunLifecycle, run: str) -> None:
    """Queue a run whose worker the system killed because memory ran out, with half the batch size."""
    spec = with_half_batch(runs.store.spec(run))
    if spec is None or runs.store.stop_wish(run) or not runs.has_room(run):
        runs.store.update(run, cause="")
        return
    message, record = spec.because[-1], runs.store.get(run)
    runs.store.replace_spec(run, spec)
    if runs.queue_again(record, message, only_from=("interrupted",), cause=""):
        runs.event_store.append(run, AdviceEvent(step=record.step, title=TITLE, message=message))


def _submit_again(runs: RunLifecycle, run: str) -> None:
    """Submit a queued run that its runner does not know. Stop it where there is no place for it, or no such runner."""
    try:
        runner, handle = runs.runner_of(run), runs.handle(run)
        with _isolated(runner, StudioError):
            if not runner.is_submitted(handle):
                runner.submit(handle)
    except StudioError as error:
        reason = f"Not started. {error.message}"
        runs.store.set_status(run, "stopped", reason, only_from=("queued",), reason=reason)


def _age(time: str) -> float:
    """Seconds since a time; infinite when it is in the future, because the clock was set back."""
    since = datetime.now(UTC).timestamp() - timestamp(time)
    return since if since >= -1 else inf
