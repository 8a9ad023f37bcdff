"""What was read, counted: how many rows are learned from, and how much of them lies beyond the longest row."""

from collections.abc import Sequence

from studio.inference.heads import Head
from studio.schema.events import ReadEvent
from studio.tasks import Example
from studio.training.loop.loading import TrainingJob


def read_event(job: TrainingJob, trainer: str, head: Head, learned: Sequence[Example], held: int) -> ReadEvent:
    """Facts that the coach and the page can't know otherwise."""
    cut = [each for each in learned if each.truncated]
    lengths = [len(each.input_ids) if each.goes_on else each.full_length for each in learned]
    rows = {each.row for each in learned if each.row}
    # What goes on in a further piece loses nothing to the longest row: rows are then gone for another reason.
    cuts = not all(each.goes_on for each in learned)
    return ReadEvent(
        trainer=trainer,
        learned=len(learned),
        held=held,
        labels=len(head.labels) if head.name == "labels" and not head.problem else 0,
        cut=len(cut),
        lost=len(job.train_rows) - len(rows) if rows and cuts else 0,
        tokens=sum(lengths),
        cut_tokens=sum(each.full_length - len(each.input_ids) for each in cut),
        longest=max(lengths, default=0),
        room=job.info.context or None,
    )
