"""Which column plays which role: by what a person says, by name, then by content; and which task a file is for.

It knows no task: a task brings its roles, the names that go with each, and the sets of roles that are enough.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from studio.data.columns import Column, look_at
from studio.data.phrases import listed, short
from studio.data.table import Row, Table
from studio.schema.errors import StudioError, nearest

IGNORE = ("none", "ignore", "null", "")
"""What may be said instead of a role: the column is not used."""
MOST_NAMED = 80
"""Characters of a name in a message."""
SAMPLED, FEWEST, MOST_CELLS = 200, 20, 100_000
"""Rows that are looked at, the fewest of them, and cells: of very wide tables fewer rows are enough."""


@dataclass(frozen=True)
class Role:
    """What a column can be to a task."""

    name: str
    title: str
    help: str
    required: bool = True
    aliases: tuple[str, ...] = ()
    """Names that columns of this role go by, the surest first, in lower case with spaces."""
    holds: str = "text"
    """`text`, `passage` (a text that differs), `alone` (a text with no other beside it), `label` (few different short
    values), `labels` (several names), `score` (a number on a scale), `thumb` (yes or no), `turns` (of a conversation),
    `pairs` (earlier turns, question and answer) or `reply` (a text or turns)."""
    beside_turns: bool = False
    """Still of use to a row that holds a whole conversation."""


class RoleTask(Protocol):
    """What is needed of a task here."""

    name: str
    title: str
    roles: tuple[Role, ...]
    alternatives: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Matched:
    """Column → role, and why each."""

    roles: dict[str, str]
    reasons: dict[str, str]
    complete: bool = True
    """Every required role was found."""


@dataclass(frozen=True)
class Inferred:
    """The task that a file is for."""

    task: Any
    matched: Matched
    reason: str


@dataclass
class _Draft:
    """A match in the making."""

    columns: dict[str, Column]
    taken: dict[str, str] = field(default_factory=dict)
    """Column → role."""
    reasons: dict[str, str] = field(default_factory=dict)
    ignored: set[str] = field(default_factory=set)

    def free(self) -> list[Column]:
        return [each for name, each in self.columns.items() if name not in self.taken and name not in self.ignored]

    def take(self, column: str, role: str, reason: str) -> None:
        self.taken[column], self.reasons[column] = role, reason


def parse_map(pairs: Iterable[str]) -> dict[str, str]:
    """`COLUMN=ROLE` as said on the command line; `COLUMN=none` leaves a column out."""
    explicit = {}
    for pair in pairs:
        column, sign, role = pair.rpartition("=")
        if not sign or not column.strip():
            raise StudioError(
                "bad-setting",
                "A column can't be matched that way.",
                given=pair,
                valid="COLUMN=ROLE, question=prompt say",
                field="map",
            )
        explicit[column.strip()] = role.strip()
    return explicit


def look_over(table: Table) -> dict[str, Column]:
    """What some rows show of each column."""
    rows = table.sample(max(FEWEST, min(SAMPLED, MOST_CELLS // max(1, len(table.columns)))))
    return {name: look_at(name, rows) for name in table.columns}


def match(
    table: Table | Mapping[str, Column] | Sequence[str],
    task: RoleTask,
    explicit: Mapping[str, str | None] | None = None,
    rows: Sequence[Row] | None = None,
    partial: bool = False,
) -> Matched:
    """Columns matched to the roles of a task; `StudioError` when a required one is not to be found. `table` may also be
    what `look_over` told of it, or the names alone.

    `partial` gives what could be matched instead, for rows that are yet to be labelled, say.
    """
    if isinstance(table, Mapping):
        columns = dict(table)
    elif isinstance(table, Table) and rows is None:
        columns = look_over(table)
    else:
        names = table.columns if isinstance(table, Table) else table
        columns = {name: look_at(name, rows or ()) for name in names}
    draft = _Draft(columns)
    _take_explicit(draft, task, explicit or {})
    said = set(draft.taken)
    _take_names(draft, task)
    _drop_beside_turns(draft, task, said)
    if not _complete(draft, task):
        _take_content(draft, task)
    complete = _complete(draft, task)
    if not complete and not partial:
        raise _unclear(draft, task)
    return Matched(dict(draft.taken), dict(draft.reasons), complete)


def infer(
    table: Table | Mapping[str, Column], tasks: Iterable[Any], explicit: Mapping[str, str | None] | None = None
) -> Inferred:
    """The task that the columns speak for; `StudioError` when none does."""
    explicit = explicit or {}
    columns = look_over(table) if isinstance(table, Table) else table
    said = {role for role in explicit.values() if role and role.lower() not in IGNORE}
    found: list[tuple[Any, Matched]] = []
    known = list(tasks)
    able = [task for task in known if said <= {role.name for role in task.roles}] or known
    for task in able:
        matched = match(columns, task, explicit, partial=True)
        if matched.complete and not _guessed(task, matched):
            found.append((task, matched))
    if not found:
        raise _no_task(columns, known)
    task, matched = max(found, key=lambda each: _surety(each, found, columns))
    return Inferred(task, matched, f"Read as {task.title.lower()}: {_sentence(task, matched)}.")


def _guessed(task: Any, matched: Matched) -> bool:
    """Whether a text was taken for one to go on with for no better reason than that it is there."""
    alone = {role.name for role in task.roles if role.holds == "alone"}
    return any(role in alone and "name" not in matched.reasons[column] for column, role in matched.roles.items())


def _surety(
    each: tuple[Any, Matched], found: list[tuple[Any, Matched]], columns: Mapping[str, Column]
) -> tuple[int, int, int]:
    """Roles told by name count; a column that is a label to one task and a text to another is judged by content."""
    task, matched = each
    required = {role.name: role for role in task.roles}
    contested = 0
    for column, role in matched.roles.items():
        others = [other for _, other in found if other is not matched and column in other.roles]
        told = required[role].holds in ("label", "thumb") and "name" in matched.reasons[column]
        if told and others and columns[column].few_values:
            contested = 1
    enough = {name for names in task.alternatives for name in names}
    named = sum(role in enough and "name" in matched.reasons[column] for column, role in matched.roles.items())
    turns = any(required[role].holds == "turns" for role in matched.roles.values())
    return contested, 2 * len(enough) if turns else named, -_strangeness(task, matched, columns)


def _strangeness(task: Any, matched: Matched, columns: Mapping[str, Column]) -> int:
    """How far down the lists of names the columns' stand: a `summary` is first of all that of a summarization."""
    roles = {role.name: role.aliases for role in task.roles}
    places = [(" ".join(columns[column].words), roles[role]) for column, role in matched.roles.items()]
    return sum(aliases.index(name) if name in aliases else len(aliases) for name, aliases in places)


