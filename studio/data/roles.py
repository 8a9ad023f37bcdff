"""Matching of columns to roles: by explicit mapping, by name, then by content. Also the task that fits a file.

This module depends on no task. A task defines its roles, their usual column names, and the sets of roles that suffice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from studio.data.columns import Column, describe_column
from studio.data.phrases import listed, short
from studio.data.table import Row, Table
from studio.schema.errors import StudioError, bad_setting, nearest

IGNORE = ("none", "ignore", "null", "")
"""Values of a mapping that mean: do not use this column."""
MOST_NAMED = 80
"""Maximum characters of a name in a message."""
SAMPLED, FEWEST, MOST_CELLS = 200, 20, 100_000
"""Number of rows in a sample, its minimum, and the maximum number of cells, which matters for very wide tables."""


@dataclass(frozen=True)
class Role:
    """What a column can be to a task."""

    name: str
    title: str
    help: str
    required: bool = True
    aliases: tuple[str, ...] = ()
    """Usual names of such columns, the most certain first, in lower case with spaces."""
    holds: str = "text"
    """The content of the column: `text`, `passage` (a text that differs in each row), `alone` (the only text column),
    `label` (few different short values), `labels` (several names), `score` (a number), `thumb` (yes or no), `turns`
    (the messages of a conversation), `pairs` (earlier messages as question and answer) or `reply` (a text or
    messages)."""
    beside_turns: bool = False
    """Also used for rows that hold a whole conversation."""
    beside: tuple[tuple[str, str], ...] = ()
    """Names of two columns. The first has this role if the file has both."""


class RoleTask(Protocol):
    """What role matching needs from a task."""

    name: str
    title: str
    roles: tuple[Role, ...]
    alternatives: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Matched:
    """Column → role, and the reason for each."""

    roles: dict[str, str]
    reasons: dict[str, str]
    complete: bool = True
    """All required roles have a column."""


@dataclass(frozen=True)
class Inferred:
    """The task that fits a file."""

    task: Any
    matched: Matched
    reason: str


@dataclass
class _Draft:
    """A match in progress."""

    columns: dict[str, Column]
    roles: dict[str, str] = field(default_factory=dict)
    """Column → role."""
    reasons: dict[str, str] = field(default_factory=dict)
    ignored: set[str] = field(default_factory=set)

    def free(self) -> list[Column]:
        return [each for name, each in self.columns.items() if name not in self.roles and name not in self.ignored]

    def take(self, column: str, role: str, reason: str) -> None:
        self.roles[column], self.reasons[column] = role, reason


def parse_map(pairs: Iterable[str]) -> dict[str, str]:
    """Parse `COLUMN=ROLE` pairs of the command line. `COLUMN=none` leaves a column out. Raise `StudioError`."""
    explicit = {}
    for pair in pairs:
        column, sign, role = pair.rpartition("=")
        if not sign or not column.strip():
            raise bad_setting(
                "map", "The mapping of a column is not valid.", pair, "COLUMN=ROLE, for example question=prompt"
            )
        explicit[column.strip()] = role.strip()
    return explicit


def describe_columns(table: Table) -> dict[str, Column]:
    """Return the statistics of each column over a sample of rows."""
    rows = table.sample(max(FEWEST, min(SAMPLED, MOST_CELLS // max(1, len(table.columns)))))
    return {name: describe_column(name, rows) for name in table.columns}


def match(
    table: Table | Mapping[str, Column] | Sequence[str],
    task: RoleTask,
    explicit: Mapping[str, str | None] | None = None,
    rows: Sequence[Row] | None = None,
    partial: bool = False,
) -> Matched:
    """Match columns to the roles of a task.

    `table` is a table, the result of `describe_columns`, or the column names. `explicit` maps columns to roles; None
    leaves a column out. Raise `StudioError` if a required role has no column. With `partial`, return an incomplete
    match instead, for example for rows that are not labeled yet.
    """
    if isinstance(table, Mapping):
        columns = dict(table)
    elif isinstance(table, Table) and rows is None:
        columns = describe_columns(table)
    else:
        names = table.columns if isinstance(table, Table) else table
        columns = {name: describe_column(name, rows or ()) for name in names}
    draft = _Draft(columns)
    _take_explicit(draft, task, explicit or {})
    mapped = set(draft.roles)
    _take_names(draft, task)
    _drop_beside_turns(draft, task, mapped)
    if not _complete(draft, task):
        _take_content(draft, task)
    complete = _complete(draft, task)
    if not complete and not partial:
        raise _unclear(draft, task)
    return Matched(dict(draft.roles), dict(draft.reasons), complete)


def infer(
    table: Table | Mapping[str, Column], tasks: Iterable[Any], explicit: Mapping[str, str | None] | None = None
) -> Inferred:
    """Return the task that fits the columns best. Raise `StudioError` if none fits."""
    explicit = explicit or {}
    columns = describe_columns(table) if isinstance(table, Table) else table
    requested_roles = {role for role in explicit.values() if role and role.lower() not in IGNORE}
    candidates: list[tuple[Any, Matched]] = []
    known = list(tasks)
    able = [task for task in known if requested_roles <= {role.name for role in task.roles}] or known
    for task in able:
        matched = match(columns, task, explicit, partial=True)
        if matched.complete and not _is_guess(task, matched):
            candidates.append((task, matched))
    if not candidates:
        raise _no_task(columns, known)
    task, matched = max(candidates, key=lambda each: _confidence(each, candidates, columns))
    title, roles = task.title.lower(), _sentence(task, matched)
    return Inferred(task, matched, f"Read as {title}: {roles}.")


def _is_guess(task: Any, matched: Matched) -> bool:
    """Return whether a text column was matched only because it is the only one."""
    alone = {role.name for role in task.roles if role.holds == "alone"}
    return any(role in alone and "name" not in matched.reasons[column] for column, role in matched.roles.items())


def _confidence(
    each: tuple[Any, Matched], candidates: list[tuple[Any, Matched]], columns: Mapping[str, Column]
) -> tuple[int, int, int]:
    """Return the sort key of a candidate: matched names count. A column that is a label to one task and a text to
    another is decided by its content."""
    task, matched = each
    required = {role.name: role for role in task.roles}
    is_contested = 0
    for column, role in matched.roles.items():
        others = [other for _, other in candidates if other is not matched and column in other.roles]
        is_named_label = required[role].holds in ("label", "thumb") and "name" in matched.reasons[column]
        if is_named_label and others and columns[column].few_values:
            is_contested = 1
    enough = {name for names in task.alternatives for name in names}
    pairs = {(role.name, name) for role in task.roles for name, _ in role.beside}
    enough |= {role for column, role in matched.roles.items() if (role, " ".join(columns[column].words)) in pairs}
    named = sum(role in enough and "name" in matched.reasons[column] for column, role in matched.roles.items())
    turns = any(required[role].holds == "turns" for role in matched.roles.values())
    return is_contested, 2 * len(enough) if turns else named, -_alias_rank(task, matched, columns)


def _alias_rank(task: Any, matched: Matched, columns: Mapping[str, Column]) -> int:
    """Return how late the columns' names come in the lists of aliases. A `summary` is first of all a summary."""
    roles = {role.name: role.aliases for role in task.roles}
    places = [(" ".join(columns[column].words), roles[role]) for column, role in matched.roles.items()]
    return sum(aliases.index(name) if name in aliases else len(aliases) for name, aliases in places)


