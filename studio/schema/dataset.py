"""What is known of a dataset: its columns, the roles they play, its splits, and the doctor's findings."""

from typing import Any, Literal

from pydantic import Field

from studio.schema.base import FrozenModel
from studio.schema.spans import Spans

Severity = Literal["error", "warning", "note"]
SplitName = Literal["train", "validation", "test"]
PIECES = ("document", "heading", "line", "length")
"""What a row of a plain text can be."""


class Reading(FrozenModel):
    """How a file is to be read, where a person does not leave it to the studio. Formats take what concerns them."""

    delimiter: str = ""
    """What stands between two cells: one character."""
    encoding: str = ""
    """The encoding of a text file, cp1252 say."""
    header: bool | None = None
    """Whether the first line holds the names of the columns."""
    sheet: str = ""
    """The sheet of a workbook."""
    pieces: str = ""
    """What a row of a plain text is: the document, a section, a line, or a piece of some length (`PIECES`)."""
    hub_config: str = ""
    """Of a dataset on the Hub: its config."""
    hub_split: str = ""
    """The split; all of them unless told."""
    row_limit: int = Field(default=0, ge=0)
    """The most rows of each split that are fetched; 0 leaves it to the studio."""
    ask: bool = Field(default=False, exclude=True)
    """Refuse where only a person can tell, several sheets with rows say, instead of taking the first."""

    @property
    def named_fields(self) -> dict[str, Any]:
        """What was named at all, also where it leaves things to the studio again."""
        return self.model_dump(include=self.model_fields_set - {"ask"})

    @property
    def chosen(self) -> dict[str, Any]:
        """What a person said, without what is left to the studio."""
        return self.model_dump(exclude_defaults=True)


AS_FOUND = Reading()


class BadLine(FrozenModel):
    """A line or cell that can't be read."""

    line: int
    """Line of the file, from 1, as an editor counts."""
    why: str
    row: int = 0
    """The row that it would be, from 1: a bad line keeps its number."""


class Problem(FrozenModel):
    """One finding of the doctor."""

    kind: str
    """The check that found it (data/checks)."""
    severity: Severity
    rows: tuple[int, ...] = ()
    """The first 100 rows concerned, from 1 in the order of the file."""
    every: Spans = Field(default=(), exclude=True)
    """All of them; not in what is printed."""
    count: int
    """Rows that the fix would change or remove (of copies: all but the first)."""
    message: str
    """A sentence: what was found."""
    why: str = ""
    """Why it matters, in a sentence."""
    fix: str = ""
    """What the fix would do, in a few words; empty when there is none."""


class CheckReport(FrozenModel):
    """What `studio check` finds."""

    task: str
    task_reason: str = ""
    """How the task was found, when it was not asked for."""
    rows: int
    usable: int
    columns: dict[str, str | None]
    """Column → role, or None when it is not used."""
    notes: tuple[str, ...] = ()
    """How the rows were read, as `DatasetRecord.notes`."""
    problems: tuple[Problem, ...] = ()
    labels: dict[str, int] = Field(default_factory=dict)
    """Label → usable rows, for tasks with labels."""
    blocked: str = ""
    """Why it can't be trained on as it is; empty when it can."""


class SplitSpec(FrozenModel):
    """How rows are divided. None: by the number of rows (docs/data.md)."""

    validation_share: float | None = None
    test_share: float | None = None
    seed: int = 42
    group_column: str = ""
    """Rows that are equal here stay in one part."""
    time_column: str = ""
    """The latest rows are for the test, those before them for validation."""
    split_column: str = ""
    """Says of each row which part it is in. Empty: such a column when the file has one; `none`: not looked at."""
    stable_splits: bool = False
    """A row's part is told by its content or group alone, whatever rows are added, removed or moved."""


class SplitCounts(FrozenModel):
    """Rows in each part, and a sentence of why."""

    train: int
    validation: int
    test: int
    because: str = ""


class DatasetSpec(FrozenModel):
    """How a dataset's rows are read: everything that a run needs besides the rows."""

    task: str
    roles: dict[str, str]
    """Column → role; columns that play none are left out."""
    left_out: tuple[str, ...] = ()
    """Kinds of problems whose rows are left out on purpose."""
    rows_left_out: Spans = ()
    """Their rows, settled when they were left out; lines that can't be read are told by the rows themselves."""
    label_names: tuple[str, ...] = ()
    """Labels in the order of their class numbers."""
    splits: SplitSpec | None = None
    """How a person chose to divide the rows; None leaves it to the run's settings."""


class DatasetRecord(FrozenModel):
    """A dataset of the workspace, at one version."""

    id: str
    name: str
    """The file's or the sample's name, for people."""
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
    """As last chosen on the page; None before anybody looked."""
    split_column: str | None = None
    """Column that says which split a row belongs to, when the file brought its own."""
    files: tuple[str, ...] = ()
    """The files as people know them, in the order in which they are kept; versions made from others have none."""
    asked: Reading = AS_FOUND
    """How a person wanted them read."""
    found: Reading = AS_FOUND
    """How they were read."""
    notes: tuple[str, ...] = ()
    """What a person may not expect of how they were read, a sentence each: two columns of one name, an encoding that
    is not UTF-8, sheets or files that were not read."""
    sheets: tuple[str, ...] = ()
    """Sheets of a workbook that hold rows."""
