"""Results of the services, ready to be shown by the page and the command line."""

from dataclasses import dataclass
from typing import Any

from pydantic import Field

from studio.schema.base import FrozenModel
from studio.schema.config import Plan
from studio.schema.dataset import SplitCounts
from studio.schema.models import Estimate, ModelInfo
from studio.schema.report import Answer
from studio.schema.runs import RunRecord
from studio.schema.tools import ExtraTools


@dataclass(frozen=True)
class Page:
    """A part of a list: `count` entries from the one at position `start`, from 1."""

    start: int = 1
    """Position of the first entry."""
    count: int = 12
    """Number of entries."""


FIRST_PAGE = Page()


class RoleView(FrozenModel):
    """What a column can be to a task."""

    name: str
    """Name of the role."""
    title: str
    """Name for people."""
    help: str = ""
    """What the column should have."""
    required: bool = True
    """Rows need a value."""


class TaskView(FrozenModel):
    """A task, and why it can't be chosen (empty: it can)."""

    name: str
    """Name of the task."""
    title: str
    """Name for people."""
    sentence: str
    """What the model will do."""
    term: str
    """The term of the field."""
    sample_in: str
    """An example of an input."""
    sample_out: str
    """The output for it."""
    example_roles: tuple[str, ...] = ()
    """Roles of the columns of the example rows."""
    example_rows: tuple[tuple[str, ...], ...] = ()
    """Example rows."""
    example_note: str = ""
    """A note about these rows."""
    reads_as: str = ""
    """What each row becomes, as a sentence."""
    prompt_noun: str = "texts"
    """What the test prompts are called."""
    chat_hint: str = ""
    """What to know before you chat with both models."""
    unavailable_reason: str = ""
    """Why it can't be chosen. Empty when it can."""
    roles: tuple[RoleView, ...] = ()
    """What columns can be."""


class MethodView(FrozenModel):
    """A method for a model on this machine."""

    name: str
    """Name of the method."""
    title: str
    """Name for people."""
    sentence: str
    """What it does and when to choose it."""
    term: str
    """The term of the field."""
    unavailable_reason: str = ""
    """Why it can't be used. Empty when it can."""
    memory_bytes: int = 0
    """Estimated memory in bytes; 0: not estimated."""
    suggested: bool = False
    """The presets use it for this model and task."""


class PresetView(FrozenModel):
    """A preset in a sentence."""

    name: str
    """Name of the preset."""
    title: str
    """Name for people."""
    sentence: str
    """What it does."""


class ModelView(FrozenModel):
    """A base model as the Model tab lists it."""

    info: ModelInfo
    """The model."""
    sentence: str = ""
    """What it is."""
    good_for: str = ""
    """What it does well."""
    not_for: str = ""
    """What it does badly."""
    unavailable_reason: str = ""
    """Why it can't be chosen for the task on this machine."""
    memory_bytes: int = 0
    """To train it with the lightest usual method, in bytes."""
    available_bytes: int = 0
    """Memory that a run can use, in bytes."""
    fits: str = "fits"
    """`fits`, `tight` or `too-large`."""
    trusted: bool = False
    """The owner allowed its own code or pickled weights."""
    tools: ExtraTools | None = None
    """Packages that must be installed before this model can be converted. None: none, or they are installed."""


class ModelSearch(FrozenModel):
    """What a search for base models found in several sources."""

    models: tuple[ModelView, ...] = ()
    """The models. `info.source` says where each is from."""
    failures: dict[str, str] = Field(default_factory=dict)
    """Source → why it gave no models."""


class DownloadState(FrozenModel):
    """The download of a model."""

    name: str
    """Name of the model."""
    done_bytes: int = 0
    """Downloaded bytes."""
    total_bytes: int = 0
    """Bytes in all."""
    status: str = "running"
    """`running`, `done`, `failed` or `cancelled`."""
    error: str = ""
    """Why it failed."""


class SampleView(FrozenModel):
    """Sample data that the studio ships."""

    name: str
    """Name of the sample."""
    task: str
    """The task that it is for."""
    sentence: str
    """What its rows are."""
    rows: int
    """Number of rows."""
    prompts: tuple[str, ...] = ()
    """Test prompts that fit it."""


class RowPage(FrozenModel):
    """A page of a dataset's rows, as text."""

    columns: tuple[str, ...]
    """Names of the columns."""
    rows: tuple[tuple[int, dict[str, str]], ...]
    """(number from 1, column → text)."""
    start: int
    """Position of the first row, from 1."""
    total: int
    """Number of rows on all pages."""
    marks: dict[int, tuple[tuple[str, str], ...]] = Field(default_factory=dict)
    """Row → (kind of finding, words for its tag)."""


class PlanView(FrozenModel):
    """A run before it starts."""

    plan: Plan
    """The settings, with reasons."""
    estimate: Estimate
    """What the run takes."""
    splits: SplitCounts
    """Rows in each split."""
    usable: int
    """Rows that can be used."""
    allows: str = ""
    """What so many rows allow, in a sentence."""
    language: str = ""
    """A warning if the model was not trained on the language of the rows. Empty if it was, or is unknown."""


