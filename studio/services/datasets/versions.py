"""Versions of a dataset, compared and restored."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

from studio.data.parquet_store import open_parquet
from studio.data.table import Row
from studio.data.table_diff import NONE, Difference, changed_cells, compare, kind_of
from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError
from studio.schema.views import FIRST_PAGE, Comparison, Page, RowChange
from studio.services.datasets.ingestion import Ingestion, cell_text

FEW = 20_000
"""Maximum number of rows of both versions that are compared without a subprocess."""
KINDS = ("added", "removed", "changed")


class Versions:
    """Versions of a workspace's datasets."""

    def __init__(self, datasets: Ingestion) -> None:
        self.datasets = datasets

    def all(self, dataset: str) -> list[DatasetRecord]:
        """All versions of a dataset, oldest first."""
        return self.datasets.store.versions(dataset)

    def restore(self, dataset: str, version: int) -> DatasetRecord:
        """Make an earlier version the current one."""
        return self.datasets.store.go_to(dataset, version)

    def compare(self, dataset: str, before: int, after: int, page: Page = FIRST_PAGE, only: str = "") -> Comparison:
        """How many rows were added, removed and changed, and a page of them."""
        if only and only not in KINDS:
            raise StudioError("bad-setting", f"{only} is not a kind of change.", valid=list(KINDS), field="only")
        store = self.datasets.store
        old, new = store.get(dataset, before), store.get(dataset, after)
        paths = [store.rows_path(record.id, record.version) for record in (old, new)]
        difference = self.difference(dataset, before, after)
        tables = [open_parquet(path) for path in paths]
        counts = {kind: difference.count(kind) for kind in KINDS}
        first = max(0, page.start - 1)
        chosen = islice(difference.pairs(only), first, first + page.count)
        rows = []
        for one, other in chosen:
            was = tables[0].row(one) if one != NONE else None
            now = tables[1].row(other) if other != NONE else None
            rows.append(_change(one, other, was, now))
        return Comparison(
            dataset=dataset,
            before=old.version,
            after=new.version,
            note=new.note,
            same=difference.same,
            **counts,
            columns=tuple(dict.fromkeys((*new.columns, *old.columns))),
            columns_added=difference.columns_added,
            columns_removed=difference.columns_removed,
            rows=tuple(rows),
            start=page.start,
            total=counts[only] if only else len(difference.before),
        )

    def difference(
        self, dataset: str, before: int, after: int, elsewhere: Callable[[], Difference] | None = None
    ) -> Difference:
        """What differs between two versions. The result is cached, because versions never change.

        `elsewhere` computes it when it is not cached, for example in a subprocess.
        """
        key = self._key(dataset, before, after)
        difference: Difference = self.datasets.store.computed.differences.get_or_compute(
            key, lambda: elsewhere() if elsewhere else compare(*map(open_parquet, key))
        )
        return difference

    def is_compared(self, dataset: str, before: int, after: int) -> bool:
        """Whether `compare` returns at once: the result is cached, or the rows are few."""
        rows = sum(self.datasets.store.get(dataset, version).rows for version in (before, after))
        return rows <= FEW or self._key(dataset, before, after) in self.datasets.store.computed.differences

    def _key(self, dataset: str, before: int, after: int) -> tuple[Path, Path]:
        records = [self.datasets.store.get(dataset, version) for version in (before, after)]
        one, other = (self.datasets.store.rows_path(record.id, record.version) for record in records)
        return one, other


def _change(before: int, after: int, was: Row | None, now: Row | None) -> RowChange:
    cells = now if now is not None else was or {}
    changed = changed_cells(was, now) if was is not None and now is not None else {}
    return RowChange(
        kind=kind_of(before, after),
        before=before if before != NONE else None,
        after=after if after != NONE else None,
        cells={column: cell_text(value) for column, value in cells.items()},
        changed={column: (cell_text(one), cell_text(other)) for column, (one, other) in changed.items()},
    )
