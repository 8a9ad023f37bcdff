"""Predictions of a run's model for many rows, as they are saved in the folder of the run."""

from typing import Any, Literal

from pydantic import Field

from studio.schema.base import FrozenModel

Which = Literal["all", "unlabeled"]
"""Rows that are predicted: all of a dataset, or those without a label."""
REVIEWS = ("accepted", "corrected", "not reviewed")
"""What a person decided about a predicted label."""


class PredictedRow(FrozenModel):
    """The prediction for one row."""

    row: int
    """Its number, from 1."""
    prediction: str
    """The label, the score or the reply. Empty for a row without input."""
    confidence: float | None = None
    """Probability of the label, 0 to 1. None for scores and replies."""
    labels: tuple[tuple[str, float], ...] = ()
    """(label, probability) of the likeliest labels, likeliest first. Empty for several labels, scores and replies."""


class FileRequest(FrozenModel):
    """A file with all rows of DATA and their predictions."""

    run: str
    """Id of the run."""
    data: str
    """DATA as on the command line: a file, a folder, a dataset's id, `sample:NAME` or `hf:OWNER/NAME`."""
    out: str
    """The file to write. Its extension names the format."""
    base: bool = False
    """Predict with the base model."""
    restart: bool = False
    """Predict all rows again, also those that have a prediction."""
    reading: dict[str, Any] = Field(default_factory=dict)
    """How DATA is read: fields of `Reading`."""


class FileJob(FrozenModel):
    """What a file with predictions is made from. The same again continues; anything else is refused."""

    out: str
    """Absolute path of the file."""
    digest: str
    """SHA-256 of the files of DATA, or the name and version of a dataset."""
    reading: dict[str, Any] = Field(default_factory=dict)
    """As in `FileRequest`."""


class PredictionSet(FrozenModel):
    """The predictions of one run for one version of a dataset."""

    id: str
    run: str
    """Id of the run."""
    dataset: str
    version: int
    name: str
    """The dataset's name for people."""
    which: Which = "all"
    total: int
    """Rows to predict."""
    done: int = 0
    """Rows that are saved."""
    step: int | None = None
    """The training step of the model that predicts. Another step is another model."""
    base: bool = False
    """The base model predicted."""
    roles: dict[str, str] = Field(default_factory=dict)
    """Column → role, as the rows were read. Empty: predicted by an earlier version of the studio."""
    job: FileJob | None = None
    """The file that they are for, when `studio predict` began them."""
    created: str
    """ISO 8601 in UTC."""
    seconds: float = 0.0
    """Time that it took, with loading the model."""
    note: str = ""
    """Why it ended early. Empty: it did not, or a person canceled it."""

    @property
    def complete(self) -> bool:
        """Whether each row has its prediction."""
        return self.done >= self.total
