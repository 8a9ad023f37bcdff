"""What api.py hands to page and command line: facts already judged, ready to be shown."""

from typing import Any, NamedTuple

from pydantic import Field

from studio.schema.base import FrozenModel
from studio.schema.config import Plan
from studio.schema.dataset import SplitCounts
from studio.schema.models import Estimate, ModelInfo
from studio.schema.report import Answer, ExportResult
from studio.schema.runs import RunRecord


class Page(NamedTuple):
    """A part of a list: `count` entries from the one at position `start`, from 1."""

    start: int = 1
    count: int = 12


FIRST_PAGE = Page()


class RoleView(FrozenModel):
    """What a column can be to a task."""

    name: str
    title: str
    help: str = ""
    required: bool = True


class TaskView(FrozenModel):
    """A task, and why it can't be chosen (empty: it can)."""

    name: str
    title: str
    sentence: str
    term: str
    sample_in: str
    sample_out: str
    example_roles: tuple[str, ...] = ()
    """Roles of the columns of the example rows."""
    example_rows: tuple[tuple[str, ...], ...] = ()
    example_note: str = ""
    reads_as: str = ""
    """What each row becomes, as a sentence."""
    prompt_noun: str = "texts"
    """What the test prompts are called."""
    chat_hint: str = ""
    """What a person should know before they ask both models something."""
    unavailable_reason: str = ""
    roles: tuple[RoleView, ...] = ()


class MethodView(FrozenModel):
    """A method for a model on this machine."""

    name: str
    title: str
    sentence: str
    term: str
    unavailable_reason: str = ""
    memory_bytes: int = 0


class PresetView(FrozenModel):
    """A preset in a sentence."""

    name: str
    title: str
    sentence: str


class ModelView(FrozenModel):
    """A base model as the Model tab lists it."""

    info: ModelInfo
    sentence: str = ""
    good_for: str = ""
    not_for: str = ""
    unavailable_reason: str = ""
    """Why it can't be chosen for the task on this machine."""
    memory_bytes: int = 0
    """To train it with the lightest usual method, in bytes."""
    available_bytes: int = 0
    fits: str = "fits"
    """`fits`, `tight` or `too-large`."""
    trusted: bool = False
    """The owner allowed its own code or pickled weights."""


class DownloadState(FrozenModel):
    """A model on its way here."""

    name: str
    done_bytes: int = 0
    total_bytes: int = 0
    status: str = "running"
    """`running`, `done`, `failed` or `cancelled`."""
    error: str = ""


class SampleView(FrozenModel):
    """Sample data that the studio ships."""

    name: str
    task: str
    sentence: str
    rows: int
    prompts: tuple[str, ...] = ()


class RowPage(FrozenModel):
    """A page of a dataset's rows, as text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]
    """(number from 1, column → text)."""
    start: int
    total: int
    marks: dict[int, tuple[tuple[str, str], ...]] = Field(default_factory=dict)
    """Row → (kind of finding, words for its tag)."""


class PlanView(FrozenModel):
    """A run before it starts."""

    plan: Plan
    estimate: Estimate
    splits: SplitCounts
    usable: int
    allows: str = ""
    """What so many rows allow, in a sentence."""


class FitView(FrozenModel):
    """Settings with which a run fits the machine."""

    view: PlanView
    method: str
    settings: dict[str, Any]
    """What is set by hand from now on."""
    changes: tuple[str, ...]
    """A sentence for each change, least harm first; empty when it fitted as it was."""


class Progress(FrozenModel):
    """A run in words and numbers, for the bar and the command line."""

    record: RunRecord
    share: float
    """0 to 1."""
    seconds_left: float | None = None
    position: int | None = None
    """Runs before it in the queue."""
    short: bool = False
    """It waits for memory; the sentence says how much."""
    sentence: str = ""
    saved: int | None = None
    """The step from which it can go on; None when it would start again, or is at work, or has finished."""
    way_on: str = ""
    """From where it goes on, in words; empty when it is at work or has finished."""
    keeps: int | None = None
    """The step with which it could be ended as it is; None when it is at work, has a result, or saved none."""
    bytes: int = 0
    """What its folder takes on the disk; 0 when it is at work or has finished."""


class ChatChunk(FrozenModel):
    """A piece of one of the two replies: `text` is the whole reply so far."""

    who: str
    text: str
    done: bool = False
    answer: Answer | None = None


class ExportView(FrozenModel):
    """A form in which a run can be taken away."""

    format: str
    title: str
    sentence: str
    bytes: int
    unavailable_reason: str = ""
    done: ExportResult | None = None


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
    before: int
    after: int
    note: str
    """What the later version says of itself."""
    added: int
    removed: int
    changed: int
    same: int
    columns: tuple[str, ...]
    columns_added: tuple[str, ...] = ()
    columns_removed: tuple[str, ...] = ()
    rows: tuple[RowChange, ...] = ()
    start: int = 1
    total: int = 0
    """Differences of the kind that is shown."""


class HubSplit(FrozenModel):
    """A split of a dataset on the Hub."""

    name: str
    bytes: int
    rows: int | None = None
    """None where the Hub does not say."""


class HubDataset(FrozenModel):
    """A dataset on the Hub, before its rows are fetched."""

    name: str
    revision: str
    licence: str = ""
    downloads: int = 0
    configs: dict[str, tuple[HubSplit, ...]]


class Difference(FrozenModel):
    """A setting in which some runs differ."""

    name: str
    label: str
    values: tuple[str, ...]
    """Of each run, in words."""


class ComparedRun(FrozenModel):
    """One of several runs on a chart."""

    id: str
    name: str
    status: str
    seconds: float | None
    metrics: dict[str, float]
    best_loss: float | None
    """The lowest validation loss after the first step."""
    checks: tuple[tuple[int, float], ...]
    """Step and validation loss."""


class CurvesView(FrozenModel):
    """Several runs beside each other."""

    runs: tuple[ComparedRun, ...]
    differs: tuple[Difference, ...]
    same_rows: bool
    """All learned from the same version of the same rows, so that their losses can be compared."""


class Stored(FrozenModel):
    """Something that takes room on the disk."""

    kind: str
    """`model`, `dataset`, `run` or `tokens`."""
    id: str
    name: str
    bytes: int
    lost: str = ""
    """What goes with it when it is deleted."""
    kept_by: str = ""
    """Why it can't be deleted here; empty when it can."""


class StorageView(FrozenModel):
    """What takes room, the largest first, and how much is left."""

    things: tuple[Stored, ...]
    free_bytes: int
