"""Suggestions in the background: the model host reads texts and trains the small classifier, piece by piece.

One of these serves all workspaces of a server; keys hold the dataset's random id. A thread works on one dataset until
nothing is left to do; what it found is kept on disk, so that a restart begins where it was.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from studio.schema.errors import StudioError
from studio.schema.host import RowsRef, Texts
from studio.schema.labeling import Learned, Suggestion, SuggestState
from studio.schema.models import ModelInfo
from studio.services.model_host.client import HostClient, WorkspaceHost
from studio.store.db import now
from studio.store.files import write_whole

CHUNK = 2_000
"""Rows that are read before the classifier is looked after again."""
SOON, SHARE = 5, 0.1
"""It learns again after so many new labels, or after so large a part of those that it learned from."""
Key = tuple[str, int, str]
"""Dataset, version, column."""
_log = logging.getLogger("studio.services")
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Plan:
    """What there is to learn from and to suggest for, just now."""

    labels: dict[int, str]
    pool: tuple[int, ...]
    """Rows without a label, for which labels are suggested; a sample of very many."""
    last_fact: int
    enough: bool


@dataclass(frozen=True)
class Source:
    """Where the texts of a dataset lie, and where what is found is kept."""

    rows: Path
    version: int
    column: str
    embeddings: Path
    kept: Path
    info: ModelInfo
    host: WorkspaceHost
    plan: Callable[[], Plan]


@dataclass
class _Kept:
    learned: Learned | None = None
    read: set[int] = field(default_factory=set)
    busy: bool = False
    done: int = 0
    total: int = 0
    failed: str = ""


class Suggester:
    """What is suggested for which dataset, and how far that is."""

    def __init__(self, host: HostClient) -> None:
        self.host = host
        """Each source asks it for its own workspace."""
        self._kept: dict[Key, _Kept] = {}
        self._lock = threading.Lock()

    def learned(self, key: Key, file: Path) -> Learned | None:
        """The last training, from memory or disk."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = _Kept(_from_disk(file, key[1]))
            return self._kept[key].learned

    def state(self, key: Key) -> SuggestState:
        """How far it is."""
        with self._lock:
            kept = self._kept.get(key, _Kept())
            learned = kept.learned
            return SuggestState(
                learned_from=learned.labelled if learned else 0,
                seconds=learned.seconds if learned else 0.0,
                rows=len(learned.rows) if learned else 0,
                busy=kept.busy,
                done=kept.done,
                total=kept.total,
                unavailable_reason=kept.failed,
            )

    def is_due(self, key: Key, plan: Plan) -> bool:
        """Whether there is anything to do: texts to read, or enough new labels to learn from."""
        with self._lock:
            kept = self._kept.get(key, _Kept())
        return not kept.busy and not kept.failed and (_is_stale(kept, plan) or bool(_unread(kept, plan)))

    def begin(self, key: Key, source: Source) -> None:
        """Work on a dataset in the background, unless that is done already."""
        with self._lock:
            kept = self._kept.setdefault(key, _Kept())
            if kept.busy:
                return
            kept.busy, kept.failed = True, ""
        threading.Thread(target=self._in_background, args=(kept, source), name="studio suggesting", daemon=True).start()

    def run(self, key: Key, source: Source, progress: Progress) -> Learned | None:
        """The same at once, for a command; None where there is nothing to suggest."""
        with self._lock:
            kept = self._kept.setdefault(key, _Kept())
        self._work(kept, source, progress)
        return kept.learned

    def forget(self, dataset: str) -> None:
        """A dataset is gone."""
        with self._lock:
            for key in [key for key in self._kept if key[0] == dataset]:
                del self._kept[key]

    def _in_background(self, kept: _Kept, source: Source) -> None:
        try:
            self._work(kept, source, lambda done, total, words: None)
        except StudioError as error:
            kept.failed = error.what
        except Exception:
            _log.exception("suggestions failed")
            kept.failed = "Suggestions can't be made just now; the log of the studio says why."
        kept.busy = False

    def _work(self, kept: _Kept, source: Source, progress: Progress) -> None:
        while True:
            plan = source.plan()
            unread = _unread(kept, plan)
            if _is_stale(kept, plan) and (kept.read or not unread):
                self._learn(kept, source, plan)
            elif unread:
                self._read(kept, source, unread[:CHUNK], len(plan.pool) + len(plan.labels), progress)
            else:
                return

    def _read(self, kept: _Kept, source: Source, rows: list[int], total: int, progress: Progress) -> None:
        """Have some rows' texts read, as far as nobody has read them before."""
        before = len(kept.read)

        def moved(done: int, of: int, words: str) -> None:
            kept.done, kept.total = min(total, before + done), total
            progress(kept.done, kept.total, words)

        source.host.result("embed", moved, info=source.info, texts=_texts(source, rows))
        kept.read |= set(rows)
        kept.done, kept.total = min(total, len(kept.read)), total

    def _learn(self, kept: _Kept, source: Source, plan: Plan) -> None:
        """Have the classifier learn again, and keep what it says."""
        began = time.monotonic()
        asked = [*plan.labels, *(row for row in plan.pool if row in kept.read)]
        said = source.host.result("suggest", texts=_texts(source, asked), labels=plan.labels)
        learned = Learned(
            version=source.version,
            names=tuple(sorted(set(plan.labels.values()))),
            labelled=len(plan.labels),
            asked=len(asked) - len(plan.labels),
            last_fact=plan.last_fact,
            time=now(),
            seconds=round(time.monotonic() - began, 2),
            rows={int(row): Suggestion(labels=best) for row, best in said["rows"].items()},
        )
        source.kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(source.kept, learned.model_dump_json())
        kept.learned = learned


def _texts(source: Source, rows: list[int]) -> Texts:
    return Texts(
        rows=RowsRef(path=str(source.rows), numbers=tuple(sorted(rows))),
        column=source.column,
        folder=str(source.embeddings),
    )


def _unread(kept: _Kept, plan: Plan) -> list[int]:
    """Rows whose texts are to be read: first those with a label, to learn from."""
    return [row for row in (*plan.labels, *plan.pool) if row not in kept.read]


def _is_stale(kept: _Kept, plan: Plan) -> bool:
    """Whether learning again would say something new: other labels, more of them, or more texts that were read."""
    learned = kept.learned
    if not plan.enough or learned is None:
        return plan.enough
    if set(learned.names) != set(plan.labels.values()):
        return True
    if abs(len(plan.labels) - learned.labelled) >= max(SOON, SHARE * learned.labelled):
        return True
    read = sum(row in kept.read for row in plan.pool)
    return read > 1.5 * learned.asked or (read > learned.asked and not _unread(kept, plan))


def _from_disk(file: Path, version: int) -> Learned | None:
    try:
        kept = Learned.model_validate_json(file.read_bytes())
    except (OSError, ValueError):
        return None
    return kept if kept.version == version else None
