"""What the parts of labelling share: the desks, the one lock, and the way in which a fact is stored."""

import threading
from collections.abc import Sequence

from studio.schema.errors import StudioError
from studio.schema.labeling import Fact, What
from studio.services.context import Context
from studio.services.datasets.service import Datasets
from studio.services.labeling.label_tasks import LABELS
from studio.services.labeling.session import LabelingSession, LabelingSessions

_REFUSED = {
    "label": "A label is a short text.",
    "reply": "A reply is a text, up to 20,000 letters.",
    "choice": "Say which reply is better.",
}


class AnnotationState:
    """The desks of a workspace. Whoever reads or changes a board holds the lock."""

    def __init__(self, context: Context, datasets: Datasets) -> None:
        self.context, self.datasets = context, datasets
        self.desks = LabelingSessions(context, datasets)
        self.lock = threading.RLock()
        self._labels = context.workspace.labels

    def add(self, desk: LabelingSession, facts: Sequence[Fact]) -> None:
        """Store facts before this returns, and have the board know of them."""
        self._labels.add(desk.record.id, facts)
        self.desks.keeper.board(desk.record, desk.work.name, desk.columns)

    def fact(self, desk: LabelingSession, what: What, labeller: str, row: int = 0, value: str | None = None) -> Fact:
        """Something that a person does at a desk."""
        return Fact(
            version=desk.record.version, work=desk.work.name, what=what, row=row, value=value, labeller=labeller
        )

    def labels_desk(self, dataset: str) -> LabelingSession:
        """A desk at which labels are given."""
        desk = self.desks.of(dataset)
        if desk.work is not LABELS:
            raise StudioError("wrong-state", "These rows are not given labels just now.", hint="Choose Label texts.")
        return desk

    def desk_with(self, dataset: str, *rows: int) -> LabelingSession:
        """A desk that has these rows."""
        desk = self.desks.of(dataset)
        for row in rows:
            if not 1 <= row <= desk.record.rows:
                raise StudioError("no-such-row", "There is no such row.", given=row, valid=f"1 to {desk.record.rows}")
        return desk

    def checked(self, desk: LabelingSession, value: str) -> str:
        """What was given, cleaned; refused when it can't be."""
        found = desk.work.checked(value)
        if not found:
            valid = "first, second or both" if desk.work.name == "choice" else None
            raise StudioError("bad-setting", _REFUSED[desk.work.name], given=value[:200] or "nothing", valid=valid)
        return found
