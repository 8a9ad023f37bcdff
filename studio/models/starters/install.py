"""Installation of the starter models: atomic, and once if several processes run it at the same time.

Nothing heavy is imported if they are present.
"""

import json
import shutil
import tempfile
from pathlib import Path

from studio.machine.disk import FULL
from studio.machine.locks import alone
from studio.models.starters import ORIGIN, STARTERS, Progress, origin_of, starter_folder
from studio.schema.errors import StudioError


def fetch_starters(progress: Progress | None = None) -> list[Path]:
    """Download the missing starter models. Return all their folders."""
    return [fetch_starter(name, progress) for name in STARTERS]


def fetch_starter(name: str, progress: Progress | None = None) -> Path:
    """Return the folder of a starter model, and download it if it is missing. Raise `StudioError` if that fails."""
    from studio.models.starters.download import fill_folder

    starter, folder, report = STARTERS[name], starter_folder(name), progress or _no_progress
    if origin_of(name):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with alone(folder, lambda: report(f"{name}: waiting for another setup", 0, 0)):
            if origin_of(name):
                return folder
            _remove_incomplete(folder)
            with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder.parent) as work:
                ready = Path(work) / "ready"
                origin = fill_folder(starter, ready, Path(work), report)
                (ready / ORIGIN).write_text(json.dumps(origin, indent=2) + "\n", "utf-8")
                ready.rename(folder)
    except OSError as error:
        raise _disk_error(error, folder.parent) from error
    return folder


def _remove_incomplete(folder: Path) -> None:
    """Remove folders of interrupted installations: those without an origin file. Requires the lock."""
    if folder.exists():
        shutil.rmtree(folder)
    for old in folder.parent.glob(f".{folder.name}-*"):
        shutil.rmtree(old, ignore_errors=True)


def _disk_error(error: OSError, folder: Path) -> StudioError:
    if error.errno in FULL:
        return StudioError(
            "disk-full",
            "The disk has too little free space for the starter models.",
            given=folder,
            valid="1 GB free",
            hint="Free some space, or set STUDIO_CACHE to another folder.",
        )
    return StudioError(
        "broken-model",
        f"The starter models can't be saved: {error.strerror or error}.",
        given=folder,
        hint="Set STUDIO_CACHE to a folder that can be written to.",
    )


def _no_progress(what: str, done: int, total: int) -> None:
    pass
