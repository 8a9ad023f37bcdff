"""Datasets and the roles of their columns: which task a dataset is for, and which column is the text, the label …"""

from collections.abc import Callable, Mapping, Sequence

from studio.data.checks import labels_of
from studio.data.columns import Column
from studio.data.parquet_store import open_parquet
from studio.data.roles import describe_columns, infer, match
from studio.data.split_names import NO_COLUMN
from studio.data.table import Table
from studio.schema.dataset import DatasetRecord, DatasetSpec, Reading, SplitSpec
from studio.services.context import Context
from studio.services.datasets.ingestion import Ingestion
from studio.tasks import TASKS, task_named


class DatasetRoles(Ingestion):
    """The datasets of a workspace, with the task and roles of each."""

    def __init__(self, context: Context, forget: Callable[[str], None] = lambda dataset: None) -> None:
        """`forget` is called with the id of a dataset that is deleted."""
        super().__init__(context)
        self._forget = forget

    def all(self) -> list[DatasetRecord]:
        """All datasets, newest first."""
        return self.store.all()

    def get(self, dataset: str, version: int | None = None) -> DatasetRecord:
        """One dataset, in its current or another version."""
        return self.store.get(dataset, version)

    def delete(self, dataset: str) -> None:
        """Delete a dataset with all its versions and labels."""
        self.store.delete(dataset)
        self._forget(dataset)

    # --- reading ---

    def spec(
        self,
        dataset: str,
        task: str | None = None,
        roles: Mapping[str, str] | None = None,
        labels_too: bool = True,
    ) -> DatasetSpec:
        """The task and the roles of a dataset's columns; finding its labels reads every row."""
        return self.resolve_spec(dataset, task, roles, labels_too=labels_too)[0]

    def resolve_spec(
        self,
        dataset: str,
        task: str | None = None,
        roles: Mapping[str, str] | None = None,
        version: int | None = None,
        labels_too: bool = True,
    ) -> tuple[DatasetSpec, str]:
        """How a dataset is read, and why so: as asked, else as last chosen, else as its columns suggest. Its labels
        take a look at every row; they are left out where nobody needs them."""
        record = self.store.get(dataset, version)
        kept = record.spec
        splits = kept.splits if kept else self._earlier_splits(record)
        if kept is not None and task in (None, kept.task) and roles is None:
            return kept, ""
        columns = self.columns(dataset, record.version)
        if task is None:
            found = infer(columns, list(TASKS.values()), roles or {})
            wanted, matched, reason = found.task, found.matched, found.reason
        else:
            wanted, reason = task_named(task), ""
            matched = match(columns, wanted, roles or {})
        labels: tuple[str, ...] = ()
        if wanted.has_labels and labels_too:
            path = self.store.rows_path(record.id, record.version)
            key = (path, wanted.name, tuple(matched.roles.items()))
            labels = self.store.computed.labels.get_or_compute(
                key, lambda: tuple(labels_of(open_parquet(path), wanted, matched.roles))
            )
        return DatasetSpec(task=wanted.name, roles=matched.roles, label_names=labels, splits=splits), reason

    def columns(self, dataset: str, version: int | None = None) -> Mapping[str, Column]:
        """What some rows show of each column."""
        record = self.store.get(dataset, version)
        path = self.store.rows_path(record.id, record.version)
        looked: Mapping[str, Column] = self.store.computed.columns.get_or_compute(
            path, lambda: describe_columns(open_parquet(path))
        )
        return looked

    def _reread(self, record: DatasetRecord, table: Table, how: Reading, notes: Sequence[str] = ()) -> DatasetRecord:
        """Labels are told anew from the rows as they are read now."""
        made = super()._reread(record, table, how, notes)
        if made.spec is None:
            return made
        spec, _ = self.resolve_spec(made.id, made.spec.task, made.spec.roles)
        return self.store.keep_spec(made.id, made.version, spec)

    def _earlier_splits(self, record: DatasetRecord) -> SplitSpec | None:
        """How rows were divided in the version before, where its columns are still there."""
        for earlier in reversed(self.store.versions(record.id)):
            if earlier.version < record.version and earlier.spec is not None:
                splits = earlier.spec.splits
                named = {splits.group_column, splits.time_column, splits.split_column} if splits else set()
                return splits if named <= {*record.columns, "", NO_COLUMN} else None
        return None

    def set_roles(self, dataset: str, task: str, roles: Mapping[str, str]) -> DatasetRecord:
        """Keep the roles that a person gave to the columns."""
        record = self.store.get(dataset)
        return self.store.keep_spec(record.id, record.version, self.resolve_spec(dataset, task, roles)[0])
