"""Label suggestions by active learning: the model host embeds texts and trains a small classifier, in the background.

A thread works on a dataset until nothing is left to do. Embeddings and suggestions are saved on disk, so a restart
continues from there.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from studio.data.table import even_sample
from studio.schema.errors import StudioError
from studio.schema.host import RowsRef, Texts
from studio.schema.labeling import Learned, Suggestion, SuggestState
from studio.schema.models import ModelInfo
from studio.services.labeling.state import LabelingState
from studio.services.model_host.client import WorkspaceHost
from studio.services.models.service import Models
from studio.store.db import now
from studio.store.files import write_whole

EMBEDDING_MODEL = "starter-classify"
"""The base model whose embeddings the classifier uses."""
CHUNK = 2_000
"""Rows that are embedded before the classifier is checked again."""
NEW_LABELS, NEW_SHARE = 5, 0.1
"""The classifier is trained again after so many new labels, or after this share of those it was trained on."""
MAX_LABELED = 5_000
"""Most rows to train on. Of more rows, an even sample is used."""
MIN_ROWS, MIN_ROWS_PER_LABEL = 12, 2
"""Labeled rows before the first suggestion, and rows that at least two labels need."""
TWO_TEXTS = "Suggestions work for one text only. These labels belong to two texts."
Progress = Callable[[int, int, str], None]
ReadState = Callable[[], AbstractContextManager[LabelingState | None]]
"""Opens the current state of labeling and keeps others from changing it. None: this version is no longer labeled."""
_log = logging.getLogger("studio.services")


@dataclass(eq=False)
class Suggester:
    """Suggestions for one column of one version of a dataset: the last training, and the work on the next one."""

    version: int
    path: Path
    """The file with the rows."""
    column: str
    folder: Path
    """The folder for embeddings and suggestions."""
    max_pool: int
    """Most rows that get a suggestion."""
    models: Models
    host: WorkspaceHost
    embedded: set[int] = field(default_factory=set)
    """Rows that have an embedding."""
    done: int = 0
    total: int = 0
    """Rows embedded so far, and in all."""
    failure: str = ""
    """Why the last work in the background failed."""
    _running: threading.Lock = field(default_factory=threading.Lock)
    """Held while a thread works on suggestions."""

    @cached_property
    def learned(self) -> Learned | None:
        """The last training. The first time, it comes from disk."""
        try:
            return Learned.model_validate_json(self._file.read_bytes())
        except (OSError, ValueError):
            return None

    @cached_property
    def model(self) -> ModelInfo:
        """The starter that embeds texts. Raises while it is not on this machine."""
        return self.models.ready(EMBEDDING_MODEL)

    def progress(self, state: LabelingState) -> SuggestState:
        """Return the progress, and why there are no suggestions."""
        learned, reason = self.learned, self.failure or missing_labels(state)
        is_busy = self._running.locked()
        due = bool(state.labels) and not is_busy and not self.failure and any(self._next_step(state))
        if due:
            try:
                due = bool(self.model)
            except StudioError as error:
                due, reason = False, f"Suggestions need the starter encoder. {error.what}"
        return SuggestState(
            learned_from=learned.labelled if learned else 0,
            seconds=learned.seconds if learned else 0.0,
            rows=len(learned.rows) if learned else 0,
            busy=is_busy,
            done=self.done,
            total=self.total,
            due=due,
            unavailable_reason=reason,
        )

    def start(self, read: ReadState) -> None:
        """Work in a thread, unless one does already. See `run`."""
        if not self._running.acquire(blocking=False):
            return
        self.failure = ""

        def work() -> None:
            try:
                self.run(read)
            except StudioError as error:
                self.failure = error.what
            except Exception:
                _log.exception("suggestions failed")
                self.failure = "Suggestions failed. The studio's log has the cause."
            finally:
                self._running.release()

        threading.Thread(target=work, name="studio suggesting", daemon=True).start()

    def run(self, read: ReadState, progress: Progress = lambda done, total, words: None) -> Learned | None:
        """Embed texts and train until nothing is left to do. Returns the last training; None if there was none."""
        while True:
            with read() as state:
                labels, rows = self._next_step(state) if state else ({}, [])
                last_fact = state.last if state else 0
            if labels:
                self.learned = self._train(labels, rows, last_fact)
            elif rows:
                self._embed(rows, progress)
            else:
                return self.learned

    def _next_step(self, state: LabelingState) -> tuple[dict[int, str], list[int]]:
        """Return the labels to train on and the rows to suggest labels for, or no labels and the rows to embed.

        It runs at each key press, so it looks at a sample of many rows.
        """
        some_rows = even_sample(range(1, state.total + 1), 2 * self.max_pool)
        pool = even_sample([row for row in some_rows if row not in state.values], self.max_pool)
        labels = {row: state.values[row] for row in even_sample(list(state.values), MAX_LABELED)}
        to_embed = [row for row in (*labels, *pool) if row not in self.embedded]
        if self.embedded or not to_embed:
            embedded = [row for row in pool if row in self.embedded]
            if self._is_outdated(state, labels, len(embedded), not to_embed):
                return labels, embedded
        return {}, to_embed

    def _is_outdated(self, state: LabelingState, labels: Mapping[int, str], embedded: int, all_embedded: bool) -> bool:
        """Return whether another training would change suggestions: other labels, more of them, or more embeddings."""
        learned, is_ready = self.learned, not missing_labels(state)
        if learned is None or not is_ready:
            return is_ready
        return (
            set(learned.names) != set(labels.values())
            or abs(len(labels) - learned.labelled) >= max(NEW_LABELS, NEW_SHARE * learned.labelled)
            or embedded > (learned.asked if all_embedded else 1.5 * learned.asked)
        )

    def _embed(self, rows: Sequence[int], progress: Progress) -> None:
        """Have the host embed the texts of the next rows, as far as no embedding is saved."""
        before, chunk = len(self.embedded), rows[:CHUNK]

        def update(done: int, of: int, words: str) -> None:
            self.done, self.total = before + done, before + len(rows)
            progress(self.done, self.total, words)

        self.host.result("embed", update, info=self.model, texts=self._texts(chunk))
        self.embedded |= set(chunk)

    def _train(self, labels: dict[int, str], pool: Sequence[int], last_fact: int) -> Learned:
        """Have the host train the classifier, and save its suggestions."""
        began = time.monotonic()
        result = self.host.result("suggest", texts=self._texts([*labels, *pool]), labels=labels)
        learned = Learned(
            version=self.version,
            names=tuple(sorted(set(labels.values()))),
            labelled=len(labels),
            asked=len(pool),
            last_fact=last_fact,
            time=now(),
            seconds=round(time.monotonic() - began, 2),
            rows={int(row): Suggestion(labels=labels) for row, labels in result["rows"].items()},
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._file, learned.model_dump_json())
        return learned

    def _texts(self, rows: Sequence[int]) -> Texts:
        reference = RowsRef(path=str(self.path), numbers=tuple(sorted(rows)))
        return Texts(rows=reference, column=self.column, folder=str(self.folder / EMBEDDING_MODEL))

    @property
    def _file(self) -> Path:
        return self.folder / f"suggestions-v{self.version}.json"


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