def _sentence(task: Any, matched: Matched) -> str:
    titles = {role.name: role.title.lower() for role in task.roles}
    return listed([f"{column} is the {titles[role]}" for column, role in matched.roles.items()], most=9)


def _take_explicit(draft: _Draft, task: RoleTask, explicit: Mapping[str, str | None]) -> None:
    known = {role.name for role in task.roles}
    for column, role in explicit.items():
        if column not in draft.columns:
            names = _names(draft.columns)
            hint = nearest(column[:MOST_NAMED], names)
            raise bad_setting("map", f"There is no column {column}.", valid=names, hint=hint)
        if role is None or role.lower() in IGNORE:
            draft.ignored.add(column)
            continue
        if role not in known:
            valid = [*sorted(known), "none"]
            raise bad_setting("map", f"{task.title} has no role {role}.", valid=valid, hint=nearest(role, known))
        if role in draft.roles.values():
            hint = "Map one of them to none or to another role: --map COLUMN=none"
            raise bad_setting("map", f"Two columns have the role {role}.", column, hint=hint)
        draft.take(column, role, "by name, as you chose")


def _take_names(draft: _Draft, task: RoleTask) -> None:
    """Match exact names first, for all roles, then names whose first or last word matches (`customer question`)."""
    _take_pairs(draft, task)
    for partial_match in (False, True):
        for role in task.roles:
            if role.name in draft.roles.values() or (role.holds == "alone" and not _is_only_text(draft)):
                continue
            column = _by_name(draft.free(), role, partial_match)
            if column:
                draft.take(column.name, role.name, f"by its name, {column.name}")


