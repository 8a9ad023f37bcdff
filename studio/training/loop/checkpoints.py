"""Atomic checkpoints: written to a staging folder, synced, marked as complete, and renamed. Keeps the best and the
last."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePath

from studio.machine.disk import put_in_place, sync_folder, sync_tree
from studio.schema.errors import StudioError

MARKER = "complete.json"
STAGING = ".new"
RESUMABLE = ("optimizer.pt", "latest")
"""A checkpoint that can be resumed has one of these: the optimizer's state, or the file that names DeepSpeed's
folder."""
ONLY_FOR_RESUMING = tuple(
    "optimizer.pt scheduler.pt rng_state.pth rng_state_*.pth latest global_step* zero_to_fp32.py".split()
)
ROOM_LEFT = 64 * 2**20
"""Bytes on the disk that always stay free."""
MAX_TIME_SHARE = 0.05
"""Maximum share of the run's time for checkpoints that only serve to resume after a crash."""


@dataclass
class TrainingProgress:
    """The progress of a run, saved with each checkpoint."""

    step: int = 0
    best_step: int | None = None
    best_loss: float | None = None
    """Validation loss at the best step."""
    best_metrics: dict[str, float] = field(default_factory=dict)
    lowest_loss: float | None = None
    """The lowest validation loss, not necessarily of the best step."""
    misses: int = 0
    """Validations since the last improvement."""
    early: bool = False
    """Early stopping has ended the run."""
    base_loss: float | None = None
    """Validation loss before the first step. None while it is not measured."""
    pending_replies: bool = False
    """Whether the base model has still to answer the test prompts."""


class QuotaExceeded(StudioError):
    """A visitor's disk quota is used up."""


