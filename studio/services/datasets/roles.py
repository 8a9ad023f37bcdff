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
        """The task and the roles of a dataset's columns. With `labels_too`, all rows are read for the labels."""
        return self.resolve_spec(dataset, task, roles, labels_too=labels_too)[0]

    def resolve_spec(
        self,
        dataset: str,
        task: str | None = None,
        roles: Mapping[str, str] | None = None,
        version: int | None = None,
        labels_too: bool = True,
    ) -> tuple[DatasetSpec, str]:
        """How a dataset is read, and the reason: as given, else as saved, else as its columns suggest.

        With `labels_too`, all rows are read for the labels.
        """
        record = self.store.get(dataset, version)
        kept = record.spec
        splits = kept.splits if kept else self._earlier_splits(record)
        if kept is not None and task in (None, kept.task) and roles is None:
            return kept, ""
        columns = self.columns(dataset, record.version)
        if task is None:
            inferred = infer(columns, list(TASKS.values()), roles or {})
            matched_task, matched, reason = inferred.task, inferred.matched, inferred.reason
        else:
            matched_task, reason = task_named(task), ""
            matched = match(columns, matched_task, roles or {})
        labels: tuple[str, ...] = ()
        if matched_task.has_labels and labels_too:
            path = self.store.rows_path(record.id, record.version)
            key = (path, matched_task.name, tuple(matched.roles.items()))
            labels = self.store.computed.labels.get_or_compute(
                key, lambda: tuple(labels_of(open_parquet(path), matched_task, matched.roles))
            )
        return DatasetSpec(task=matched_task.name, roles=matched.roles, label_names=labels, splits=splits), reason

    def columns(self, dataset: str, version: int | None = None) -> Mapping[str, Column]:
        """Statistics of each column, from a sample of rows."""
        record = self.store.get(dataset, version)
        path = self.store.rows_path(record.id, record.version)
        looked: Mapping[str, Column] = self.store.computed.columns.get_or_compute(
            path, lambda: describe_columns(open_parquet(path))
        )
        return looked

    def _reread(self, record: DatasetRecord, table: Table, how: Reading, notes: Sequence[str] = ()) -> DatasetRecord:
        """The labels are read again, because the rows may have changed."""
        made = super()._reread(record, table, how, notes)
        if made.spec is None:
            return made
        spec, _ = self.resolve_spec(made.id, made.spec.task, made.spec.roles)
        return self.store.keep_spec(made.id, made.version, spec)

    def _earlier_splits(self, record: DatasetRecord) -> SplitSpec | None:
        """The split settings of the previous version, if its columns still exist."""
        for earlier in reversed(self.store.versions(record.id)):
            if earlier.version < record.version and earlier.spec is not None:
                splits = earlier.spec.splits
                named = {splits.group_column, splits.time_column, splits.split_column} if splits else set()
                return splits if named <= {*record.columns, "", NO_COLUMN} else None
        return None

    def set_roles(self, dataset: str, task: str, roles: Mapping[str, str]) -> DatasetRecord:
        """Save the roles that a person has set for the columns."""
        record = self.store.get(dataset)
        return self.store.keep_spec(record.id, record.version, self.resolve_spec(dataset, task, roles)[0])
