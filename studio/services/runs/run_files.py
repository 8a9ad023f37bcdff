"""What a run's files tell: the end of a log, and from which checkpoints it can go on."""

from pathlib import Path

from studio.training.loop.checkpoints import Checkpoints


def resumable_steps(checkpoints: Path) -> list[int]:
    """Steps of the checkpoints in a folder that have all that going on needs."""
    return Checkpoints(checkpoints).resumable() if checkpoints.exists() else []


def resumable_step(checkpoints: Path) -> int | None:
    """The newest of them."""
    return next(reversed(resumable_steps(checkpoints)), None)


def step_to_keep(checkpoints: Path, keep_best: bool) -> int | None:
    """The step whose weights a run would keep that is ended as it is; None when there is none."""
    found = Checkpoints(checkpoints).newest_loadable() if checkpoints.exists() else None
    if found is None:
        return None
    best = found[1].best_step if keep_best else None
    return best if best in Checkpoints(checkpoints).loadable() else found[1].step


def end_of(path: Path, most: int) -> str:
    """The last bytes of a log as text; nothing where there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - most))
        return file.read().decode(errors="replace")
