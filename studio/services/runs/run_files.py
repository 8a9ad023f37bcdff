"""Files of a run: the end of its log, and the checkpoints that it can resume from."""

from pathlib import Path

from studio.training.loop.checkpoints import Checkpoints


def resumable_steps(checkpoints: Path) -> list[int]:
    """Steps of the complete checkpoints in a folder."""
    return Checkpoints(checkpoints).resumable() if checkpoints.exists() else []


def resumable_step(checkpoints: Path) -> int | None:
    """The newest resumable step."""
    return next(reversed(resumable_steps(checkpoints)), None)


def step_to_keep(checkpoints: Path, keep_best: bool) -> int | None:
    """The step whose weights are the result when the run is ended now. None when there is none."""
    kept = Checkpoints(checkpoints).to_keep(keep_best) if checkpoints.exists() else None
    return kept[0] if kept else None


def end_of(path: Path, most: int) -> str:
    """The last bytes of a log as text. Empty when there is no log."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - most))
        return file.read().decode(errors="replace")
