"""Waits for the end of a run, or of predictions: a progress bar on a terminal, else lines, both on stderr."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from studio.cli.context import Context
from studio.schema.events import AdviceEvent, EvaluationEvent, StoredEvent
from studio.schema.numbers import about, speed
from studio.schema.runs import ACTIVE, RunRecord
from studio.schema.views import Progress

LOOK_SECONDS = 0.5
NOTED = ("evaluation", "advice")
LINE_SECONDS = 15.0
"""Seconds between two lines about predicted rows, where there is no terminal."""


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


@contextmanager
def predicting(context: Context) -> Iterator[Callable[[int, int, str], None]]:
    """Show predicted rows, the speed and the time left. Yields a function of (done, total, message)."""
    start, last = (0, 0.0), 0.0

    def sentence(done: int, total: int, message: str) -> str:
        nonlocal start
        if message != "Predicting" or not start[1]:  # the time to load the model says nothing about the speed
            start = (done, time.monotonic() if message == "Predicting" else 0.0)
        rows, seconds = done - start[0], time.monotonic() - start[1]
        if not total:
            return message
        if rows <= 0 or seconds < 1 or done == total:
            return f"{message}: {done:,} of {total:,} rows"
        left = about((total - done) * seconds / rows)
        return f"{message}: {done:,} of {total:,} rows, {speed(rows / seconds)}, {left} left"

    with context.progress("Rows") as move:

        def show(done: int, total: int, message: str) -> None:
            nonlocal last
            text = sentence(done, total, message)
            move(done, total, text)
            if not context.notes.is_terminal and total and time.monotonic() - last > LINE_SECONDS:
                last = time.monotonic()
                context.note(text)

        yield show