def _take_pairs(draft: _Draft, task: RoleTask) -> None:
    """Match names that have a role only beside another name."""
    free = {" ".join(column.words): column for column in draft.free()}
    used = {" ".join(column.words): column for name, column in draft.columns.items() if name not in draft.ignored}
    for role in task.roles:
        for name, other in role.beside:
            column = free.get(name)
            if column is None or other not in used or role.name in draft.roles.values():
                continue
            if column.thumbs if role.holds == "label" else column.can_hold(role.holds):
                draft.take(column.name, role.name, f"by its name, {column.name}, together with {used[other].name}")


def _by_name(columns: list[Column], role: Role, partial_match: bool) -> Column | None:
    named: dict[str, list[Column]] = {}
    for column in columns:
        for name in _near_names(column) if partial_match else {" ".join(column.words)}:
            named.setdefault(name, []).append(column)
    if partial_match and role.holds == "turns":  # of several conversations, none is the conversation
        named = {name: fitting for name, fitting in named.items() if len(fitting) == 1}
    fitting = (column for alias in role.aliases for column in named.get(alias, ()) if column.can_hold(role.holds))
    return next(fitting, None)


def _near_names(column: Column) -> set[str]:
    """Return the first and the last word of a name with several words."""
    words = column.words
    return {words[0], words[-1]} if len(words) > 1 and not column.bookkeeping else set()


def _drop_beside_turns(draft: _Draft, task: RoleTask, mapped: set[str]) -> None:
    """Remove the roles of single messages if there is a column of whole conversations."""
    turns = {role.name for role in task.roles if role.holds == "turns" and (role.name,) in task.alternatives}
    if not turns & set(draft.roles.values()):
        return
    keeps = {role.name for role in task.roles if role.beside_turns}
    for column, role in list(draft.roles.items()):
        if role not in keeps | turns and column not in mapped:
            del draft.roles[column], draft.reasons[column]


def _complete(draft: _Draft, task: RoleTask) -> bool:
    have = set(draft.roles.values())
    return any(have.issuperset(names) for names in task.alternatives)


def _take_content(draft: _Draft, task: RoleTask) -> None:
    """Match by content: conversations, then few different short values as the label, then the longest text."""
    roles = {role.name: role for role in task.roles}
    have = set(draft.roles.values())
    best: _Draft | None = None
    for names in sorted(task.alternatives, key=lambda names: len(set(names) - have)):
        missing = [roles[name] for name in names if name not in have]
        if sum(role.holds in ("text", "reply") for role in missing) > 1:
            continue  # nothing shows which of two texts is the prompt
        attempt = _Draft(draft.columns, dict(draft.roles), dict(draft.reasons), draft.ignored)
        filled = [_take_one(attempt, role) for role in sorted(missing, key=lambda each: each.holds == "text")]
        if all(filled):
            draft.roles, draft.reasons = attempt.roles, attempt.reasons
            return
        best = best or attempt
    if best:
        draft.roles, draft.reasons = best.roles, best.reasons


