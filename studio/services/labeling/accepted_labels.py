"""Labels from a person that a model had suggested. They can be among test rows, and make a test look better."""

import json
from collections.abc import Iterable

from studio.schema.labeling import Fact
from studio.services.labeling.session import Session
from studio.services.labeling.state import Locate


def accepted_rows(session: Session, facts: Iterable[Fact], locate: Locate) -> set[int]:
    """Return the rows of a version whose label in the dataset is a suggestion that a person accepted or chose.

    `facts`: all of the dataset, oldest first. Those of this version and later ones are not in its rows.
    """
    facts, original = list(facts), session.state.original
    undone = {fact.undoes for fact in facts if fact.what == "undo"}
    latest: dict[int, tuple[str | None, bool]] = {}
    for fact in facts:
        if fact.id in undone or fact.work != session.label_task.name or fact.version >= session.record.version:
            continue
        if fact.what == "given":
            row, _ = locate(fact)
            if row is not None:
                latest[row] = fact.value, fact.suggested is not None and fact.suggested == fact.value
        elif fact.what == "rename":
            old, new = json.loads(fact.value or "")
            latest = {row: (new if value == old else value, accepted) for row, (value, accepted) in latest.items()}
    return {row for row, (value, accepted) in latest.items() if accepted and original.get(row) == value}
