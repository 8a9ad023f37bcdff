"""Checkpoints that are whole or not there: written beside, synced, marked complete, renamed; best and last are kept."""

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
"""One of them is in a checkpoint to go on from: the optimizer's state, or what names DeepSpeed's folder of it."""
ONLY_FOR_RESUMING = (
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    "rng_state_*.pth",
    "latest",
    "global_step*",
    "zero_to_fp32.py",
)
ROOM_LEFT = 64 * 2**20
"""Bytes on the disk that are never taken."""
SHARE = 0.05
"""The most of a run's time that checkpoints take which only a crash would need."""


@dataclass
class Standing:
    """Where a run stands, kept with each checkpoint."""

    step: int = 0
    best_step: int | None = None
    best_loss: float | None = None
    """Validation loss at the best step."""
    best_metrics: dict[str, float] = field(default_factory=dict)
    lowest_loss: float | None = None
    """The lowest validation loss, which need not be that of the best step."""
    misses: int = 0
    """Checks since anything improved."""
    early: bool = False
    """Early stopping has ended it."""
    base_loss: float | None = None
    """Validation loss before the first step."""


class NoRoom(StudioError):
    """The disk space that a visitor may take is used up."""


class Checkpoints:
    """The folder `checkpoints/` of a run."""

    def __init__(self, root: Path, left: Callable[[], int | None] | None = None) -> None:
        self.root, self._left = root, left
        self.root.mkdir(parents=True, exist_ok=True)
        self._wrote, self._took = time.monotonic(), 0.0

    def due(self) -> bool:
        """Whether one more checkpoint is worth its time: the first is, the next after twenty times what one took."""
        return time.monotonic() - self._wrote >= self._took / SHARE

    def path(self, step: int) -> Path:
        """Folder of the checkpoint of a step."""
        return self.root / f"checkpoint-{step}"

    def complete(self) -> list[int]:
        """Steps of the checkpoints that were whole when they were written, in order."""
        marked = self.root.glob(f"checkpoint-*/{MARKER}")
        return sorted(int(path.parent.name.rsplit("-", 1)[1]) for path in marked)

    def newest(self) -> tuple[Path, Standing] | None:
        """The checkpoint to go on from; whatever is not whole is removed."""
        self._take_in()
        whole = {self.path(step) for step in self.complete()}
        for folder in self.root.iterdir():
            if folder not in whole:
                shutil.rmtree(folder, ignore_errors=True)
        for step in reversed(self.complete()):
            if (standing := self.standing(step)) is not None:
                return self.path(step), standing
        return None

    def resumable(self) -> list[int]:
        """Steps from which a run can go on: every file that was written is there, and whole."""
        return [step for step in self.complete() if self.standing(step) is not None]

    def standing(self, step: int) -> Standing | None:
        """Where the run stood at a checkpoint from which it can go on; None when a file of it is missing or cut."""
        folder, marked = self.path(step), self._marked(step)
        if marked is None or self._lacking(step, marked[1]) or not (folder / "trainer_state.json").exists():
            return None
        return marked[0] if any((folder / name).exists() for name in RESUMABLE) else None

    def loadable(self) -> list[int]:
        """Steps whose weights can be loaded: all is there, and whole, but what only going on needs."""
        return [step for step in self.complete() if self._has_weights(step)]

    def newest_loadable(self) -> tuple[Path, Standing] | None:
        """The newest of them, with where the run stood; nothing may be able to go on from it."""
        for step in reversed(self.loadable()):
            if (marked := self._marked(step)) is not None:
                return self.path(step), marked[0]
        return None

    def _has_weights(self, step: int) -> bool:
        marked = self._marked(step)
        return marked is not None and all(_only_for_resuming(name) for name in self._lacking(step, marked[1]))

    def _marked(self, step: int) -> tuple[Standing, dict[str, int]] | None:
        """Where the run stood, and bytes of each file that was written; None when the mark can't be read."""
        try:
            told = json.loads((self.path(step) / MARKER).read_text())
            files = told.pop("files", {})
            return Standing(**told), dict(files)
        except (OSError, ValueError, TypeError, AttributeError):
            return None

    def _lacking(self, step: int, files: dict[str, int]) -> list[str]:
        """Those of the files that are missing or cut."""
        folder = self.path(step)
        return [
            name
            for name, size in files.items()
            if not (folder / name).is_file() or (folder / name).stat().st_size != size
        ]

    def _take_in(self) -> None:
        """A checkpoint that was whole when the process was killed, but not yet in its place."""
        for marker in (self.root / STAGING).glob(f"checkpoint-*/{MARKER}"):
            place = self.root / marker.parent.name
            if not place.exists():
                marker.parent.rename(place)

    @contextmanager
    def writing(self, standing: Standing, expected_bytes: int) -> Iterator[Path]:
        """A folder in which the trainer makes `checkpoint-STEP`; afterwards it is in its place, or nothing is."""
        self.make_room(expected_bytes)
        began = time.monotonic()
        staging = self.root / STAGING
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        try:
            yield staging
            made = staging / f"checkpoint-{standing.step}"
            sync_tree(made)
            files = {str(path.relative_to(made)): path.stat().st_size for path in made.rglob("*") if path.is_file()}
            _write(made / MARKER, json.dumps({**asdict(standing), "files": files}))
            sync_folder(made)
            self._remove(standing.step)
            made.rename(self.path(standing.step))
            sync_folder(self.root)
            self._wrote = time.monotonic()
            self._took = self._wrote - began
        except (OSError, RuntimeError) as error:
            # torch and safetensors report a full disk as errors of their own, without its number.
            if shutil.disk_usage(self.root).free < ROOM_LEFT // 4:
                raise disk_full(self.root) from error
            raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def make_room(self, expected_bytes: int) -> None:
        """Refuse what the disk, or the disk space of a visitor, has no room for. Where room is short for a visitor,
        what only resuming from an older checkpoint needs is removed.

        Raises:
            NoRoom: when the visitor's disk space is used up.
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
            raise NoRoom(
                "limit-reached",
                "Your disk space in this demo has no room for the model.",
                given=f"{max(0, left) / 1e6:,.0f} MB left, {expected_bytes / 1e6:,.0f} MB needed",
                hint="Delete runs or datasets that you no longer need, then resume the run.",
            )
        self.prune(set(self.complete()), last=-1)

    def prune(self, keep: set[int], last: int) -> None:
        """Remove all but these steps; what only resuming needs stays with the last one alone."""
        for step in self.complete():
            if step not in keep:
                self._remove(step)
            elif step != last:
                for path in [path for name in ONLY_FOR_RESUMING for path in self.path(step).glob(name)]:
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def _remove(self, step: int) -> None:
        """First the mark, so that a half-removed one is never taken for a whole one."""
        (self.path(step) / MARKER).unlink(missing_ok=True)
        shutil.rmtree(self.path(step), ignore_errors=True)

    def size(self, step: int) -> int:
        """Bytes of a checkpoint."""
        return sum(file.stat().st_size for file in self.path(step).rglob("*") if file.is_file())


def require_room(folder: Path, expected_bytes: int) -> None:
    """Refuse before writing what would not fit."""
    if shutil.disk_usage(folder).free < expected_bytes + ROOM_LEFT:
        raise disk_full(folder, expected_bytes)


def disk_full(folder: Path, expected_bytes: int = 0) -> StudioError:
    """The plain sentence for a full disk."""
    free = shutil.disk_usage(folder).free
    needed = f", {(expected_bytes + ROOM_LEFT) / 1e6:,.0f} MB needed" if expected_bytes else ""
    return StudioError(
        "disk-full",
        "There is not enough room on the disk to save the model.",
        given=f"{free / 1e6:,.0f} MB free{needed}",
        hint="Everything up to the last checkpoint is safe. Free some room, then resume the run.",
    )


def replace_folder(new: Path, place: Path) -> None:
    """Put a filled folder in the place of another, synced."""
    sync_tree(new)
    put_in_place(new, place)


def _only_for_resuming(name: str) -> bool:
    return any(fnmatch(PurePath(name).parts[0], pattern) for pattern in ONLY_FOR_RESUMING)


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