def _take_one(draft: _Draft, role: Role) -> bool:
    """Match one free column to a role by its content. Return whether a column fits."""
    free = [column for column in draft.free() if not column.bookkeeping]
    chosen: Column | None = None
    reason = ""
    match role.holds:
        case "labels" | "score" | "thumb":
            pass  # such content is ambiguous: the name or the user must decide
        case "turns":
            chosen = _only_one([column for column in free if column.turns])
            reason = "it has conversations"
        case "label":
            chosen = _only_one([column for column in free if column.few_values])
            reason = f"it has {chosen.distinct} different short values" if chosen else ""
        case _:
            if role.holds != "alone" or _is_only_text(draft):
                texts = [column for column in free if column.prose]
                chosen = max(texts, key=lambda column: column.mean_length, default=None)
                reason = "it has the longest texts"
    if chosen is None:
        return False
    draft.take(chosen.name, role.name, reason)
    return True


def _only_one(columns: Sequence[Column]) -> Column | None:
    return columns[0] if len(columns) == 1 else None


def _is_only_text(draft: _Draft) -> bool:
    """Return whether there is one column of texts and none of labels, so that the match is unambiguous."""
    others = (column for column in draft.columns.values() if not column.bookkeeping)
    return sum(column.prose or column.few_values for column in others) <= 1


def _unclear(draft: _Draft, task: RoleTask) -> StudioError:
    have = set(draft.roles.values())
    titles = {role.name: role for role in task.roles}
    best = min(
        task.alternatives,
        key=lambda one: (
            not _can_fill(draft, [titles[name] for name in one if name not in have]),
            len(set(one) - have),
            -len(one),
        ),
    )
    missing = [name for name in best if name not in have]
    needs, unclear, columns = listed([f"a {name}" for name in best]), listed(missing), listed(_names(draft.columns), 30)
    role, explanation = missing[0], _explained(titles[missing[0]])
    hint = [f"Set the role above the table, or with --map COLUMN={role}.", explanation]
    if _lacks_labels(draft, best, titles):
        hint.append(LABEL_FIRST)
    return StudioError(
        "columns-unclear",
        f"{task.title} needs {needs}. It is not clear which column is the {unclear}.",
        given=f"the columns {columns}",
        hint=" ".join(hint),
        field="map",
    )


LABEL_FIRST = "If there are no labels yet, label rows in the view Label of the Data tab, or with studio label put."
"""Where rows get labels."""


def _lacks_labels(draft: _Draft, roles: Sequence[str], by_name: Mapping[str, Role]) -> bool:
    """Return whether one of the missing columns is that of the labels."""
    have = set(draft.roles.values())
    return any(by_name[name].holds == "label" and name not in have for name in roles)


def _names(columns: Iterable[str]) -> list[str]:
    """Return at most 100 column names for a message, each shortened."""
    return [name if len(name) <= MOST_NAMED else short(name, MOST_NAMED) for name in islice(columns, 100)]


def _explained(role: Role) -> str:
    """Return `Prompt: what a person asks or says.`"""
    return f"{role.title}: {role.help[:1].lower()}{role.help[1:]}"


def _can_fill(draft: _Draft, missing: Sequence[Role]) -> bool:
    """Return whether the remaining columns could have these roles."""
    free = draft.free()
    return len(free) >= len(missing) and all(any(column.can_hold(role.holds) for column in free) for role in missing)


def _no_task(names: Mapping[str, Column], tasks: Sequence[Any]) -> StudioError:
    texts = [each for each in names.values() if not each.bookkeeping]
    hint = ["Choose a task, and set the roles of the columns above the table or with --map COLUMN=ROLE."]
    if len(texts) == 1 and texts[0].prose:
        hint.append(LABEL_FIRST)
    needs = [f"{task.title.lower()}: {' or '.join(listed(one) for one in task.alternatives)}" for task in tasks]
    columns = listed(_names(names), 30)
    return StudioError(
        "columns-unclear",
        "The columns do not fit any task.",
        given=f"the columns {columns}",
        valid="; ".join(needs),
        hint=" ".join(hint),
        field="map",
    )
