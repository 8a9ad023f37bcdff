"""What a run's files tell: the end of a log, from which checkpoints it can go on, which rows it learned from."""

from pathlib import Path

from studio.schema.runs import RunSpec
from studio.training.checkpoints import Checkpoints


def rows_of(spec: RunSpec) -> list[tuple[str, int]]:
    """(dataset, version) of all rows that a run needs."""
    asked = [(spec.dataset, spec.dataset_version)]
    asked += [(spec.validation_dataset, spec.validation_version)] if spec.validation_dataset else []
    return asked + ([(spec.replay.dataset, spec.replay.version)] if spec.replay else [])


def resumable_steps(checkpoints: Path) -> list[int]:
    """Steps of the checkpoints in a folder that have all that going on needs."""
    return Checkpoints(checkpoints).resumable() if checkpoints.exists() else []


def resumable_step(checkpoints: Path) -> int | None:
    """The newest of them."""
    return next(reversed(resumable_steps(checkpoints)), None)


def end_of(path: Path, most: int) -> str:
    """The last bytes of a log as text; nothing where there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - most))
        return file.read().decode(errors="replace")
