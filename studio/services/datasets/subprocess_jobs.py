"""Long work on rows in a subprocess: reading files, downloading rows, checking, splitting, comparing.

The page stays responsive, and the memory is freed when the work is done. The work reports progress and can be
cancelled. It then leaves nothing behind.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

from studio.data.table_diff import Difference
from studio.machine.run_in_process import (
    ProcessCancelled,
    ProcessCrashed,
    ProcessOutOfMemory,
    ProcessTimeout,
    run_in_process,
)
from studio.schema.base import FrozenModel
from studio.schema.dataset import CheckReport, DatasetRecord, DatasetSpec, Reading, SplitCounts, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.spans import Spans
from studio.services.context import Context
from studio.services.datasets.editing import Editing
from studio.services.datasets.service import Datasets
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
        super().__init__("wrong-state", "This was stopped. Nothing was changed.", hint="Begin it again when you like.")


def read_files(
    context: Context,
    paths: Mapping[str, Path],
    how: Reading,
    progress: Progress | None = None,
    cancel: Event | None = None,
) -> DatasetRecord:
    """`Datasets.add_files`."""
    arguments = {"paths": {name: str(path) for name, path in paths.items()}, "how": how.chosen}
    return DatasetRecord.model_validate(_run(context, "read_files", arguments, progress, cancel))


def fetch_rows(
    context: Context, name: str, how: Reading, progress: Progress | None = None, cancel: Event | None = None
) -> DatasetRecord:
    """`Datasets.add_hub`."""
    return DatasetRecord.model_validate(
        _run(context, "fetch_rows", {"name": name, "how": how.chosen}, progress, cancel)
    )


def reread(
    context: Context, dataset: str, how: Reading, progress: Progress | None = None, cancel: Event | None = None
) -> DatasetRecord:
    """`Datasets.reread`."""
    return DatasetRecord.model_validate(
        _run(context, "reread", {"dataset": dataset, "how": how.named_fields}, progress, cancel)
    )


def fix(
    context: Context, arguments: Mapping[str, Any], progress: Progress | None = None, cancel: Event | None = None
) -> DatasetRecord:
    """`Datasets.fix`."""
    return DatasetRecord.model_validate(_run(context, "fix", arguments, progress, cancel))


def check(
    context: Context, arguments: Mapping[str, Any], progress: Progress | None = None, cancel: Event | None = None
) -> CheckReport:
    """`Datasets.check`."""
    return CheckResult.model_validate(_run(context, "check", arguments, progress, cancel)).whole


def check_and_split(
    context: Context, arguments: Mapping[str, Any], progress: Progress | None = None, cancel: Event | None = None
) -> tuple[CheckReport, SplitCounts | None]:
    """`Datasets.check`, and then the counts of the splits in the same process.

    The counts are None where the rows can't be split. `arguments` also has `divided`: the arguments of `splits`.
    """
    result = CheckResult.model_validate(_run(context, "check", arguments, progress, cancel))
    return result.whole, result.counts


def splits(
    context: Context, arguments: Mapping[str, Any], progress: Progress | None = None, cancel: Event | None = None
) -> SplitCounts:
    """`Datasets.count_splits`; the arguments `splits` and `spec` are dumped models."""
    return SplitCounts.model_validate(_run(context, "splits", arguments, progress, cancel))


def compare(
    context: Context, arguments: Mapping[str, Any], progress: Progress | None = None, cancel: Event | None = None
) -> Difference:
    """`Versions.difference`: what differs between the versions `before` and `after` of a dataset."""
    result = CompareResult.model_validate(_run(context, "compare", arguments, progress, cancel))
    difference = Difference(result.columns_added, result.columns_removed, same=result.same)
    for numbers, packed in ((difference.before, result.before), (difference.after, result.after)):
        numbers.frombytes(b64decode(packed))
    return difference


def edit(
    context: Context, arguments: Mapping[str, Any], progress: Progress | None = None, cancel: Event | None = None
) -> DatasetRecord:
    """`Editing.edit`."""
    return DatasetRecord.model_validate(_run(context, "edit", arguments, progress, cancel))


def _run(
    context: Context, job: str, arguments: Mapping[str, Any], progress: Progress | None, cancel: Event | None
) -> Any:
    """The result of one of `JOBS`, run in a subprocess."""
    request = {
        "home": str(context.home.root),
        "workspace": context.workspace.name,
        "demo": context.demo,
        "job": job,
        "arguments": dict(arguments),
    }
    time_limit = VISITORS_SECONDS if context.workspace.is_visitors else None
    try:
        return run_in_process(
            run_job, request, progress=progress, cancel=cancel, time_limit=time_limit, threads=None, nice=NICENESS
        )
    except ProcessCancelled as error:
        raise Cancelled from error
    except ProcessTimeout as error:
        raise StudioError(
            "limit-reached",
            f"This took longer than the {VISITORS_SECONDS / 60:g} minutes that this demo allows.",
            hint="Bring a part of the rows.",
        ) from error
    except ProcessOutOfMemory as error:
        raise StudioError(
            "out-of-memory",
            "The process that worked on the rows was ended before it was done: too little memory, most likely.",
            hint="Free memory, or bring a part of the rows.",
        ) from error
    except ProcessCrashed as error:
        raise StudioError("unexpected", "The rows could not be worked on.", hint=error.hint) from error


# --- in the process ---


def run_job(home: str, workspace: str, demo: bool, job: str, arguments: dict[str, Any], progress: Progress) -> Any:
    """Run one of `JOBS` for a workspace."""
    root = Home(Path(home))
    datasets = Datasets(Context(root, root.workspace(workspace), demo))

    def report(rows: int, size: int = 0) -> None:
        progress(rows, size)

    return JOBS[job](datasets, report, **arguments).model_dump(mode="json")


def _read_files(datasets: Datasets, report: Callable[..., None], paths: dict[str, str], how: dict[str, Any]) -> Any:
    files = {name: Path(path) for name, path in paths.items()}
    if len(files) == 1:
        name, path = next(iter(files.items()))
        return datasets.add_file(path, name, progress=report, **how)
    return datasets.add_files(files, progress=report, **how)


def _fetch_rows(datasets: Datasets, report: Callable[..., None], name: str, how: dict[str, Any]) -> Any:
    return datasets.add_hub(name, progress=report, **how)


def _reread(datasets: Datasets, report: Callable[..., None], dataset: str, how: dict[str, Any]) -> Any:
    return datasets.reread(dataset, progress=report, **how)


def _fix(datasets: Datasets, report: Callable[..., None], dataset: str, kind: str, whole: bool) -> Any:
    return datasets.fix(dataset, kind, whole=whole)


def _check(
    datasets: Datasets,
    report: Callable[..., None],
    dataset: str,
    rows_left_out: Any = None,
    divided: Any = None,
    **options: Any,
) -> Any:
    spans = None if rows_left_out is None else tuple((first, last) for first, last in rows_left_out)
    check_report = datasets.check(dataset, progress=report, bare=True, rows_left_out=spans, **options)
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


def _edit(datasets: Datasets, report: Callable[..., None], **arguments: Any) -> Any:
    return Editing(datasets).edit(**arguments)


JOBS: dict[str, Callable[..., Any]] = {
    "read_files": _read_files,
    "fetch_rows": _fetch_rows,
    "reread": _reread,
    "fix": _fix,
    "check": _check,
    "splits": _splits,
    "compare": _compare,
    "edit": _edit,
}
