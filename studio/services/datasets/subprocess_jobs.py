"""Long work on rows in a subprocess: reading files, downloading rows, checking, splitting, comparing.

The page stays responsive, and the memory is freed when the work is done. The work reports progress and can be
cancelled. It then leaves nothing behind.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from studio.data.table_diff import Difference
from studio.machine.run_in_process import (
    ProcessCancelled,
    ProcessCrashed,
    ProcessLimits,
    ProcessOutOfMemory,
    ProcessTimeout,
    run_in_process,
)
from studio.schema.base import FrozenModel
from studio.schema.dataset import CheckReport, DatasetRecord, DatasetSpec, SplitCounts, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.spans import Spans
from studio.services.context import Context
from studio.services.datasets.check_options import DEFAULT_CHECKS, CheckOptions
from studio.services.datasets.editing import Editing
from studio.services.datasets.ingestion import import_options
from studio.services.datasets.service import Datasets
from studio.services.datasets.split_settings import saved_splits, split_spec
from studio.services.datasets.versions import Versions
from studio.store import Home

Progress = Callable[[int, int], None]
"""Gets the rows and bytes read so far."""
MANY = 20_000
"""Minimum number of rows for work in a subprocess."""
VISITORS_SECONDS = 300.0
"""Time limit for a visitor of a demo, in seconds."""
NICENESS = 5
"""Niceness of the process, relative to the server."""


class Watch(NamedTuple):
    """How a caller follows work in a subprocess."""

    progress: Progress | None = None
    cancel: Event | None = None
    """Set it to cancel the work."""


UNWATCHED = Watch()


class CheckResult(FrozenModel):
    """A report, with all rows of each problem. The JSON of a report leaves these out."""

    report: CheckReport
    every: tuple[Spans, ...]
    counts: SplitCounts | None = None

    @property
    def whole(self) -> CheckReport:
        """The report with all rows."""
        pairs = zip(self.report.problems, self.every, strict=True)
        problems = tuple(problem.model_copy(update={"every": every}) for problem, every in pairs)
        return self.report.model_copy(update={"problems": problems})


class CompareResult(FrozenModel):
    """A difference. Its row numbers are packed as bytes, because there can be millions."""

    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    same: int
    before: str
    after: str


class Cancelled(StudioError):
    """The work was cancelled. Nothing of it is left."""

    def __init__(self) -> None:
        super().__init__("wrong-state", "This was canceled. Nothing was changed.", hint="You can start it again.")


class DatasetJobs:
    """Work on a workspace's datasets, each in a subprocess.

    Each method does the same as the one of `Datasets`, `Versions` or `Editing`. Results that are not saved are cached
    for these.
    """

    def __init__(self, datasets: Datasets, versions: Versions) -> None:
        self.datasets, self.versions, self.context = datasets, versions, datasets.context

    def add_files(self, paths: Mapping[str, Path], watch: Watch = UNWATCHED, **options: Any) -> DatasetRecord:
        """Import files, name → path."""
        arguments = {"paths": {name: str(path) for name, path in paths.items()}, "how": import_options(options).chosen}
        return self._record("read_files", arguments, watch)

    def add_hub(self, name: str, watch: Watch = UNWATCHED, **options: Any) -> DatasetRecord:
        """Import rows of a dataset on the Hub."""
        return self._record("fetch_rows", {"name": name, "how": import_options(options).chosen}, watch)

    def reread(self, dataset: str, watch: Watch = UNWATCHED, **options: Any) -> DatasetRecord:
        """Read a dataset's files with other options: a new version."""
        arguments = {"dataset": dataset, "how": import_options(options).named_fields}
        return self._record("reread", arguments, watch)

    def fix(
        self, dataset: str, kind: str, options: CheckOptions = DEFAULT_CHECKS, watch: Watch = UNWATCHED
    ) -> DatasetRecord:
        """Remove or repair the rows with one kind of problem: a new version. Lengths are in the options, if needed."""
        sent = {"whole": options.whole, "max_length": options.max_length, "lengths": options.lengths}
        return self._record("fix", {"dataset": dataset, "kind": kind, "options": sent}, watch)

    def edit_row(self, dataset: str, row: int, cells: Mapping[str, str], watch: Watch = UNWATCHED) -> DatasetRecord:
        """Change cells of a row: a new version."""
        return self._record("edit", {"dataset": dataset, "row": row, "cells": dict(cells)}, watch)

    def check(self, dataset: str, task: str, watch: Watch = UNWATCHED, whole: bool = False, **splits: Any) -> None:
        """Check the rows and split them, in one process. `splits` are fields of `SplitSpec`."""
        spec, _ = self.datasets.resolve_spec(dataset, task, labels_too=False)
        split = split_spec({**saved_splits(spec, splits), **splits})
        split_arguments = {"splits": split.model_dump(), "spec": spec.model_dump()}
        arguments = {"dataset": dataset, "task": task, "whole": whole, "divided": split_arguments}
        counts: list[SplitCounts] = []

        def check() -> CheckReport:
            report, split_counts = check_and_split(self.context, arguments, watch)
            counts.extend([split_counts] if split_counts else [])
            return report

        def count() -> SplitCounts:
            if counts:
                return counts[0]
            again = {"dataset": dataset, **split_arguments}
            return SplitCounts.model_validate(_run(self.context, "splits", again, watch))

        self.datasets.check(dataset, task, CheckOptions(whole=whole), elsewhere=check)
        self.datasets.count_splits(dataset, split, spec=spec, elsewhere=count)

    def compare_versions(self, dataset: str, before: int, after: int, watch: Watch = UNWATCHED) -> None:
        """Compare two versions."""
        arguments = {"dataset": dataset, "before": before, "after": after}

        def compare() -> Difference:
            result = CompareResult.model_validate(_run(self.context, "compare", arguments, watch))
            difference = Difference(result.columns_added, result.columns_removed, same=result.same)
            for numbers, packed in ((difference.before, result.before), (difference.after, result.after)):
                numbers.frombytes(b64decode(packed))
            return difference

        self.versions.difference(dataset, before, after, elsewhere=compare)

    def _record(self, job: str, arguments: Mapping[str, Any], watch: Watch) -> DatasetRecord:
        return DatasetRecord.model_validate(_run(self.context, job, arguments, watch))


