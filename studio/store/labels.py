"""Labeling events. Each key press is one inserted row. An undo is another row."""

from collections.abc import Iterable, Sequence

from studio.schema.labeling import Fact
from studio.store.db import Database, now

_INSERT = (
    "INSERT INTO labels (dataset, version, row, kind, label, labeller, time, suggested, sure, undoes)"
    " VALUES (:dataset, :version, :row, :kind, :value, :labeller, :time, :suggested, :sure, :undoes)"
)


class LabelStore:
    """Who did what to which row of which version, in chronological order."""

    def __init__(self, db: Database) -> None:
        self.db = db

    def add(self, dataset: str, facts: Sequence[Fact]) -> list[Fact]:
        """Insert facts in one transaction. Returns them with ids and times. Facts of one action have the same time."""
        kept, time = [], now()
        with self.db.write() as connection:
            for fact in facts:
                fact = fact.model_copy(update={"time": fact.time or time})
                values = {**fact.model_dump(), "dataset": dataset, "kind": f"{fact.work}:{fact.what}"}
                cursor = connection.execute(_INSERT, values)
                kept.append(fact.model_copy(update={"id": int(cursor.lastrowid or 0)}))
        return kept

    def copy(self, dataset: str, to: str) -> None:
        """Insert the facts about a dataset for its copy too."""
        self.add_copies(to, self.after(dataset))

    def add_copies(self, to: str, facts: Iterable[Fact]) -> None:
        """Insert facts of another dataset with new ids, oldest first. An undo refers to the new id."""
        ids: dict[int | None, int] = {}
        with self.db.write() as connection:
            for fact in facts:
                values = {**fact.model_dump(), "dataset": to, "kind": f"{fact.work}:{fact.what}"}
                values["undoes"] = ids.get(fact.undoes)
                ids[fact.id] = int(connection.execute(_INSERT, values).lastrowid or 0)

    def count(self) -> int:
        """The number of facts about all datasets."""
        row = self.db.row("SELECT COUNT(*) AS facts FROM labels")
        return int(row["facts"]) if row else 0

    def datasets(self) -> set[str]:
        """Ids of the datasets that have facts."""
        return {row["dataset"] for row in self.db.rows("SELECT DISTINCT dataset FROM labels")}

    def after(self, dataset: str, id: int = 0) -> list[Fact]:
        """Facts about all versions of a dataset with an id above `id`, oldest first."""
        rows = self.db.rows(
            "SELECT id, version, row, kind, label AS value, labeller, time, suggested, sure, undoes FROM labels "
            "WHERE dataset = ? AND id > ? ORDER BY id",
            (dataset, id),
        )
        facts = []
        for row in map(dict, rows):
            work, what = row.pop("kind").split(":")
            facts.append(Fact.model_construct(**row, work=work, what=what))
        return facts