def _sentence(task: Any, matched: Matched) -> str:
    titles = {role.name: role.title.lower() for role in task.roles}
    return listed([f"{column} is the {titles[role]}" for column, role in matched.roles.items()], most=9)


def _take_explicit(draft: _Draft, task: RoleTask, explicit: Mapping[str, str | None]) -> None:
    known = {role.name for role in task.roles}
    for column, said in explicit.items():
        if column not in draft.columns:
            raise StudioError(
                "bad-setting",
                f"There is no column {column}.",
                valid=_names(draft.columns),
                hint=nearest(column[:MOST_NAMED], _names(draft.columns)),
                field="map",
            )
        if said is None or said.lower() in IGNORE:
            draft.ignored.add(column)
            continue
        if said not in known:
            raise StudioError(
                "bad-setting",
                f"{task.title} has no role {said}.",
                valid=[*sorted(known), "none"],
                hint=nearest(said, known),
                field="map",
            )
        if said in draft.taken.values():
            raise StudioError(
                "bad-setting",
                f"Two columns are to be the {said}.",
                given=column,
                field="map",
                hint="Map the other one to none, or to another role: --map COLUMN=none",
            )
        draft.take(column, said, "by name, as you said")


def _take_names(draft: _Draft, task: RoleTask) -> None:
    """Exact names first, for all roles, then names that end or begin with one (`customer question`)."""
    for near in (False, True):
        for role in task.roles:
            if role.name in draft.taken.values() or (role.holds == "alone" and not _alone(draft)):
                continue
            column = _by_name(draft.free(), role, near)
            if column:
                draft.take(column.name, role.name, f"by its name, {column.name}")


def _by_name(columns: list[Column], role: Role, near: bool) -> Column | None:
    named: dict[str, list[Column]] = {}
    for column in columns:
        for name in _near_names(column) if near else {" ".join(column.words)}:
            named.setdefault(name, []).append(column)
    fitting = (column for alias in role.aliases for column in named.get(alias, ()) if column.can_hold(role.holds))
    return next(fitting, None)


def _near_names(column: Column) -> set[str]:
    """The first and the last word of a name of several."""
    words = column.words
    return {words[0], words[-1]} if len(words) > 1 and not column.bookkeeping else set()


