"""What a run is made of: its rows, model and settings, as training is given them."""

from typing import Any

from studio.machine.facts import usable_cores
from studio.models import ask_no_hub, find_model
from studio.schema.runs import RunSpec
from studio.store import Workspace
from studio.training.loading import TrainingJob
from studio.training.mirrors import asks_hub
from studio.worker.rows import rows_of_run


def job_of(workspace: Workspace, run: str, spec: RunSpec) -> tuple[TrainingJob, dict[str, Any]]:
    """The job, and which rows are in which part. Where all is on this machine, the Hub is not asked from here on."""
    home, runs = workspace.home, workspace.runs
    info = find_model(spec.config.model, token=home.hub_token())
    if info.here and not asks_hub(spec.config.mirror):
        ask_no_hub()
    rows = rows_of_run(workspace.datasets, spec)
    job = TrainingJob(
        config=spec.config,
        info=info,
        data=spec.data,
        train_rows=rows.train,
        validation_rows=rows.validation,
        folder=runs.folder(run).root,
        threads=spec.config.threads or usable_cores(),
        trusted=home.trusts(info),
        begins_with=runs.folder(spec.config.start_from).result if spec.config.start_from else None,
        kept=workspace.encoded,
    )
    return job, rows.splits
