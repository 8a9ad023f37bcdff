"""Suggestions for a dataset: what there is to learn from, and where what is learned is kept."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from studio.schema.errors import StudioError
from studio.schema.labeling import Learned, SuggestState
from studio.schema.models import ModelInfo
from studio.services.labeling.active_learning import Key, Plan, Source, Suggester
from studio.services.labeling.annotation_state import AnnotationState
from studio.services.labeling.label_tasks import LABELS
from studio.services.labeling.progress import LabelingProgress
from studio.services.labeling.session import LabelingSession
from studio.services.models import Models

READER = "starter-classify"
"""The base model whose embeddings the classifier stands on."""
MOST_POOL, MOST_LEARNED, DEMO_POOL = 20_000, 5_000, 2_000
"""Rows that get a suggestion, and rows that are learned from; of more an even sample. Fewer in a demo."""
OF_TWO = "Suggestions are made from one text; these labels are of two."
LEAST, EACH = 12, 2
"""Rows before anything is suggested, and rows that at least two labels must have."""


class Suggestions:
    """What the small classifier says of a workspace's rows."""

    def __init__(self, bench: AnnotationState, models: Models, suggester: Suggester) -> None:
        self.bench, self.models, self.suggester = bench, models, suggester
        self._reader: ModelInfo | None = None

    def learned(self, desk: LabelingSession) -> Learned | None:
        """The last training that there was; not while it speaks of labels that have another name by now."""
        learned = self.suggester.learned(_key(desk), self._kept(desk)) if desk.work is LABELS else None
        return learned if learned and set(learned.names) <= set(desk.board.labels) else None

    def state(self, desk: LabelingSession) -> SuggestState:
        """How far suggestions are, and why there are none."""
        if desk.work is not LABELS:
            return SuggestState()
        if desk.columns.get("second"):
            return SuggestState(unavailable_reason=OF_TWO)
        plan, state = self._plan_of(desk.board), self.suggester.state(_key(desk))
        due = bool(desk.board.labels) and self.suggester.is_due(_key(desk), plan)
        unavailable_reason = state.unavailable_reason or missing(desk.board)
        if due:
            try:
                self._ready()
            except StudioError as error:
                due, unavailable_reason = False, f"Suggestions need the starter that reads texts. {error.what}"
        return state.model_copy(update={"due": due, "unavailable_reason": unavailable_reason})

    def now(self, dataset: str, progress: Callable[[int, int, str], None]) -> Learned | None:
        """Learn and suggest now, and wait for it."""
        with self.bench.lock:
            desk = self.bench.labels_desk(dataset)
            if why := OF_TWO if desk.columns.get("second") else missing(desk.board):
                raise StudioError("too-few-rows", why)
        self.learned(desk)
        return self.suggester.run(_key(desk), self._source(desk), progress)

    def begin(self, dataset: str) -> None:
        """Read texts and learn in the background."""
        with self.bench.lock:
            desk = self.bench.labels_desk(dataset)
        self.suggester.begin(_key(desk), self._source(desk))

    def _ready(self) -> ModelInfo:
        """The starter; looked for until it is here."""
        if self._reader is None:
            self._reader = self.models.ready(READER)
        return self._reader

    def _source(self, desk: LabelingSession) -> Source:
        return Source(
            rows=desk.path,
            version=desk.record.version,
            column=desk.columns["text"],
            embeddings=self._folder(desk) / READER,
            kept=self._kept(desk),
            info=self._ready(),
            host=self.suggester.host.of(self.bench.context.workspace),
            plan=partial(self._plan, desk.record.id, desk.record.version),
        )

    def _plan(self, dataset: str, version: int) -> Plan:
        with self.bench.lock:
            desk = self.bench.desks.of(dataset)
            if desk.record.version != version or desk.work is not LABELS:  # the person has gone on to something else
                return Plan({}, (), 0, False)
            return self._plan_of(desk.board)

    def _plan_of(self, board: LabelingProgress) -> Plan:
        labels = {row: board.final[row] for row in even(list(board.final), MOST_LEARNED)}
        most = DEMO_POOL if self.bench.context.demo else MOST_POOL
        # asked at each key press: of a million rows only so many are looked at
        left = [row for row in even(range(1, board.total + 1), 2 * most) if row not in board.final]
        pool = even(left, most)
        return Plan(labels, tuple(pool), board.last, not missing(board))

    def _folder(self, desk: LabelingSession) -> Path:
        return self.bench.datasets.store.labelling_folder(desk.record.id)

    def _kept(self, desk: LabelingSession) -> Path:
        return self._folder(desk) / f"suggestions-v{desk.record.version}.json"


def missing(board: LabelingProgress) -> str:
    """How many rows must be labelled before anything can be suggested; empty when that is enough."""
    need = max(LEAST, EACH * len(board.labels))
    ready = sum(rows >= EACH for rows in board.counts.values())
    if len(board.final) >= need and ready >= 2:
        return ""
    left = max(1, need - len(board.final))
    return (
        f"Suggestions come after {need} labelled rows, with {EACH} or more of at least two labels: {left} to go."
        if len(board.final) < need
        else f"Suggestions come once at least two labels have {EACH} rows or more."
    )


def even(rows: Sequence[int], most: int) -> list[int]:
    """At most so many of them, evenly spread."""
    if len(rows) <= most:
        return list(rows)
    return [rows[place * len(rows) // most] for place in range(most)]


def _key(desk: LabelingSession) -> Key:
    return desk.record.id, desk.record.version, desk.columns["text"]
