"""Why rows can't be used for a task, whatever their columns are mapped to. The page then disables the task."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, product

from studio.data.columns import Column, describe_column
from studio.data.phrases import listed, short
from studio.data.roles import Role, RoleTask, match
from studio.data.table import Row


def unfit_reason(
    names: Mapping[str, Column] | Sequence[str], rows: Sequence[Row], task: RoleTask, hand_written: Iterable[str] = ()
) -> str:
    """Return why no mapping of these columns fits the task, or "" if one does.

    `names` are column names, or the result of `describe_columns`; then no rows are needed. `hand_written` are the roles
    that a person can fill in, such as labels. A column whose name matches a role of the task keeps that role.
    """
    hand_written = set(hand_written)
    columns = names if isinstance(names, Mapping) else {name: describe_column(name, rows) for name in names}
    named = match(columns, task, partial=True)
    by_name = {role: column for column, role in named.roles.items() if "name" in named.reasons[column]}
    unused = [each for each in columns.values() if not each.bookkeeping and each.name not in by_name.values()]
    roles = {role.name: role for role in task.roles}
    missing = [
        [roles[name] for name in one if name not in by_name and name not in hand_written] for one in task.alternatives
    ]
    if any(_can_assign_all(each, unused) for each in missing):
        return ""
    return _words(min(missing, key=len), unused, tuple(columns))


def _can_assign_all(roles: Sequence[Role], unused: Sequence[Column]) -> bool:
    """Return whether each role can have a column of its own."""
    # a role that fits as many columns as there are roles never has to yield to another one
    candidates = [
        list(islice((each.name for each in unused if each.can_hold(role.holds)), len(roles))) for role in roles
    ]
    return any(len(set(names)) == len(roles) for names in product(*candidates))


def _words(missing: Sequence[Role], unused: Sequence[Column], names: Sequence[str]) -> str:
    columns = listed([short(name) for name in names[:7]] + list(names[7:]), 6)
    needs = listed([role.title.lower() for role in missing])
    if len(unused) >= len(missing):
        return f"It needs: {needs}. None of your columns ({columns}) fits."
    if not unused:
        return f"It also needs: {needs}. Of your columns ({columns}), no column is left."
    fitting = listed([short(each.name) for each in unused], 6)
    return f"It also needs: {needs}. Of your columns ({columns}), only {fitting} could fit."
