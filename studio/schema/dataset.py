"""Datasets: records, how files are read, roles of columns, splits, and reports of the data checks."""

from typing import Any, Literal

from pydantic import Field

from studio.schema.base import FrozenModel
from studio.schema.spans import Spans

Severity = Literal["error", "warning", "note"]
SplitName = Literal["train", "validation", "test"]
PIECES = ("document", "heading", "line", "length")
"""What a row of a plain text can be."""


class Reading(FrozenModel):
    """Options of how a file is read. Each format uses those that it has; the default is detection."""

    delimiter: str = ""
    """The character between two cells."""
    encoding: str = ""
    """The encoding of a text file, for example cp1252."""
    header: bool | None = None
    """Whether the first line has the names of the columns."""
    sheet: str = ""
    """The sheet of a workbook."""
    pieces: str = ""
    """What a row of a plain text is: the document, a section, a line, or a piece of some length (`PIECES`)."""
    hub_config: str = ""
    """The config of a dataset on the Hub."""
    hub_split: str = ""
    """The split of a dataset on the Hub. The default is all of them."""
    row_limit: int = Field(default=0, ge=0)
    """Maximum number of rows of each split. 0: the default."""
    ask: bool = Field(default=False, exclude=True)
    """Refuse ambiguous files, for example several sheets with rows, instead of taking the first."""

    @property
    def named_fields(self) -> dict[str, Any]:
        """All options that were given, also with their default value."""
        return self.model_dump(include=self.model_fields_set - {"ask"})

    @property
    def chosen(self) -> dict[str, Any]:
        """The options without those that have their default value."""
        return self.model_dump(exclude_defaults=True)


AS_FOUND = Reading()


class BadLine(FrozenModel):
    """A line or cell that can't be read."""

    line: int
    """Line of the file, from 1, as an editor counts."""
    why: str
    row: int = 0
    """The number of its row, from 1. A bad line keeps its number."""


class Problem(FrozenModel):
    """One kind of problem that the data checks found."""

    kind: str
    """The check that found it (data/checks)."""
    severity: Severity
    rows: tuple[int, ...] = ()
    """The first 100 rows, from 1 in the order of the file."""
    every: Spans = Field(default=(), exclude=True)
    """All rows. Not in JSON."""
    count: int
    """Rows that the fix changes or removes (of duplicates: all but the first)."""
    message: str
    """What was found, in a sentence."""
    why: str = ""
    """Why it matters, in a sentence."""
    fix: str = ""
    """What the fix does, in a few words. Empty when there is none."""


class CheckReport(FrozenModel):
    """The result of the data checks."""

    task: str
    task_reason: str = ""
    """Why this task was inferred. Empty when the task was given."""
    rows: int
    usable: int
    columns: dict[str, str | None]
    """Column → role, or None when the column is not used."""
    notes: tuple[str, ...] = ()
    """Notes about how the rows were read, as in `DatasetRecord.notes`."""
    problems: tuple[Problem, ...] = ()
    labels: dict[str, int] = Field(default_factory=dict)
    """Label → number of usable rows, for tasks with labels."""
    blocked: str = ""
    """Why no run can use the dataset. Empty when one can."""


class SplitSpec(FrozenModel):
    """How rows are split. None: by the number of rows (docs/reference/data.md)."""

    validation_share: float | None = None
    test_share: float | None = None
    seed: int = 42
    group_column: str = ""
    """Rows with equal values in this column stay in one split."""
    time_column: str = ""
    """The latest rows are for the test set, those before them for validation."""
    split_column: str = ""
    """The column that names each row's split. Empty: the file's own column, if any. `none`: ignored."""
    stable_splits: bool = False
    """The split of a row depends on its content or group only, whatever rows are added, removed or moved."""


class Fold(FrozenModel):
    """One fold of a cross-validation: its rows are the test split."""

    number: int = Field(ge=1)
    """Number of the fold, from 1."""
    count: int = Field(ge=2)
    """Number of folds."""


class SplitCounts(FrozenModel):
    """Rows in each split, and the reason in a sentence."""

    train: int
    validation: int
    test: int
    because: str = ""


class DatasetSpec(FrozenModel):
    """How a dataset's rows are read: all that a run needs beside the rows."""

    task: str
    roles: dict[str, str]
    """Column → role. Columns without a role are left out."""
    left_out: tuple[str, ...] = ()
    """Kinds of problems whose rows are left out."""
    rows_left_out: Spans = ()
    """The rows that were left out with these kinds. Lines that can't be read are not among them."""
    label_names: tuple[str, ...] = ()
    """Labels in the order of their class ids."""
    splits: SplitSpec | None = None
    """The saved split settings. None: the run's settings apply."""


class DatasetRecord(FrozenModel):
    """A version of a dataset."""

    id: str
    name: str
    """The name of the file or the sample."""
    version: int
    note: str
    """What this version changed, in a sentence."""
    created: str
    rows: int
    columns: tuple[str, ...]
    bytes: int
    source: str
    """`file`, `sample:NAME`, `hf:OWNER/NAME` or `pasted`."""
    format: str
    bad_lines: tuple[BadLine, ...] = ()
    """Lines that could not be read."""
    bad_line_count: int = 0
    spec: DatasetSpec | None = None
    """The saved spec. None before the roles were saved."""
    split_column: str | None = None
    """The column of splits, when the file has its own."""
    files: tuple[str, ...] = ()
    """Names of the original files in the order in which they are saved. Empty for a version made by a change."""
    asked: Reading = AS_FOUND
    """The options that were given for reading."""
    found: Reading = AS_FOUND
    """The options that were used for reading."""
    notes: tuple[str, ...] = ()
    """Unusual facts about how the files were read, a sentence each: two columns with one name, an encoding other than
    UTF-8, sheets or files that were not read.
    """
    sheets: tuple[str, ...] = ()
    """Sheets of a workbook that have rows."""


class DatasetEntry(DatasetRecord):
    """A dataset of the library: its current version, and what was made of it."""

    task: str = ""
    """The task that it is read as. Empty where the columns do not show it."""
    labeled: int | None = None
    """Rows with a label, a reply or a preference. None: no row was labeled in the studio."""
    versions: int = 1
    """Number of versions."""
    runs: tuple[str, ...] = ()
    """Names of the runs that were trained on it, newest first."""
    used_by: str = ""
    """The queued or running run that uses it, so that it can't be deleted now."""
    disk_bytes: int = 0
    """Disk space of all versions."""
