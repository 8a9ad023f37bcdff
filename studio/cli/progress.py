"""Waiting for the end of a run: a bar on a terminal, a line now and then elsewhere, both on stderr."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from studio.cli.context import Door
from studio.schema.events import AdviceEvent, EvaluationEvent, StoredEvent
from studio.schema.runs import ACTIVE, RunRecord
from studio.schema.views import Progress

LOOK_SECONDS = 0.5
NOTED = ("evaluation", "advice")


def wait(door: Door, run: RunRecord) -> RunRecord:
    """Follow a run until it is no longer at work or waiting. Ctrl-C leaves it going, and says so."""
    door.note(f"{run.name} is {run.id}. Ctrl-C leaves it going.")
    cursor = 0
    try:
        with _display(door) as show:
            while True:
                progress = door.studio.progress(run.id)
                for event in door.studio.events(run.id, after=cursor, kinds=NOTED):
                    cursor = event.id
                    _tell(door, event)
                show(progress)
                if progress.record.status not in ACTIVE:
                    return progress.record
                time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        door.note(f"The run goes on. See it with: studio show {run.id}. Stop it with: studio stop {run.id}")
        return door.studio.run(run.id)


def _tell(door: Door, event: StoredEvent) -> None:
    if isinstance(event.event, EvaluationEvent):
        best = ", the best so far" if event.event.best else ""
        door.note(f"Step {event.event.step:,}: validation loss {event.event.eval_loss:.4f}{best}.")
    if isinstance(event.event, AdviceEvent):
        door.note(f"Coach, step {event.event.step:,}: {event.event.title}. {event.event.message}")


@contextmanager
def _display(door: Door) -> Iterator[Callable[[Progress], None]]:
    if door.notes.is_terminal:
        with door.progress("Waiting") as move:
            yield lambda progress: move(round(progress.share * 1000), 1000, progress.sentence)
    else:
        yield _lines(door)


def _lines(door: Door) -> Callable[[Progress], None]:
    """A line for each change of state or phase."""
    said = ""

    def show(progress: Progress) -> None:
        nonlocal said
        now = f"{progress.record.status}/{progress.record.phase}"
        if now != said:
            said = now
            door.note(progress.sentence)

    return show
