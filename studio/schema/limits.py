"""What one person may take of a machine: tight limits for the visitors of a public demo, none for its owner.

A limit of 0 means "no limit". `studio serve --demo --limit NAME=VALUE` and `STUDIO_LIMITS` change single ones; the demo
server writes them into its data folder, so that workers and the model host enforce what the server was started with.
"""

import os
from collections.abc import Sequence

from pydantic import Field, ValidationError

from studio.schema.base import FrozenModel
from studio.schema.errors import StudioError

MB = 10**6
LIMITS_VARIABLE = "STUDIO_LIMITS"
"""Environment variable with limits of a demo: `run_minutes=20,chat_tokens=512`."""


class Limits(FrozenModel):
    """Every limit, with its unit in its description. The defaults are those of a public demo."""

    upload_mb: int = Field(5, ge=0)
    """Size of one uploaded file, in MB."""
    waiting_uploads: int = Field(40, ge=0)
    """Uploaded files of a visitor that were not read yet."""
    rows_per_dataset: int = Field(20_000, ge=0)
    """Rows of one dataset."""
    columns_per_dataset: int = Field(100, ge=0)
    """Columns of one dataset."""
    cell_characters: int = Field(100_000, ge=0)
    """Characters of one cell."""
    decoded_mb: int = Field(100, ge=0)
    """Size of a dataset in memory after decoding (a compressed file can be far smaller), in MB."""

    running_runs: int = Field(1, ge=0)
    """Runs of a visitor that train at the same time."""
    waiting_runs: int = Field(1, ge=0)
    """Runs of a visitor that wait in the queue."""
    runs_per_address: int = Field(4, ge=0)
    """Running and waiting runs of all visitors with the same network address."""
    run_minutes: float = Field(15, ge=0)
    """Training time of one run, in minutes. After it the run stops and keeps the best checkpoint."""
    run_steps: int = Field(2_000, ge=0)
    """Training steps of one run."""
    run_rows: int = Field(5_000, ge=0)
    """Training rows of one run."""

    workspace_mb: int = Field(500, ge=0)
    """Disk space of everything a visitor owns: datasets, checkpoints, results and exports, in MB."""
    total_mb: int = Field(20_000, ge=0)
    """Disk space of all visitors together, in MB."""
    workspace_hours: float = Field(24, ge=0)
    """Hours without a visit after which a workspace is deleted."""
    workspaces: int = Field(500, ge=0)
    """Workspaces of visitors on the disk."""
    workspaces_per_address: int = Field(30, ge=0)
    """New workspaces per network address and hour."""

    chat_tokens: int = Field(256, ge=0)
    """Tokens of one reply."""
    chats_at_once: int = Field(1, ge=0)
    """Chats of a visitor that are answered at the same time."""
    actions_at_once: int = Field(2, ge=0)
    """Page actions of a visitor that are handled at the same time; further ones wait."""
    waiting_actions: int = Field(30, ge=0)
    """Page actions of a visitor that may wait. Further ones are refused."""
    jobs_at_once: int = Field(1, ge=0)
    """Long jobs of a visitor (reading a file, evaluation, export) that run at the same time."""

    def over(self, name: str, value: float) -> bool:
        """Whether a value is larger than a limit allows."""
        limit = getattr(self, name)
        return bool(limit) and value > limit


DEMO = Limits()
OWNER = Limits(**{name: 0 for name in Limits.model_fields})
"""The owner of the machine has no limits but those of the machine."""


def demo_limits(assignments: Sequence[str] = ()) -> Limits:
    """The limits of a demo: the defaults, changed by `STUDIO_LIMITS` and then by `NAME=VALUE` assignments.

    Raises:
        StudioError `bad-setting`: for an unknown name, or a value that is not a number of 0 or more.
    """
    from_environment = [part for part in os.environ.get(LIMITS_VARIABLE, "").split(",") if part.strip()]
    changes: dict[str, str] = {}
    for assignment in (*from_environment, *assignments):
        name, _, value = assignment.partition("=")
        if name.strip() not in Limits.model_fields:
            raise StudioError(
                "bad-setting",
                "There is no limit with this name.",
                given=name.strip(),
                valid=sorted(Limits.model_fields),
                hint="Write it as NAME=VALUE, for example run_minutes=20.",
            )
        changes[name.strip()] = value.strip()
    try:
        return Limits.model_validate(changes)
    except ValidationError as error:
        first = error.errors()[0]
        raise StudioError(
            "bad-setting",
            f"The limit {first['loc'][0]} can't have this value.",
            given=str(first["input"]),
            valid="a number of 0 or more (0 means no limit)",
        ) from error
