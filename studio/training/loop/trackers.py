"""Where a run's numbers can be sent besides: the registry of mirrors, by transformers' own integrations. Off unless
chosen; what is sent where is the mirror's own affair, its account and its settings are read from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

FOLDER = "mirror"
"""In the run's folder, for mirrors that write files."""


@dataclass(frozen=True)
class Mirror:
    """Another program that draws curves."""

    name: str
    title: str
    package: str
    """What must be installed."""
    needs: str = ""
    """A package besides."""
    folder_variable: str = ""
    """Environment variable that says where its files go."""
    folder_words: str = "{folder}"
    """How that is said."""
    on_hub: bool = False
    """It may keep its numbers in a Space, and has to ask the Hub then."""

    def unavailable_reason(self) -> str:
        """Why it can't be used here; empty when it can."""
        missing = [name for name in (self.package, self.needs) if name and find_spec(name) is None]
        if not missing:
            return ""
        return f"{self.title} is not installed here. Install it with: pip install {' '.join(missing)}"


MIRRORS: dict[str, Mirror] = {
    each.name: each
    for each in (
        Mirror("tensorboard", "TensorBoard", "tensorboard", folder_variable="TENSORBOARD_LOGGING_DIR"),
        Mirror("trackio", "trackio", "trackio", on_hub=True),
        Mirror("wandb", "Weights & Biases", "wandb", folder_variable="WANDB_DIR"),
        # which would write into the folder that the server was started in
        Mirror(
            "mlflow",
            "MLflow",
            "mlflow",
            folder_variable="MLFLOW_TRACKING_URI",
            folder_words="sqlite:///{folder}/mlflow.db",
        ),
    )
}
"""By the names of transformers' `report_to`."""


def asks_hub(name: str) -> bool:
    """Whether a run with this mirror must be able to ask the Hub."""
    return name in MIRRORS and MIRRORS[name].on_hub


def arguments_of(name: str, run_name: str, folder: Path) -> Mapping[str, str]:
    """What `TrainingArguments` are told, and the environment set for where files go, unless a person has set it."""
    if name == "none":
        return {"report_to": "none"}
    mirror = MIRRORS[name]
    if mirror.folder_variable:
        place = folder / FOLDER
        place.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault(mirror.folder_variable, mirror.folder_words.format(folder=place))
    return {"report_to": name, "run_name": run_name or "run", "project": "finetune-studio"}
