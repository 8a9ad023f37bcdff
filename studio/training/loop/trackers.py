"""Experiment trackers that a run can report to, through transformers' integrations. Off by default. Accounts and
settings of a tracker are read from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from studio.machine.packages import is_installed

TRACKER_FOLDER = "mirror"
"""Folder in the run's folder for trackers that write files."""


@dataclass(frozen=True)
class ExperimentTracker:
    """An experiment tracker."""

    name: str
    title: str
    package: str
    """The package that must be installed."""
    needs: str = ""
    """A second package that it requires."""
    folder_variable: str = ""
    """Environment variable with the location of its files."""
    folder_format: str = "{folder}"
    """Format of that variable's value."""
    may_use_hub: bool = False
    """It may store its data in a Space, and then needs the Hub."""

    def unavailable_reason(self) -> str:
        """Why it can't be used on this machine. Empty when it can."""
        missing = [name for name in (self.package, self.needs) if name and not is_installed(name)]
        if not missing:
            return ""
        packages = " ".join(missing)
        return f"{self.title} is not installed. Install it with: pip install {packages}"


TRACKERS: dict[str, ExperimentTracker] = {
    each.name: each
    for each in (
        ExperimentTracker("tensorboard", "TensorBoard", "tensorboard", folder_variable="TENSORBOARD_LOGGING_DIR"),
        ExperimentTracker("trackio", "trackio", "trackio", may_use_hub=True),
        ExperimentTracker("wandb", "Weights & Biases", "wandb", folder_variable="WANDB_DIR"),
        # which would write into the folder that the server was started in
        ExperimentTracker(
            "mlflow",
            "MLflow",
            "mlflow",
            folder_variable="MLFLOW_TRACKING_URI",
            folder_format="sqlite:///{folder}/mlflow.db",
        ),
    )
}
"""By the names of transformers' `report_to`."""


def needs_hub(name: str) -> bool:
    """Whether a run with this tracker must be able to contact the Hub."""
    return name in TRACKERS and TRACKERS[name].may_use_hub


def tracker_arguments(name: str, run_name: str, folder: Path) -> Mapping[str, str]:
    """The `TrainingArguments` for a tracker. Sets the location of its files in the environment unless the user has
    set it."""
    if name == "none":
        return {"report_to": "none"}
    tracker = TRACKERS[name]
    if tracker.folder_variable:
        place = folder / TRACKER_FOLDER
        place.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault(tracker.folder_variable, tracker.folder_format.format(folder=place))
    return {"report_to": name, "run_name": run_name or "run", "project": "finetune-studio"}
