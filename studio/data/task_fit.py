"""Why rows can't be used for a task, whatever a person says of their columns: for a task that is greyed."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, product

from studio.data.columns import Column, look_at
from studio.data.phrases import listed, short
from studio.data.roles import Role, RoleTask, match
from studio.data.table import Row


def why_not_rows(
    names: Mapping[str, Column] | Sequence[str], rows: Sequence[Row], task: RoleTask, written: Iterable[str] = ()
) -> str:
    """Why no choice of these columns makes such rows fit; empty when one does. `names` may also be what `look_over`
    told of the columns; then no rows are needed.

    `written` are the roles that a person can write in by hand, labels say. A column whose name says another role of
    the task has that role.
    """
    written = set(written)
    looked = names if isinstance(names, Mapping) else {name: look_at(name, rows) for name in names}
    named = match(looked, task, partial=True)
    by_name = {role: column for column, role in named.roles.items() if "name" in named.reasons[column]}
    free = [each for each in looked.values() if not each.bookkeeping and each.name not in by_name.values()]
    roles = {role.name: role for role in task.roles}
    missing = [
        [roles[name] for name in one if name not in by_name and name not in written] for one in task.alternatives
    ]
    if any(_can_all(each, free) for each in missing):
        return ""
    return _words(task, min(missing, key=len), free, tuple(looked))


def _can_all(roles: Sequence[Role], free: Sequence[Column]) -> bool:
    """Whether each role can have a column of its own."""
    # a role that as many columns can hold as there are roles never has to yield to another one
    able = [list(islice((each.name for each in free if each.can_hold(role.holds)), len(roles))) for role in roles]
    return any(len(set(names)) == len(roles) for names in product(*able))


def _words(task: RoleTask, missing: Sequence[Role], free: Sequence[Column], names: Sequence[str]) -> str:
    names = [short(name) for name in names[:7]] + list(names[7:])
    needs = listed([f"a {role.title.lower()}" for role in missing])
    if len(free) >= len(missing):
        return f"Its rows need {needs}, and no column of these rows ({listed(names, 6)}) holds that."
    left = f"only {listed([short(each.name) for each in free], 6)} could be it" if free else "no column is left for it"
    return f"Its rows need {needs} besides, and of these columns ({listed(names, 6)}) {left}."