class FitView(FrozenModel):
    """Settings with which a run fits the machine."""

    view: PlanView
    """The plan with these settings."""
    method: str
    """Name of the method."""
    settings: dict[str, Any]
    """The settings that were changed."""
    changes: tuple[str, ...]
    """A sentence for each change, the least harmful first. Empty when it already fits."""


class Progress(FrozenModel):
    """A run in words and numbers, for the bar and the command line."""

    record: RunRecord
    """The run."""
    share: float
    """0 to 1."""
    seconds_left: float | None = None
    """Estimated seconds until the end, without pauses. None: unknown."""
    doing: str = ""
    """What it does before its next step, in a sentence. Empty when it trains or does not run."""
    waiting: int = 0
    """Other runs that wait for this machine, while it runs or waits itself."""
    position: int | None = None
    """Runs before it in the queue."""
    short: bool = False
    """It waits for memory. The sentence says how much."""
    sentence: str = ""
    """The state in a sentence."""
    saved: int | None = None
    """The step from which it can resume. None when it would start again, is running, or has finished."""
    way_on: str = ""
    """From which step it resumes, in a sentence. Empty when it is running or has finished."""
    keeps: int | None = None
    """The step of the checkpoint with which it can be finished now. None when it is running, has a result, or has no
    checkpoint."""
    bytes: int = 0
    """Size of its folder in bytes. 0 when it is running or has finished."""


class ChatChunk(FrozenModel):
    """A piece of one of the two replies: `text` is the whole reply so far."""

    who: str
    """`base` or `tuned`."""
    text: str
    """The reply so far."""
    done: bool = False
    """The reply is complete."""
    answer: Answer | None = None
    """The complete reply, when `done`."""


class RowChange(FrozenModel):
    """One row that differs between two versions."""

    kind: str
    """`added`, `removed` or `changed`."""
    before: int | None
    """Its number in the earlier version; None for an added row."""
    after: int | None
    """Its number in the later version; None for a removed row."""
    cells: dict[str, str]
    """Column → text, as it is now, or was when it was removed."""
    changed: dict[str, tuple[str, str]] = Field(default_factory=dict)
    """Column → text before and after, of the cells that changed."""


class Comparison(FrozenModel):
    """Two versions of a dataset side by side, a page of it."""

    dataset: str
    """Id of the dataset."""
    before: int
    """The earlier version."""
    after: int
    """The later version."""
    note: str
    """The note of the later version."""
    added: int
    """Number of added rows."""
    removed: int
    """Number of removed rows."""
    changed: int
    """Number of changed rows."""
    same: int
    """Number of equal rows."""
    columns: tuple[str, ...]
    """Columns of both versions."""
    columns_added: tuple[str, ...] = ()
    """Columns of the later version only."""
    columns_removed: tuple[str, ...] = ()
    """Columns of the earlier version only."""
    rows: tuple[RowChange, ...] = ()
    """The differences on this page."""
    start: int = 1
    """Position of the first one, from 1."""
    total: int = 0
    """Differences of the kind that is shown."""


class HubSplit(FrozenModel):
    """A split of a dataset on the Hub."""

    name: str
    """Name of the split."""
    bytes: int
    """Size of its files in bytes."""
    rows: int | None = None
    """None where the Hub does not say."""


class HubDataset(FrozenModel):
    """A dataset on the Hub, before its rows are fetched."""

    name: str
    """OWNER/NAME."""
    revision: str
    """The commit."""
    licence: str = ""
    """License, as the Hub names it."""
    downloads: int = 0
    """Downloads in the last 30 days."""
    configs: dict[str, tuple[HubSplit, ...]]
    """Config → its splits."""


class Difference(FrozenModel):
    """A setting in which some runs differ."""

    name: str
    """Name of the setting."""
    label: str
    """Name for people."""
    values: tuple[str, ...]
    """Of each run, in words."""


class ComparedRun(FrozenModel):
    """One of several runs on a chart."""

    id: str
    """Id of the run."""
    name: str
    """Name of the run."""
    status: str
    """State of the run."""
    seconds: float | None
    """Training time in seconds."""
    metrics: dict[str, float]
    """Name → value."""
    best_loss: float | None
    """The lowest validation loss after the first step."""
    checks: tuple[tuple[int, float], ...]
    """Step and validation loss."""


class CurvesView(FrozenModel):
    """Several runs beside each other."""

    runs: tuple[ComparedRun, ...]
    """The runs, in the order of the request."""
    differs: tuple[Difference, ...]
    """Settings in which they differ."""
    same_rows: bool
    """All were trained on the same version of a dataset, so their losses can be compared."""


class Stored(FrozenModel):
    """Something that uses disk space."""

    kind: str
    """`model`, `dataset`, `run` or `tokens`."""
    id: str
    """Id of the thing."""
    name: str
    """Name for people."""
    bytes: int
    """Size in bytes."""
    lost: str = ""
    """What is deleted with it."""
    kept_by: str = ""
    """Why it can't be deleted here; empty when it can."""


class StorageView(FrozenModel):
    """Disk usage, the largest first, and the free space."""

    things: tuple[Stored, ...]
    """What uses disk space."""
    free_bytes: int
    """Free bytes on the disk."""
    bucket: str = ""
    """When this data folder was saved to its bucket, or why not. Empty without a bucket, and for visitors of a demo."""
