"""Waits for the end of a run: a progress bar on a terminal, else lines, both on stderr."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from studio.cli.context import Context
from studio.schema.events import AdviceEvent, EvaluationEvent, StoredEvent
from studio.schema.runs import ACTIVE, RunRecord
from studio.schema.views import Progress

LOOK_SECONDS = 0.5
NOTED = ("evaluation", "advice")


def wait(context: Context, run: RunRecord) -> RunRecord:
    """Follow a run until it is no longer active. Ctrl-C leaves it running."""
    context.note(f"{run.name} is {run.id}. Press Ctrl-C to stop watching. The run continues.")
    cursor = 0
    try:
        with _display(context) as show:
            while True:
                context.studio.reconcile()
                progress = context.studio.runs.progress(run.id)
                for event in context.studio.runs.events(run.id, after=cursor, kinds=NOTED):
                    cursor = event.id
                    _note_event(context, event)
                show(progress)
                if progress.record.status not in ACTIVE:
                    return progress.record
                time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        context.note(f"The run continues. See it with: studio show {run.id}. Stop it with: studio stop {run.id}")
        return context.studio.runs.get(run.id)


def _note_event(context: Context, event: StoredEvent) -> None:
    if isinstance(event.event, EvaluationEvent):
        best = ", the best so far" if event.event.best else ""
        context.note(f"Step {event.event.step:,}: validation loss {event.event.eval_loss:.4f}{best}.")
    if isinstance(event.event, AdviceEvent):
        context.note(f"Coach, step {event.event.step:,}: {event.event.title}. {event.event.message}")


@contextmanager
def _display(context: Context) -> Iterator[Callable[[Progress], None]]:
    if context.notes.is_terminal:
        with context.progress("Waiting") as move:
            yield lambda progress: move(round(progress.share * 1000), 1000, progress.sentence)
    else:
        yield _lines(context)


def _lines(context: Context) -> Callable[[Progress], None]:
    """Print a line for each change of status or phase."""
    last = ""

    def show(progress: Progress) -> None:
        nonlocal last
        now = f"{progress.record.status}/{progress.record.phase}"
        if now != last:
            last = now
            context.note(progress.sentence)

    return show