def _drop_beside_turns(draft: _Draft, task: RoleTask, said: set[str]) -> None:
    """Whole conversations leave nothing for the roles of single turns."""
    turns = {role.name for role in task.roles if role.holds == "turns" and (role.name,) in task.alternatives}
    if not turns & set(draft.taken.values()):
        return
    keeps = {role.name for role in task.roles if role.beside_turns}
    for column, role in list(draft.taken.items()):
        if role not in keeps | turns and column not in said:
            del draft.taken[column], draft.reasons[column]


def _complete(draft: _Draft, task: RoleTask) -> bool:
    have = set(draft.taken.values())
    return any(have.issuperset(one) for one in task.alternatives)


def _take_content(draft: _Draft, task: RoleTask) -> None:
    """Turns where there are turns; few different short values are a label; the longest text is the text."""
    roles = {role.name: role for role in task.roles}
    have = set(draft.taken.values())
    best: _Draft | None = None
    for one in sorted(task.alternatives, key=lambda names: len(set(names) - have)):
        missing = [roles[name] for name in one if name not in have]
        if sum(role.holds in ("text", "reply") for role in missing) > 1:
            continue  # of two texts nobody can tell which is the prompt
        trial = _Draft(draft.columns, dict(draft.taken), dict(draft.reasons), draft.ignored)
        found = [_take_one(trial, role) for role in sorted(missing, key=lambda each: each.holds == "text")]
        if all(found):
            draft.taken, draft.reasons = trial.taken, trial.reasons
            return
        best = best or trial
    if best:
        draft.taken, draft.reasons = best.taken, best.reasons


def _take_one(draft: _Draft, role: Role) -> bool:
    free = [column for column in draft.free() if not column.bookkeeping]
    if role.holds in ("labels", "score", "thumb"):
        return False  # what is in such a column has other meanings too: its name must say it, or a person
    if role.holds == "turns":
        fitting = [column for column in free if column.turns]
        if len(fitting) == 1:
            draft.take(fitting[0].name, role.name, "it holds conversations")
            return True
        return False
    if role.holds == "label":
        fitting = [column for column in free if column.few_values]
        if len(fitting) == 1:
            draft.take(fitting[0].name, role.name, f"it holds {fitting[0].distinct} different short values")
            return True
        return False
    fitting = [column for column in free if column.prose]
    if role.holds == "alone" and not _alone(draft):
        return False
    if fitting:
        longest = max(fitting, key=lambda column: column.mean_length)
        draft.take(longest.name, role.name, "it holds the longest texts")
        return True
    return False


def _alone(draft: _Draft) -> bool:
    """Whether there is one column of texts and none of labels, so that nothing can be meant by it but itself."""
    others = (column for column in draft.columns.values() if not column.bookkeeping)
    return sum(column.prose or column.few_values for column in others) <= 1


def _unclear(draft: _Draft, task: RoleTask) -> StudioError:
    have = set(draft.taken.values())
    titles = {role.name: role for role in task.roles}
    best = min(
        task.alternatives,
        key=lambda one: (
            not _could_be(draft, [titles[name] for name in one if name not in have]),
            len(set(one) - have),
            -len(one),
        ),
    )
    missing = [name for name in best if name not in have]
    return StudioError(
        "columns-unclear",
        f"{task.title} needs {listed([f'a {name}' for name in best])}, and it is not clear which column is the "
        f"{listed(missing)}.",
        given=f"the columns {listed(_names(draft.columns), 30)}",
        hint=f"Say it above the table, or with --map COLUMN={missing[0]}. {_explained(titles[missing[0]])}",
        field="map",
    )


def _names(columns: Iterable[str]) -> list[str]:
    """Names of columns for a message: as many as can be read, and of each its start."""
    return [name if len(name) <= MOST_NAMED else short(name, MOST_NAMED) for name in islice(columns, 100)]


def _explained(role: Role) -> str:
    """`Prompt: what a person asks or says.`"""
    return f"{role.title}: {role.help[:1].lower()}{role.help[1:]}"


def _could_be(draft: _Draft, missing: Sequence[Role]) -> bool:
    """Whether the columns that are left could play these roles."""
    free = draft.free()
    return len(free) >= len(missing) and all(any(column.can_hold(role.holds) for column in free) for role in missing)


def _no_task(names: Iterable[str], tasks: Sequence[Any]) -> StudioError:
    needs = [f"{task.title.lower()}: {' or '.join(listed(one) for one in task.alternatives)}" for task in tasks]
    return StudioError(
        "columns-unclear",
        "It is not clear from the columns what the rows are for.",
        given=f"the columns {listed(_names(names), 30)}",
        valid="; ".join(needs),
        hint="Choose a task, and say which column is which above the table or with --map COLUMN=ROLE.",
        field="map",
    )
