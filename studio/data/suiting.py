"""Why rows can't be used for a task, whatever a person says of their columns: for a task that is greyed."""

from collections.abc import Iterable, Sequence

from studio.data.columns import Column, look_at
from studio.data.roles import Role, RoleTask, match
from studio.data.table import Row
from studio.data.words import listed


def why_not_rows(names: Sequence[str], rows: Sequence[Row], task: RoleTask, written: Iterable[str] = ()) -> str:
    """Why no choice of these columns makes such rows fit; empty when one does.

    `written` are the roles that a person can write in by hand, labels say. A column whose name says another role of
    the task has that role.
    """
    written = set(written)
    named = match(names, task, rows=rows, partial=True)
    by_name = {role: column for column, role in named.roles.items() if "name" in named.reasons[column]}
    columns = [look_at(name, rows) for name in names]
    free = [each for each in columns if not each.bookkeeping and each.name not in by_name.values()]
    roles = {role.name: role for role in task.roles}
    missing = [
        [roles[name] for name in one if name not in by_name and name not in written] for one in task.alternatives
    ]
    if any(_can_all(each, free) for each in missing):
        return ""
    return _words(task, min(missing, key=len), free, names)


def _can_all(roles: Sequence[Role], free: Sequence[Column]) -> bool:
    """Whether each role can have a column of its own."""
    if not roles:
        return True
    return any(
        column.can_hold(roles[0].holds) and _can_all(roles[1:], [each for each in free if each is not column])
        for column in free
    )


def _words(task: RoleTask, missing: Sequence[Role], free: Sequence[Column], names: Sequence[str]) -> str:
    needs = listed([f"a {role.title.lower()}" for role in missing])
    if len(free) >= len(missing):
        return f"Its rows need {needs}, and no column of these rows ({listed(names, 6)}) holds that."
    left = f"only {listed([each.name for each in free], 6)} could be it" if free else "no column is left for it"
    return f"Its rows need {needs} besides, and of these columns ({listed(names, 6)}) {left}."
