"""Requests: what a person asks for. The page, the command line, config files, rerun, extend and search build them."""

from typing import Any

from pydantic import Field, field_validator

from studio.schema.base import FrozenModel
from studio.schema.config import by_field_name


class RunRequest(FrozenModel):
    """The request of a run. Missing values are chosen from the rows, the model and the machine.

    `dataset` and `model` may be missing where a plan or a list of problems is asked for, but not to start a run.
    """

    dataset: str | None = None
    """Id of a dataset."""
    model: str | None = None
    """A starter, a model of the Hub (OWNER/NAME) or a folder."""
    task: str | None = None
    """The task. By default it is inferred from the columns."""
    method: str | None = None
    """The method, for example `lora`. The default depends on task and model."""
    preset: str = "balanced"
    """How long the model trains: `quick`, `balanced` or `thorough`."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Fields of `TrainingConfig` that the user set. Names may have dashes or underscores."""
    roles: dict[str, str] | None = None
    """Column → role; None: as saved with the dataset, or inferred."""
    splits: dict[str, Any] = Field(default_factory=dict)
    """Fields of `SplitSpec` that the user set. The same fields in `settings` take precedence."""
    leave_out: tuple[str, ...] = ()
    """Kinds of data problems whose rows are left out, for example `duplicate`."""
    validation: str | None = None
    """Id of a dataset to validate on, instead of a part of `dataset`."""
    prompts: tuple[str, ...] = ()
    """Test prompts, answered before, during and after training."""
    name: str = ""
    """Name of the run. The default is the file's name."""
    runner: str = "local"
    """The runner: where to train."""

    @field_validator("settings", "splits", mode="before")
    @classmethod
    def _or_empty(cls, value: Any) -> Any:
        return dict(value or {})

    @property
    def all_settings(self) -> dict[str, Any]:
        """Settings and splits by field name, with underscores."""
        return by_field_name({**self.splits, **self.settings})


class SearchRequest(FrozenModel):
    """A hyperparameter search around a run. Without `trials` and `minutes` the budget is 10 trials."""

    run: RunRequest
    """What all trials have in common."""
    trials: int | None = None
    """Maximum number of trials. None: no limit."""
    minutes: float = 0.0
    """Minutes of training over all trials; 0: no limit."""
