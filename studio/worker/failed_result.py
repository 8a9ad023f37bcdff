"""The result of a run that failed: after the loss diverged, the best checkpoint was saved."""

from typing import Any

from studio.store.run_folder import RunFolder
from studio.training.loop.checkpoints import Checkpoints


def result_stamp(folder: RunFolder) -> tuple[int, int] | None:
    """Another value when the result was written again. None when there is no result."""
    status = folder.result.stat() if folder.result else None
    return (status.st_ino, status.st_mtime_ns) if status else None


def result_columns(folder: RunFolder) -> dict[str, Any]:
    """Step and metrics of the checkpoint that was saved as the result, as columns of the run."""
    kept = Checkpoints(folder.checkpoints).to_keep()
    if kept is None:
        return {}
    step, progress = kept
    metrics: dict[str, float | None] = {"base_eval_loss": progress.base_loss}
    if step == progress.best_step:
        metrics |= {"eval_loss": progress.best_loss, **progress.best_metrics}
    return {"best_step": step, "metrics": {name: value for name, value in metrics.items() if value is not None}}
