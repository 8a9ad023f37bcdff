"""Projects: what groups datasets, runs, labels and drafts."""

from pydantic import Field

from studio.schema.base import FrozenModel


class ProjectRecord(FrozenModel):
    """A project. It is saved in the folder of its workspace."""

    id: str
    """Name of the workspace: `default`, or `project-` and eight digits."""
    title: str
    """Its name. No two projects have the same one."""
    created: str = ""
    """ISO 8601 in UTC. Empty for the default project of an older data folder."""
    deleted: str = ""
    """When it was deleted. It keeps everything until it is removed for good."""


class ProjectView(ProjectRecord):
    """A project with what is inside."""

    datasets: int = 0
    """Number of datasets."""
    runs: int = 0
    """Number of runs."""
    bytes: int = 0
    """Disk space of everything in it."""
    active: str = ""
    """Name of a run that is running or queued. Empty: there is none."""


class ExportedDataset(FrozenModel):
    """A dataset in the file of a project."""

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,80}$")
    versions: tuple[int, ...] = Field(min_length=1, max_length=100_000)
    """Numbers of its versions."""
    current: int
    """The version that is used."""


class ProjectManifest(FrozenModel):
    """The description of a project in its file: `project.json`."""

    format: int = 1
    """Version of the layout of the file."""
    title: str = Field(max_length=400)
    created: str = Field(default="", max_length=40)
    datasets: tuple[ExportedDataset, ...] = Field(default=(), max_length=100_000)
    """Oldest first."""
    runs: tuple[str, ...] = Field(default=(), max_length=100_000)
    """Ids, oldest first."""


class LabelChoices(FrozenModel):
    """What was chosen for labeling a dataset: the kind of work, its columns, and the order of rows."""

    work: str = Field(default="", pattern=r"^(|label|reply|choice)$")
    task: str = Field(default="", max_length=80)
    columns: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Kind of work → purpose → column."""
    orders: dict[str, str] = Field(default_factory=dict)
    """Labeler → order."""
