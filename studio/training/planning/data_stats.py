"""Statistics of the encoded rows: how many are trained on, and how much is truncated."""

from collections.abc import Sequence

from studio.inference.heads import Head
from studio.schema.events import ReadEvent
from studio.tasks import Example
from studio.training.loop.loading import TrainingJob
from studio.training.methods import learns_virtual_tokens


def read_event(
    job: TrainingJob, trainer: str, head: Head, learned: Sequence[Example], validation_rows: int
) -> ReadEvent:
    """The statistics that the coach and the page need."""
    truncated = [each for each in learned if each.truncated]
    lengths = [len(each.input_ids) if each.goes_on else each.full_length for each in learned]
    rows = {each.row for each in learned if each.row}
    # Rows whose rest continues in a further piece lose nothing to the maximum length. If rows are missing, it has
    # another reason.
    context = job.info.context or 0
    virtual = job.config.virtual_tokens if learns_virtual_tokens(job.config.method) else 0
    may_truncate = not all(each.goes_on for each in learned)
    return ReadEvent(
        trainer=trainer,
        learned=len(learned),
        held=validation_rows,
        labels=len(head.labels) if head.name == "labels" and not head.problem else 0,
        cut=len(truncated),
        lost=len(job.train_rows) - len(rows) if rows and may_truncate else 0,
        tokens=sum(lengths),
        cut_tokens=sum(each.full_length - len(each.input_ids) for each in truncated),
        longest=max(lengths, default=0),
        room=max(context - virtual, 0) or None,
    )