class Checkpoints:
    """The folder `checkpoints/` of a run."""

    def __init__(self, root: Path, left: Callable[[], int | None] | None = None) -> None:
        self.root, self._left = root, left
        self.root.mkdir(parents=True, exist_ok=True)
        self._wrote, self._write_seconds = time.monotonic(), 0.0

    def due(self) -> bool:
        """Whether another checkpoint is worth its time. After one that took t seconds, the next is due after t /
        `MAX_TIME_SHARE`."""
        return time.monotonic() - self._wrote >= self._write_seconds / MAX_TIME_SHARE

    def path(self, step: int) -> Path:
        """The folder of a step's checkpoint."""
        return self.root / f"checkpoint-{step}"

    def complete(self) -> list[int]:
        """Steps of the complete checkpoints, in order."""
        marked = self.root.glob(f"checkpoint-*/{MARKER}")
        return sorted(int(path.parent.name.rsplit("-", 1)[1]) for path in marked)

    def newest(self) -> tuple[Path, TrainingProgress] | None:
        """The checkpoint to resume from. Incomplete ones are deleted."""
        self._move_staged()
        whole = {self.path(step) for step in self.complete()}
        for folder in self.root.iterdir():
            if folder not in whole:
                shutil.rmtree(folder, ignore_errors=True)
        for step in reversed(self.complete()):
            if (progress := self.progress_at(step)) is not None:
                return self.path(step), progress
        return None

    def resumable(self) -> list[int]:
        """Steps from which the run can resume: every file is present with its full size."""
        return [step for step in self.complete() if self.progress_at(step) is not None]

    def progress_at(self, step: int) -> TrainingProgress | None:
        """The progress of the run at a checkpoint. None when it can't be resumed, because a file is missing or
        truncated."""
        folder, marked = self.path(step), self._read_marker(step)
        if marked is None or self._incomplete_files(step, marked[1]) or not (folder / "trainer_state.json").exists():
            return None
        return marked[0] if any((folder / name).exists() for name in RESUMABLE) else None

    def loadable(self) -> list[int]:
        """Steps whose weights can be loaded. Only files that resuming needs may be missing."""
        return [step for step in self.complete() if self._has_weights(step)]

    def newest_loadable(self) -> tuple[Path, TrainingProgress] | None:
        """The newest loadable checkpoint with the run's progress. It may not be resumable."""
        for step in reversed(self.loadable()):
            if (marked := self._read_marker(step)) is not None:
                return self.path(step), marked[0]
        return None

    def to_keep(self, keep_best: bool = True) -> tuple[int, TrainingProgress] | None:
        """The step whose weights are the result when the run is ended now, and the run's progress."""
        newest = self.newest_loadable()
        if newest is None:
            return None
        progress = newest[1]
        best = progress.best_step if keep_best and progress.best_step in self.loadable() else None
        return best or progress.step, progress

    def _has_weights(self, step: int) -> bool:
        marked = self._read_marker(step)
        return marked is not None and all(_only_for_resuming(name) for name in self._incomplete_files(step, marked[1]))

    def _read_marker(self, step: int) -> tuple[TrainingProgress, dict[str, int]] | None:
        """The progress of the run and the size of each file. None when the marker can't be read."""
        try:
            saved = json.loads((self.path(step) / MARKER).read_text())
            files = saved.pop("files", {})
            return TrainingProgress(**saved), dict(files)
        except (OSError, ValueError, TypeError, AttributeError):
            return None

    def _incomplete_files(self, step: int, files: dict[str, int]) -> list[str]:
        """Names of the files that are missing or have another size."""
        folder = self.path(step)
        return [
            name
            for name, size in files.items()
            if not (folder / name).is_file() or (folder / name).stat().st_size != size
        ]

    def _move_staged(self) -> None:
        """Move a checkpoint into place that was complete when the process was killed."""
        for marker in (self.root / STAGING).glob(f"checkpoint-*/{MARKER}"):
            place = self.root / marker.parent.name
            if not place.exists():
                marker.parent.rename(place)

    @contextmanager
    def writing(self, progress: TrainingProgress, expected_bytes: int) -> Iterator[Path]:
        """A folder in which the trainer writes `checkpoint-STEP`. Afterwards it is in place, or nothing is."""
        self.make_room(expected_bytes)
        began = time.monotonic()
        staging = self.root / STAGING
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        try:
            yield staging
            made = staging / f"checkpoint-{progress.step}"
            sync_tree(made)
            files = {str(path.relative_to(made)): path.stat().st_size for path in made.rglob("*") if path.is_file()}
            _write(made / MARKER, json.dumps({**asdict(progress), "files": files}))
            sync_folder(made)
            self._remove(progress.step)
            made.rename(self.path(progress.step))
            sync_folder(self.root)
            self._wrote = time.monotonic()
            self._write_seconds = self._wrote - began
        except (OSError, RuntimeError) as error:
            # torch and safetensors report a full disk with errors of their own.
            if shutil.disk_usage(self.root).free < ROOM_LEFT // 4:
                raise disk_full(self.root) from error
            raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def make_room(self, expected_bytes: int) -> None:
        """Raise an error when the disk or a visitor's quota has too little space. For a visitor, files that only
        resuming from older checkpoints needs are deleted first.

        Raises:
            QuotaExceeded: the visitor's disk quota is used up.
        """
        require_room(self.root, expected_bytes)
        left = self._left() if self._left else None
        if left is None or left >= expected_bytes:
            return
        only_resuming = [
            path for step in self.complete() for name in ONLY_FOR_RESUMING for path in self.path(step).glob(name)
        ]
        gain = sum(file.stat().st_size for path in only_resuming for file in (path, *path.rglob("*")) if file.is_file())
        if left + gain < expected_bytes:
            room, needed = (f"{size / 1e6:,.0f}" for size in (max(0, left), expected_bytes))
            raise QuotaExceeded(
                "limit-reached",
                "The model does not fit into your disk space in this demo.",
                given=f"{room} MB left, {needed} MB needed",
                hint="Delete runs or datasets that you no longer need, then resume the run.",
            )
        self.prune(set(self.complete()), last=-1)

    def prune(self, keep: set[int], last: int) -> None:
        """Delete all other steps. Files that only resuming needs are kept for the step `last` alone."""
        for step in self.complete():
            if step not in keep:
                self._remove(step)
            elif step != last:
                for path in [path for name in ONLY_FOR_RESUMING for path in self.path(step).glob(name)]:
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def _remove(self, step: int) -> None:
        """Delete the marker first, so that a partly deleted checkpoint is never taken for complete."""
        (self.path(step) / MARKER).unlink(missing_ok=True)
        shutil.rmtree(self.path(step), ignore_errors=True)

    def size(self, step: int) -> int:
        """The size of a checkpoint in bytes."""
        return sum(file.stat().st_size for file in self.path(step).rglob("*") if file.is_file())


def require_room(folder: Path, expected_bytes: int) -> None:
    """Raise `disk-full` when this many bytes do not fit on the disk."""
    if shutil.disk_usage(folder).free < expected_bytes + ROOM_LEFT:
        raise disk_full(folder, expected_bytes)


def disk_full(folder: Path, expected_bytes: int = 0) -> StudioError:
    """The error for a full disk."""
    free, needed = (f"{size / 1e6:,.0f}" for size in (shutil.disk_usage(folder).free, expected_bytes + ROOM_LEFT))
    return StudioError(
        "disk-full",
        "There is not enough free disk space to save the model.",
        given=f"{free} MB free, {needed} MB needed" if expected_bytes else f"{free} MB free",
        hint="The last checkpoint is safe. Free some disk space, then resume the run.",
    )


def replace_folder(new: Path, place: Path) -> None:
    """Sync a folder and put it in the place of another."""
    sync_tree(new)
    put_in_place(new, place)


def _only_for_resuming(name: str) -> bool:
    return any(fnmatch(PurePath(name).parts[0], pattern) for pattern in ONLY_FOR_RESUMING)


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
