"""The rows, model and settings of a run, as training needs them."""

from typing import Any

from studio.machine.facts import usable_cores
from studio.models import disable_hub_access
from studio.schema.errors import StudioError
from studio.schema.runs import RunSpec
from studio.store import Workspace
from studio.store.demo_rules import limited, require_allowed
from studio.store.quota import Quota
from studio.training.loop.checkpoints import Checkpoints
from studio.training.loop.loading import TrainingJob
from studio.training.loop.trackers import needs_hub
from studio.worker.rows import rows_of_run


def training_job(
    workspace: Workspace, run: str, spec: RunSpec, finalize_only: bool = False
) -> tuple[TrainingJob, dict[str, Any]]:
    """The job, and the row numbers of each split. If all files are on this machine, the Hub is not contacted from here
    on.

    A run that should start from another run's result is refused if that is gone. `finalize_only`: take no more steps,
    and make the checkpoint the result. Enforces the rules and limits for visitors whatever the spec says.
    """
    require_allowed(workspace, spec)
    home, runs, start = workspace.home, workspace.runs, spec.config.start_from
    folder, start_weights = runs.folder(run), runs.folder(start).result if start else None
    saved = Checkpoints(folder.checkpoints)
    if start and start_weights is None and not (saved.loadable() if finalize_only else saved.resumable()):
        raise StudioError(
            "no-such-run",
            "The result that this run should start from was deleted.",
            given=start,
            hint="Start a new run from another result, or from the base model.",
            field="start_from",
        )
    info, limits = workspace.find_model(spec.config.model), workspace.limits
    if workspace.is_visitors or (info.here and not needs_hub(spec.config.mirror)):
        disable_hub_access()
    rows = rows_of_run(workspace.datasets, spec, limits.run_rows)
    job = TrainingJob(
        config=limited(spec.config, limits),
        info=info,
        data=spec.data,
        train_rows=rows.train,
        validation_rows=rows.validation,
        folder=folder.root,
        threads=spec.config.threads or usable_cores(),
        trusted=home.trusts(info),
        start_weights=start_weights,
        token_cache=workspace.encoded,
        finalize_only=finalize_only,
        disk_left=Quota(workspace).left if workspace.is_visitors else None,
    )
    return job, rows.splits
