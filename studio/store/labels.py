"""Labeling events. Each key press is one inserted row. An undo is another row."""

from collections.abc import Sequence

from studio.schema.labeling import Fact
from studio.store.db import Database, now

_INSERT = (
    "INSERT INTO labels (dataset, version, row, kind, label, labeller, time, suggested, sure, undoes)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class LabelStore:
    """Who did what to which row of which version, in chronological order."""

    def __init__(self, db: Database) -> None:
        self.db = db

    def add(self, dataset: str, facts: Sequence[Fact]) -> list[Fact]:
        """Insert facts in one transaction. Returns them with ids and times."""
        kept = []
        with self.db.write() as connection:
            for fact in facts:
                time = fact.time or now()
                values = (
                    dataset,
                    fact.version,
                    fact.row,
                    f"{fact.work}:{fact.what}",
                    fact.value,
                    fact.labeller,
                    time,
                    fact.suggested,
                    fact.sure,
                    fact.undoes,
                )
                cursor = connection.execute(_INSERT, values)
                kept.append(fact.model_copy(update={"id": int(cursor.lastrowid or 0), "time": time}))
        return kept

    def after(self, dataset: str, id: int = 0) -> list[Fact]:
        """Facts about all versions of a dataset with an id above `id`, oldest first."""
        rows = self.db.rows("SELECT * FROM labels WHERE dataset = ? AND id > ? ORDER BY id", (dataset, id))
        return [
            Fact.model_construct(
                id=row["id"],
                version=row["version"],
                row=row["row"],
                work=row["kind"].split(":")[0],
                what=row["kind"].split(":")[1],
                value=row["label"],
                labeller=row["labeller"],
                time=row["time"],
                suggested=row["suggested"],
                sure=row["sure"],
                undoes=row["undoes"],
            )
            for row in rows
        ]
