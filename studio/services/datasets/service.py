"""Datasets: the roles of their columns, their rows, checks, fixes and splits."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from studio.data.checks import check, find_rows_left_out, fix_of, labels_of, with_suspects
from studio.data.checks.bad_line import BadLines
from studio.data.checks.label_error import LabelError
from studio.data.columns import Column
from studio.data.parquet_store import open_parquet
from studio.data.roles import describe_columns, infer, match
from studio.data.split_names import NO_COLUMN
from studio.data.table import Row, Table, changed
from studio.schema.dataset import CheckReport, DatasetRecord, DatasetSpec, Problem, Reading, SplitCounts, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.label_quality import Suspect
from studio.schema.spans import Spans, is_in, numbers_in, some_in, spans_of, total_of
from studio.schema.views import FIRST_PAGE, Page, RowPage
from studio.services.context import Context
from studio.services.datasets.check_options import DEFAULT_CHECKS, CheckOptions
from studio.services.datasets.ingestion import Ingestion, cell_text
from studio.services.datasets.split_cache import SplitsDuringCheck
from studio.services.datasets.split_settings import saved_splits, split_spec
from studio.store.split_store import VersionSplit
from studio.tasks import TASKS, task_named


def _split_column(splits: SplitSpec) -> str:
    """The split column that is used. None of them where a group or the time decides."""
    return NO_COLUMN if splits.group_column or splits.time_column else splits.split_column


class Datasets(Ingestion):
    """The datasets of a workspace."""

    def __init__(self, context: Context, forget: Callable[[str], object] = lambda dataset: None) -> None:
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
        """Delete a dataset with all its versions and labels. Refused while a queued or running run uses it."""
        if run := self.context.workspace.runs.datasets_in_use().get(dataset):
            raise StudioError(
                "wrong-state",
                f"The dataset “{self.get(dataset).name}” is in use.",
                given=f"the run “{run}”",
                hint="Wait until the run ends, or stop it.",
            )
        self.store.delete(dataset)
        self._forget(dataset)

    # --- roles ---

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

    # --- rows ---

    def rows(self, dataset: str, start: int = 1, count: int = 12, version: int | None = None) -> RowPage:
        """A page of rows as text."""
        table = self.table(dataset, version)
        return _row_page(table, table.numbered(start, count), start, len(table))

    def checked_rows(
        self, dataset: str, task: str | None = None, page: Page = FIRST_PAGE, only: str = "", whole: bool = False
    ) -> RowPage:
        """A page of rows as text, in which rows with problems are marked.

        Args:
            only: a kind of problem; only rows with it are returned.
            whole: as in `CheckOptions`.
        """
        table = self.table(dataset)
        try:
            problems = self.check(dataset, task, CheckOptions(whole=whole)).problems
        except StudioError:
            problems = ()
        if only:
            every = [each.every for each in problems if each.kind == only]
            spans = every[0] if len(every) == 1 else spans_of(row for each in every for row in numbers_in(each))
            rows, total = [(row, table.row(row)) for row in some_in(spans, page.start, page.count)], total_of(spans)
        else:
            rows, total = list(table.numbered(page.start, page.count)), len(table)
        marks = self._marks(dataset, task, problems, [number for number, _ in rows])
        return _row_page(table, rows, page.start, total).model_copy(update={"marks": marks})

    def _marks(
        self, dataset: str, task: str | None, problems: Sequence[Problem], rows: Sequence[int]
    ) -> dict[int, tuple[tuple[str, str], ...]]:
        """The marks of some rows: kind of problem, and a few words."""
        suspects: dict[int, Suspect] = {}
        if any(problem.kind == LabelError.kind for problem in problems):
            spec, _ = self.resolve_spec(dataset, task, labels_too=False)
            suspects = self.suspects(self.store.get(dataset), spec) or {}
        marks: dict[int, list[tuple[str, str]]] = {}
        for row in rows:
            for problem in problems:
                if is_in(problem.every, row):
                    words = problem.kind.replace("-", " ")
                    if problem.kind == LabelError.kind and row in suspects:
                        words = f"more like {suspects[row].likelier}"
                    marks.setdefault(row, []).append((problem.kind, words))
        return {row: tuple(marks_of_row) for row, marks_of_row in marks.items()}

    # --- checks ---

    def check(
        self,
        dataset: str,
        task: str | None = None,
        options: CheckOptions = DEFAULT_CHECKS,
        progress: Callable[[int], None] | None = None,
        elsewhere: Callable[[], CheckReport] | None = None,
    ) -> CheckReport:
        """What is wrong with the rows, and how many can be used.

        Args:
            progress: gets the number of rows checked so far.
            elsewhere: computes the report when it is not cached, for example in a subprocess.
        """
        spec, reason = self.resolve_spec(dataset, task, options.roles, options.version, labels_too=False)
        left_out = tuple(sorted({*spec.left_out, *options.leave_out}))
        record = self.store.get(dataset, options.version)
        path = self.store.rows_path(record.id, record.version)

        def checked() -> CheckReport:
            report = (
                elsewhere()
                if elsewhere
                else check(
                    open_parquet(path),
                    task_named(spec.task),
                    spec.roles,
                    left_out=left_out,
                    rows_left_out=options.rows_left_out,
                    progress=progress,
                    **self._check_context(record, spec, left_out, options),
                )
            )
            if report.labels and not left_out:
                self.store.computed.labels.put((path, spec.task, tuple(spec.roles.items())), tuple(report.labels))
            return report

        key = self._check_key(record, spec, left_out, options)
        report: CheckReport = self.store.computed.reports.get_or_compute(key, checked)
        report = report.model_copy(update={"task_reason": reason, "notes": record.notes})
        if not options.suspects or LabelError.kind in left_out:
            return report
        return with_suspects(report, self.suspects(record, spec))

    def suspects(self, record: DatasetRecord, spec: DatasetSpec) -> dict[int, Suspect] | None:
        """Rows of a version whose label is likely wrong. None when the labels were not judged with these roles."""
        kept = self.context.workspace.drafts.get(suspects_key(record))
        if not kept or kept["roles"] != spec.roles:
            return None
        return {int(row): Suspect.model_validate(each) for row, each in kept["rows"].items()}

    def is_checked(self, dataset: str, task: str | None = None, whole: bool = False) -> bool:
        """Whether a report for the current roles is cached; with `whole`, one about all rows.

        False where the roles are unclear.
        """
        record = self.store.get(dataset)
        try:
            spec, _ = self.resolve_spec(dataset, task, labels_too=False)
        except StudioError:
            return False
        key = self._check_key(record, spec, tuple(sorted(spec.left_out)), CheckOptions(whole=whole))
        return key in self.store.computed.reports

    def _check_key(
        self, record: DatasetRecord, spec: DatasetSpec, kinds: tuple[str, ...], options: CheckOptions
    ) -> tuple:
        """All that the result of checks depends on."""
        paths = [self.store.rows_path(record.id, record.version)]
        if options.validation:
            other = self.store.get(options.validation)
            paths.append(self.store.rows_path(other.id, other.version))
        return (*paths, spec.task, tuple(spec.roles.items()), kinds, spec.splits, *options.key)

    def _check_context(
        self, record: DatasetRecord, spec: DatasetSpec, kinds: Collection[str], options: CheckOptions
    ) -> dict[str, Any]:
        """What the checks know beside the rows; with labels that are likely wrong, if their kind is requested."""
        splits = spec.splits or SplitSpec()
        read = spec.model_copy(update={"left_out": (BadLines.kind,), "rows_left_out": options.rows_left_out or ()})
        assignment = SplitsDuringCheck(VersionSplit(self.store, record, read, splits))
        return {
            "lengths": options.lengths,
            "max_length": options.max_length or 0,
            "whole": options.whole,
            "validation": self.table(options.validation) if options.validation else None,
            "chosen_split_column": _split_column(splits),
            "get_splits": assignment.parts,
            "get_row_callback": assignment.row_callback,
            "copies_cross_splits": bool(splits.group_column or splits.time_column),
            "suspects": self.suspects(record, spec) if LabelError.kind in kinds else None,
        }

    def rows_left_out(self, dataset: str, spec: DatasetSpec, options: CheckOptions) -> Spans:
        """The usable rows that are left out because of the kinds of problems in `options.leave_out`."""
        record, kinds = self.store.get(dataset), tuple(options.leave_out)
        known = self._check_context(record, spec, kinds, options)
        key = (*self._check_key(record, spec, kinds, options), tuple(known["suspects"] or ()))
        rows: Spans = self.store.computed.left_out.get_or_compute(
            key, lambda: find_rows_left_out(open_parquet(key[0]), task_named(spec.task), spec.roles, kinds, **known)
        )
        return rows

    def fix(self, dataset: str, kind: str, options: CheckOptions = DEFAULT_CHECKS) -> DatasetRecord:
        """Remove or repair the rows with one kind of problem: a new version. The old one stays."""
        record = self.store.get(dataset)
        spec, _ = self.resolve_spec(dataset)
        table, task = self.table(dataset), task_named(spec.task)
        fix = fix_of(table, task, spec.roles, kind, **self._check_context(record, spec, [kind], options))
        if not fix:
            raise StudioError(
                "no-such-row",
                "There is no problem of this kind to fix.",
                given=kind,
                hint="Check the rows again. It may be fixed already.",
            )
        new = fix.of(table)
        labels = tuple(labels_of(new, task, spec.roles)) if task.has_labels else ()
        return self.write(new, record, fix.note, spec.model_copy(update={"label_names": labels}))

    def inputs_of(
        self, dataset: str, task: str, own: Mapping[str, str] | None = None, version: int | None = None
    ) -> dict[str, str]:
        """Column → role of the columns that a prediction needs. The column to predict may be missing."""
        record = self.store.get(dataset, version)
        if record.spec is not None and record.spec.task == task:
            return dict(record.spec.roles)
        return dict(match(self.columns(record.id, record.version), task_named(task), own or {}, partial=True).roles)

    def with_values(self, dataset: str, values: Mapping[int, Mapping[str, object]], note: str) -> DatasetRecord:
        """A new version in which some cells have other values."""
        record = self.store.get(dataset)
        new = changed(self.table(dataset), values={row: dict(cells) for row, cells in values.items()}, note=note)
        return self.write(new, record, note)

    # --- splits ---

    def set_splits(self, dataset: str, **settings: Any) -> DatasetRecord:
        """Save how the rows are split; `settings` are fields of `SplitSpec`. Refused when they can't be split so."""
        record, splits = self.store.get(dataset), split_spec(settings)
        spec = self.resolve_spec(dataset)[0].model_copy(update={"splits": splits})
        self.count_splits(dataset, splits, spec=spec)
        return self.store.keep_spec(record.id, record.version, spec)

    def splits(self, dataset: str, **settings: Any) -> SplitCounts:
        """Rows of each split. `settings` are fields of `SplitSpec`; the others are as saved with the dataset."""
        spec = self.resolve_spec(dataset, labels_too=False)[0]
        return self.count_splits(dataset, split_spec({**saved_splits(spec, settings), **settings}), spec=spec)

    def count_splits(
        self,
        dataset: str,
        splits: SplitSpec,
        *,
        spec: DatasetSpec | None = None,
        validation_file: bool = False,
        elsewhere: Callable[[], SplitCounts] | None = None,
    ) -> SplitCounts:
        """Rows of each split of the current version. See `counts_of`."""
        spec = spec or self.resolve_spec(dataset, labels_too=False)[0]
        return self.counts_of(
            VersionSplit(self.store, self.store.get(dataset), spec, splits, validation_file), elsewhere
        )

    def counts_of(self, split: VersionSplit, elsewhere: Callable[[], SplitCounts] | None = None) -> SplitCounts:
        """Rows of each split of a version. The counts are cached, because a version never changes.

        `elsewhere` computes them when they are not cached, for example in a subprocess.
        """
        counts: SplitCounts = self.store.computed.counts.get_or_compute(
            split.key, elsewhere or (lambda: split.cached().counts)
        )
        return counts


def _row_page(table: Table, rows: Iterable[tuple[int, Row]], start: int, total: int) -> RowPage:
    texts = tuple((number, {column: cell_text(value) for column, value in row.items()}) for number, row in rows)
    return RowPage(columns=table.columns, rows=texts, start=start, total=total)


def suspects_key(record: DatasetRecord) -> str:
    """The key under which suspects of a version are saved."""
    return f"label-errors:{record.id}:{record.version}"
