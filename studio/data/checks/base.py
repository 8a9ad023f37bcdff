"""What a check of the doctor must say. A further check is one module and one line in the registry.

A check sees every row once, in order, keeps no text, and tells at the end what it found.
"""

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from studio.data.roles import Role
from studio.data.split_names import NO_COLUMN, split_column_of
from studio.data.table import Row, Table
from studio.schema.dataset import Problem, Severity
from studio.schema.label_quality import Suspect
from studio.schema.spans import spans_of

SHOWN = 100
"""Rows named in a problem."""
Lengths = Mapping[int, int]
"""Row number → tokens before any cut."""


class CheckedTask(Protocol):
    """What is needed of a task here."""

    name: str
    title: str
    roles: tuple[Role, ...]
    alternatives: tuple[tuple[str, ...], ...]
    has_labels: bool
    cuts: bool

    def values(self, row: Row, roles: Mapping[str, str]) -> dict[str, Any]: ...

    def lacks(self, values: Mapping[str, Any], roles: Mapping[str, str]) -> str: ...

    def text_of(self, row: Row, roles: Mapping[str, str]) -> str: ...


@dataclass(frozen=True)
class Context:
    """What a check may know."""

    table: Table
    task: Any
    roles: Mapping[str, str]
    """Column → role."""
    lengths: Lengths | None = None
    max_length: int = 0
    whole: bool = False
    """Look at every row also where a sample is usual, whatever the time."""
    parts_in: str = ""
    """The column of parts that a person chose; `none`: the file's own is not looked at."""
    validation: Table | None = None
    """Rows of a file of its own that training will be judged by."""

    suspects: Mapping[int, Suspect] | None = None
    """Rows whose label is likely wrong, when somebody asked for it."""
    division: Callable[[], Mapping[int, str]] | None = None
    """Gives the part that each row falls in, where the studio divides the rows."""
    show: Callable[[], Callable[[int, Row, Mapping[str, Any]], None] | None] | None = None
    """Gives who is shown each usable row (its number, itself and its values) where the rows are to be divided in any
    case, so that they are read once; None: nobody."""
    parts_copies: bool = False
    """Equal texts may fall in different parts: the rows are divided by a group or by time."""
    shared: dict[str, Any] = field(default_factory=dict)
    """What several checks of one pass look at, made by the first that asks."""

    @cached_property
    def split_column(self) -> str | None:
        """The column that says which part a row belongs to: as chosen, else as the file has one."""
        if self.parts_in == NO_COLUMN:
            return None
        return self.parts_in or split_column_of(self.table)

    def column_of(self, role: str) -> str:
        """The column that plays a role; the role's own name when none does."""
        return next((column for column, played in self.roles.items() if played == role), role)


@dataclass(slots=True)
class Seen:
    """One row, with its cleaned values by role."""

    number: int
    row: Row
    values: dict[str, Any]
    lacks: str
    """The required role that it lacks; empty when it can be used."""
    _texts: list[str] | None = None

    @property
    def texts(self) -> list[str]:
        """All that the row says, turns of a conversation included."""
        if self._texts is None:
            self._texts = []
            for value in self.values.values():
                if isinstance(value, str):
                    self._texts.append(value)
                else:
                    self._texts += [turn["content"] for turn in turns_in(value) if turn["content"]]
        return self._texts


def turns_in(value: Any) -> list[dict[str, Any]]:
    """The turns of a conversation; none in what is something else, a list of labels say."""
    if not isinstance(value, list):
        return []
    return [turn for turn in value if isinstance(turn, dict) and {"role", "content"} <= turn.keys()]


class Check:
    """The base of all checks: collects row numbers, and makes a problem of them."""

    kind = ""
    changed = "changed"
    """What the fix does to cells, for checks that offer new values."""
    unusable = False
    """Looks at rows that can't be used, instead of those that can."""
    usable_too = False
    """Looks at both."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.found = array("Q")
        """Rows that the fix would change or remove."""

    @classmethod
    def applies(cls, context: Context) -> bool:
        """Whether there is anything to look for in such rows."""
        return True

    @classmethod
    def lacking(cls, context: Context) -> str:
        """What must be known before these rows can be told, in a sentence; empty when all of it is."""
        return ""

    def see(self, seen: Seen) -> None:
        """Look at one row."""
        raise NotImplementedError

    def finish(self) -> None:
        """After the last row: what can only be told of all rows together."""

    def problems(self) -> list[Problem]:
        """What was found, in sentences."""
        raise NotImplementedError

    def mended(self, number: int, row: Row) -> dict[str, Any]:
        """New values for cells of a row that was found; none at all: the fix removes the row."""
        return {}

    def words(self) -> str:
        """What a version without these rows, or with other cells, says of them."""
        return self.kind.replace("-", " ")

    def problem(self, severity: Severity, message: str, why: str, fix: str, **other: Any) -> Problem:
        """A problem of this kind about the rows found."""
        facts = {"rows": tuple(self.found[:SHOWN]), "every": spans_of(self.found), "count": len(self.found), **other}
        return Problem(kind=self.kind, severity=severity, message=message, why=why, fix=fix, **facts)
