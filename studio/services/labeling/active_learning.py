"""Label suggestions by active learning: the model host embeds texts and trains a small classifier, in the background.

One `Suggester` serves all workspaces of a server. A thread works on a dataset until nothing is left to do. Embeddings
and suggestions are saved on disk, so a restart continues from there.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from studio.schema.errors import StudioError
from studio.schema.host import RowsRef, Texts
from studio.schema.labeling import Learned, Suggestion, SuggestState
from studio.schema.models import ModelInfo
from studio.services.labeling.label_tasks import LABELS
from studio.services.labeling.session import Session
from studio.services.labeling.state import LabelingState
from studio.services.model_host.client import HostClient, WorkspaceHost
from studio.store.db import now
from studio.store.files import write_whole

EMBEDDING_MODEL = "starter-classify"
"""The base model whose embeddings the classifier uses."""
CHUNK = 2_000
"""Rows that are embedded before the classifier is checked again."""
NEW_LABELS, NEW_SHARE = 5, 0.1
"""The classifier is trained again after so many new labels, or after this share of those it was trained on."""
MAX_POOL, MAX_POOL_IN_DEMO, MAX_LABELED = 20_000, 2_000, 5_000
"""Most rows that get a suggestion, and most rows to train on. Of more rows, an even sample is used."""
MIN_ROWS, MIN_ROWS_PER_LABEL = 12, 2
"""Labeled rows before the first suggestion, and rows that at least two labels need."""
TWO_TEXTS = "Suggestions work for one text only. These labels belong to two texts."
Progress = Callable[[int, int, str], None]
_log = logging.getLogger("studio.services")


@dataclass(frozen=True)
class TrainingSet:
    """The labels to train on and the rows to suggest labels for, at one moment."""

    session: Session
    labels: dict[int, str]
    pool: tuple[int, ...]
    """Rows without a label, for which labels are suggested."""
    last_fact: int
    missing: str
    """Why these labels are too few. Empty if they are enough."""

    def texts(self, rows: Sequence[int]) -> Texts:
        """Return the texts of rows, as a request to the model host names them."""
        session, numbers = self.session, tuple(sorted(rows))
        folder = str(session.folder / EMBEDDING_MODEL)
        return Texts(
            rows=RowsRef(path=str(session.path), numbers=numbers), column=session.columns["text"], folder=folder
        )


ReadData = Callable[[], TrainingSet | None]


@dataclass
class _Status:
    learned: Learned | None = None
    embedded: set[int] = field(default_factory=set)
    """Rows that have an embedding."""
    busy: bool = False
    done: int = 0
    total: int = 0
    failure: str = ""

    def missing_rows(self, data: TrainingSet) -> Iterator[int]:
        """Yield the rows to embed, labeled ones first."""
        return (row for rows in (data.labels, data.pool) for row in rows if row not in self.embedded)

    def is_outdated(self, data: TrainingSet) -> bool:
        """Return whether another training would change suggestions: other labels, more of them, or more embeddings."""
        learned = self.learned
        if data.missing or learned is None:
            return not data.missing
        if set(learned.names) != set(data.labels.values()):
            return True
        if abs(len(data.labels) - learned.labelled) >= max(NEW_LABELS, NEW_SHARE * learned.labelled):
            return True
        embedded = sum(row in self.embedded for row in data.pool)
        return embedded > 1.5 * learned.asked or (embedded > learned.asked and not any(self.missing_rows(data)))


class Suggester:
    """Suggestions for datasets, and the progress of the work on them."""

    def __init__(self, host: HostClient) -> None:
        self.host = host
        self._statuses: dict[tuple[str, int, str], _Status] = {}
        """Dataset, version, text column → status."""
        self._lock = threading.Lock()

    def learned(self, session: Session) -> Learned | None:
        """Return the last training, unless one of its labels has been renamed since."""
        learned = self._status(session).learned if session.label_task is LABELS else None
        return learned if learned and set(learned.names) <= set(session.state.labels) else None

    def state(self, session: Session, demo: bool, require_model: Callable[[], object]) -> SuggestState:
        """Return the progress, and why there are no suggestions. `require_model` raises if the model is missing."""
        if session.label_task is not LABELS:
            return SuggestState()
        if session.columns.get("second"):
            return SuggestState(unavailable_reason=TWO_TEXTS)
        status, data = self._status(session), training_set(session, demo)
        learned, reason = status.learned, status.failure or data.missing
        due = bool(session.state.labels) and not status.busy and not status.failure
        due = due and (any(status.missing_rows(data)) or status.is_outdated(data))
        if due:
            try:
                require_model()
            except StudioError as error:
                due, reason = False, f"Suggestions need the starter encoder. {error.what}"
        return SuggestState(
            learned_from=learned.labelled if learned else 0,
            seconds=learned.seconds if learned else 0.0,
            rows=len(learned.rows) if learned else 0,
            busy=status.busy,
            done=status.done,
            total=status.total,
            due=due,
            unavailable_reason=reason,
        )

    def start(self, session: Session, read: ReadData, info: ModelInfo, host: WorkspaceHost) -> None:
        """Work on a dataset in a thread, unless one does already. See `run`."""
        status = self._status(session)
        with self._lock:
            if status.busy:
                return
            status.busy, status.failure = True, ""

        def work() -> None:
            try:
                self.run(session, read, info, host)
            except StudioError as error:
                status.failure = error.what
            except Exception:
                _log.exception("suggestions failed")
                status.failure = "Suggestions failed. The studio's log has the cause."
            status.busy = False

        threading.Thread(target=work, name="studio suggesting", daemon=True).start()

    def run(
        self,
        session: Session,
        read: ReadData,
        info: ModelInfo,
        host: WorkspaceHost,
        progress: Progress = lambda done, total, words: None,
    ) -> Learned | None:
        """Embed texts and train until nothing is left to do. `read` returns the current data; None ends the work.

        Returns the last training; None if nothing was trained.
        """
        status = self._status(session)
        while data := read():
            rows = list(status.missing_rows(data))
            if status.is_outdated(data) and (status.embedded or not rows):
                status.learned = _train(status, data, host)
            elif rows:
                _embed(status, data, rows[:CHUNK], partial(host.result, "embed", info=info), progress)
            else:
                break
        return status.learned

    def forget(self, dataset: str) -> None:
        """Remove what is known of a deleted dataset."""
        with self._lock:
            for key in [key for key in self._statuses if key[0] == dataset]:
                del self._statuses[key]

    def _status(self, session: Session) -> _Status:
        """Return the status of a session. The first time, the last training comes from disk."""
        key = (session.record.id, session.record.version, session.columns["text"])
        with self._lock:
            if key not in self._statuses:
                self._statuses[key] = _Status(_from_disk(session))
            return self._statuses[key]


def _embed(
    status: _Status, data: TrainingSet, rows: list[int], embed: Callable[..., object], progress: Progress
) -> None:
    """Have the host embed the texts of some rows, as far as no embedding is saved."""
    before, total = len(status.embedded), len(data.pool) + len(data.labels)

    def update(done: int, of: int, words: str) -> None:
        status.done, status.total = min(total, before + done), total
        progress(status.done, status.total, words)

    embed(update, texts=data.texts(rows))
    status.embedded |= set(rows)
    status.done, status.total = min(total, len(status.embedded)), total


def _train(status: _Status, data: TrainingSet, host: WorkspaceHost) -> Learned:
    """Have the host train the classifier, and save its suggestions."""
    began, session = time.monotonic(), data.session
    pool = [row for row in data.pool if row in status.embedded]
    result = host.result("suggest", texts=data.texts([*data.labels, *pool]), labels=data.labels)
    learned = Learned(
        version=session.record.version,
        names=tuple(sorted(set(data.labels.values()))),
        labelled=len(data.labels),
        asked=len(pool),
        last_fact=data.last_fact,
        time=now(),
        seconds=round(time.monotonic() - began, 2),
        rows={int(row): Suggestion(labels=labels) for row, labels in result["rows"].items()},
    )
    session.folder.mkdir(parents=True, exist_ok=True)
    write_whole(_file(session), learned.model_dump_json())
    return learned


def _file(session: Session) -> Path:
    return session.folder / f"suggestions-v{session.record.version}.json"


def _from_disk(session: Session) -> Learned | None:
    try:
        learned = Learned.model_validate_json(_file(session).read_bytes())
    except (OSError, ValueError):
        return None
    return learned if learned.version == session.record.version else None


def training_set(session: Session, demo: bool) -> TrainingSet:
    """Return the labels and the pool of a session. It runs at each key press, so it looks at a sample of many rows."""
    state, size = session.state, MAX_POOL_IN_DEMO if demo else MAX_POOL
    unlabeled = [row for row in even_sample(range(1, state.total + 1), 2 * size) if row not in state.values]
    return TrainingSet(
        session=session,
        labels={row: state.values[row] for row in even_sample(list(state.values), MAX_LABELED)},
        pool=tuple(even_sample(unlabeled, size)),
        last_fact=state.last,
        missing=missing_labels(state),
    )


def missing_labels(state: LabelingState) -> str:
    """Return how many more rows need a label before the first suggestion. Empty if they are enough."""
    done, needed = len(state.values), max(MIN_ROWS, MIN_ROWS_PER_LABEL * len(state.labels))
    if done < needed:
        return (
            f"Suggestions start after {needed} labeled rows, with at least {MIN_ROWS_PER_LABEL} rows for each of two "
            f"labels: {needed - done} to go."
        )
    if sum(rows >= MIN_ROWS_PER_LABEL for rows in state.counts.values()) < 2:
        return f"Suggestions start when at least two labels have {MIN_ROWS_PER_LABEL} rows or more."
    return ""


def even_sample(rows: Sequence[int], size: int) -> list[int]:
    """Return at most `size` of the rows, evenly spread."""
    if len(rows) <= size:
        return list(rows)
    return [rows[place * len(rows) // size] for place in range(size)]