def check_and_split(
    context: Context, arguments: Mapping[str, Any], watch: Watch = UNWATCHED
) -> tuple[CheckReport, SplitCounts | None]:
    """`Datasets.check`, and with `divided` (the arguments of `Datasets.count_splits`) the counts of the splits.

    The counts are None where the rows can't be split.
    """
    result = CheckResult.model_validate(_run(context, "check", arguments, watch))
    return result.whole, result.counts


def _run(context: Context, job: str, arguments: Mapping[str, Any], watch: Watch) -> Any:
    """The result of one of `JOBS`, run in a subprocess."""
    place = {"home": str(context.home.root), "workspace": context.workspace.name, "demo": context.demo}
    request = {"context": place, "job": job, "arguments": dict(arguments)}
    seconds = VISITORS_SECONDS if context.workspace.is_visitors else None
    limits = ProcessLimits(seconds=seconds, threads=None, nice=NICENESS)
    try:
        return run_in_process(run_job, request, limits, progress=watch.progress, cancel=watch.cancel)
    except ProcessCancelled as error:
        raise Cancelled from error
    except ProcessTimeout as error:
        raise StudioError(
            "limit-reached",
            f"This took longer than the limit of {VISITORS_SECONDS / 60:g} minutes in this demo.",
            hint="Import fewer rows.",
        ) from error
    except ProcessOutOfMemory as error:
        raise StudioError(
            "out-of-memory",
            "The process that read the rows was stopped, most likely because memory ran out.",
            hint="Close other programs, or import fewer rows.",
        ) from error
    except ProcessCrashed as error:
        raise StudioError("unexpected", "The work on the rows failed.", hint=error.hint) from error


# --- in the process ---


def run_job(context: dict[str, Any], job: str, arguments: dict[str, Any], progress: Progress) -> Any:
    """Run one of `JOBS` for a workspace. `context` names the data folder and the workspace."""
    home = Home(Path(context["home"]))
    datasets = Datasets(Context(home, home.workspace(context["workspace"]), context["demo"]))

    def report(rows: int, size: int = 0) -> None:
        progress(rows, size)

    return JOBS[job](datasets, report, **arguments).model_dump(mode="json")


def _read_files(datasets: Datasets, report: Callable[..., None], paths: dict[str, str], how: dict[str, Any]) -> Any:
    files = {name: Path(path) for name, path in paths.items()}
    if len(files) == 1:
        name, path = next(iter(files.items()))
        return datasets.add_file(path, name, progress=report, **how)
    return datasets.add_files(files, progress=report, **how)


def _check(
    datasets: Datasets,
    report: Callable[..., None],
    dataset: str,
    task: str,
    divided: dict[str, Any] | None = None,
    **options: Any,
) -> CheckResult:
    """Check the rows. `options` are fields of `CheckOptions`."""
    if options.get("rows_left_out") is not None:
        options["rows_left_out"] = tuple((first, last) for first, last in options["rows_left_out"])
    check_report = datasets.check(dataset, task, CheckOptions(**options, suspects=False), report)
    counts = None
    if divided is not None:
        with suppress(StudioError):  # `splits` raises the reason
            counts = _splits(datasets, report, dataset, **divided)
    return CheckResult(
        report=check_report, every=tuple(problem.every for problem in check_report.problems), counts=counts
    )


def _splits(
    datasets: Datasets, report: Callable[..., None], dataset: str, splits: dict[str, Any], spec: dict[str, Any]
) -> Any:
    return datasets.count_splits(dataset, SplitSpec(**splits), spec=DatasetSpec.model_validate(spec))


def _fix(datasets: Datasets, _: Callable[..., None], dataset: str, kind: str, options: dict[str, Any]) -> DatasetRecord:
    if options["lengths"] is not None:  # JSON has texts as keys
        options["lengths"] = {int(row): length for row, length in options["lengths"].items()}
    return datasets.fix(dataset, kind, CheckOptions(**options))


def _compare(datasets: Datasets, report: Callable[..., None], dataset: str, before: int, after: int) -> Any:
    difference = Versions(datasets).difference(dataset, before, after)
    old, new = (b64encode(numbers.tobytes()).decode() for numbers in (difference.before, difference.after))
    return CompareResult(
        columns_added=difference.columns_added,
        columns_removed=difference.columns_removed,
        same=difference.same,
        before=old,
        after=new,
    )


JOBS: dict[str, Callable[..., Any]] = {
    "read_files": _read_files,
    "fetch_rows": lambda datasets, report, name, how: datasets.add_hub(name, progress=report, **how),
    "reread": lambda datasets, report, dataset, how: datasets.reread(dataset, progress=report, **how),
    "fix": _fix,
    "check": _check,
    "splits": _splits,
    "compare": _compare,
    "edit": lambda datasets, _, **arguments: Editing(datasets).edit(**arguments),
}
