"""The interface of a data check. Add a check as one module and one line in the registry.

A check sees every row once, in order. It keeps no text and reports its problems after the last row.
"""

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from studio.data.split_names import NO_COLUMN, split_column_of
from studio.data.table import Row, Table
from studio.schema.dataset import Problem, Severity
from studio.schema.label_quality import Suspect
from studio.schema.spans import spans_of

SHOWN = 100
"""Maximum number of row numbers named in a problem."""
Lengths = Mapping[int, int]
"""Row number → number of tokens before truncation."""


@dataclass(frozen=True)
class Context:
    """The data and settings that a check can use."""

    table: Table
    task: Any
    roles: Mapping[str, str]
    """Column → role."""
    lengths: Lengths | None = None
    max_length: int = 0
    whole: bool = False
    """Check every row, also where a sample is the default."""
    chosen_split_column: str = ""
    """The split column that the user chose. `none`: ignore the file's own split column."""
    validation: Table | None = None
    """Rows of a separate validation file."""

    suspects: Mapping[int, Suspect] | None = None
    """Row number → suspected label error, if a classifier has judged the labels."""
    get_splits: Callable[[], Mapping[int, str]] | None = None
    """Returns row number → split, if the studio assigns the splits."""
    get_row_callback: Callable[[], Callable[[int, Row, Mapping[str, Any]], None] | None] | None = None
    """Returns a function that receives each usable row (number, row, values), or None. It lets the caller assign the
    splits during the same pass."""
    copies_cross_splits: bool = False
    """Equal texts can be in different splits, because rows are split by group or by time."""
    progress: Callable[[int], None] | None = None
    """Called with the number of rows checked so far."""
    shared: dict[str, Any] = field(default_factory=dict)
    """Objects that several checks of one pass share. The first check that needs one creates it."""

    @cached_property
    def split_column(self) -> str | None:
        """The column that holds the split of each row: the user's choice, else the file's own column."""
        if self.chosen_split_column == NO_COLUMN:
            return None
        return self.chosen_split_column or split_column_of(self.table)

    def column_of(self, role: str) -> str:
        """Return the column with this role, or the role's name if no column has it."""
        return next((column for column, played in self.roles.items() if played == role), role)


@dataclass(slots=True)
class RowView:
    """One row, with its cleaned values by role."""

    number: int
    row: Row
    values: dict[str, Any]
    lacks: str
    """The required role that the row lacks. Empty for a complete row."""
    _texts: list[str] | None = None

    @property
    def texts(self) -> list[str]:
        """All texts of the row, including the messages of a conversation."""
        if self._texts is None:
            self._texts = []
            for value in self.values.values():
                if isinstance(value, str):
                    self._texts.append(value)
                else:
                    self._texts += [message["content"] for message in messages_in(value) if message["content"]]
        return self._texts


def messages_in(value: Any) -> list[dict[str, Any]]:
    """Return the messages of a conversation. Empty for other values, such as a list of labels."""
    if not isinstance(value, list):
        return []
    return [message for message in value if isinstance(message, dict) and {"role", "content"} <= message.keys()]


class Check:
    """Base class of all checks. It collects row numbers and makes problems of them."""

    kind = ""
    changed = "{rows} changed"
    """What the fix's note says about the rows with changed cells."""
    unusable = False
    """Check rows that can't be used, instead of those that can."""
    usable_too = False
    """With `unusable`: check usable rows too."""
    severity: Severity = "warning"
    why = ""
    """Why the problem matters."""
    fix = ""
    """What the fix does. Empty: there is none."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.row_numbers = array("Q")
        """Rows that the fix changes or removes."""

    @classmethod
    def applies(cls, context: Context) -> bool:
        """Return whether this check makes sense for the task and its columns."""
        return True

    @classmethod
    def lacking(cls, context: Context) -> str:
        """Return one sentence that names missing information, or "" if the check can run."""
        return ""

    def visit(self, view: RowView) -> None:
        """Check one row."""
        raise NotImplementedError

    def finish(self) -> None:
        """Finish after the last row, for results that need all rows."""

    def message(self) -> str:
        """Return what is wrong with the collected rows. Called if there are any."""
        raise NotImplementedError

    def problems(self) -> list[Problem]:
        """Return the problems: here one about the collected rows."""
        if not self.row_numbers:
            return []
        return [self.problem(self.severity, self.message(), self.why, self.fix)]

    def fixed_cells(self, number: int, row: Row) -> dict[str, Any]:
        """Return new values by column for a row with this problem. Empty: the fix removes the row."""
        return {}

    def words(self) -> str:
        """Return the description of the problem in the note of a fixed version."""
        return self.kind.replace("-", " ")

    def problem(self, severity: Severity, message: str, why: str, fix: str, **other: Any) -> Problem:
        """Return a problem of this kind about the collected rows."""
        facts = {
            "rows": tuple(self.row_numbers[:SHOWN]),
            "every": spans_of(self.row_numbers),
            "count": len(self.row_numbers),
            **other,
        }
        return Problem(kind=self.kind, severity=severity, message=message, why=why, fix=fix, **facts)
