"""Long work on rows in a process of its own, so that the page stays quick and its memory is given back: reading files,
fetching rows of the Hub, looking for what is wrong. It tells how far it is, and ends at once when it is to stop.

`python -m studio.services.datasets.subprocess_jobs` is that process: one line of JSON in, lines of JSON out.
"""

import json
import os
import signal
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any, NoReturn

from studio.data.table_diff import Difference
from studio.schema.base import FrozenModel
from studio.schema.dataset import CheckReport, DatasetRecord, DatasetSpec, Reading, SplitCounts, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.spans import Spans
from studio.services.context import Context
from studio.services.datasets.editing import Editing
from studio.services.datasets.service import Datasets
from studio.services.datasets.versions import Versions
from studio.store import Home

Tell = Callable[[int, int], None]
"""Rows and bytes so far."""
MANY = 20_000
"""Rows beyond which it is worth a process of its own."""
PATIENCE = 0.2
"""Seconds after which it is looked whether the work is to stop."""
GRACE = 5.0
"""Seconds for the process to clean up behind itself."""
VISITORS_SECONDS = 300.0
"""Seconds that the process may work for a visitor of a demo."""
KINDNESS = 5
"""How much the process stands back behind the page."""


class _Looked(FrozenModel):
    """A report, with all rows of each of its problems, which a report alone does not print."""

    report: CheckReport
    every: tuple[Spans, ...]
    counts: SplitCounts | None = None

    @property
    def whole(self) -> CheckReport:
        """The report with all rows."""
        told = zip(self.report.problems, self.every, strict=True)
        problems = tuple(problem.model_copy(update={"every": every}) for problem, every in told)
        return self.report.model_copy(update={"problems": problems})


class _Compared(FrozenModel):
    """A difference; its row numbers as bytes, since there can be millions."""

    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    same: int
    before: str
    after: str


class Stopped(StudioError):
    """The work was stopped by the person who began it; nothing of it is left."""

    def __init__(self) -> None:
        super().__init__("wrong-state", "This was stopped. Nothing was changed.", hint="Begin it again when you like.")


def read_files(
    context: Context, paths: Mapping[str, Path], how: Reading, tell: Tell | None = None, stop: Event | None = None
) -> DatasetRecord:
    """`add_files` in a process of its own."""
    given = {"paths": {name: str(path) for name, path in paths.items()}, "how": how.chosen}
    return DatasetRecord.model_validate(_do(context, "files", given, tell, stop))


def fetch_rows(
    context: Context, name: str, how: Reading, tell: Tell | None = None, stop: Event | None = None
) -> DatasetRecord:
    """`add_hub` in a process of its own."""
    return DatasetRecord.model_validate(_do(context, "hub", {"name": name, "how": how.chosen}, tell, stop))


def reread(
    context: Context, dataset: str, how: Reading, tell: Tell | None = None, stop: Event | None = None
) -> DatasetRecord:
    """`reread` in a process of its own."""
    return DatasetRecord.model_validate(_do(context, "reread", {"dataset": dataset, "how": how.said}, tell, stop))


def fix(
    context: Context, given: Mapping[str, Any], tell: Tell | None = None, stop: Event | None = None
) -> DatasetRecord:
    """`fix` in a process of its own; `given` are its arguments."""
    return DatasetRecord.model_validate(_do(context, "fix", dict(given), tell, stop))


def check(
    context: Context, given: Mapping[str, Any], tell: Tell | None = None, stop: Event | None = None
) -> CheckReport:
    """`check` in a process of its own; `given` are its arguments."""
    return _Looked.model_validate(_do(context, "check", dict(given), tell, stop)).whole


def look(
    context: Context, given: Mapping[str, Any], tell: Tell | None = None, stop: Event | None = None
) -> tuple[CheckReport, SplitCounts | None]:
    """`check` and then `splits` in one process of its own; no counts where the rows can't be divided. `given` also
    holds `divided`: the arguments of `splits`."""
    found = _Looked.model_validate(_do(context, "check", dict(given), tell, stop))
    return found.whole, found.counts


def splits(
    context: Context, given: Mapping[str, Any], tell: Tell | None = None, stop: Event | None = None
) -> SplitCounts:
    """`splits` in a process of its own: a dataset, the way to divide it, and how it is read."""
    return SplitCounts.model_validate(_do(context, "splits", dict(given), tell, stop))


def compare(
    context: Context, given: Mapping[str, Any], tell: Tell | None = None, stop: Event | None = None
) -> Difference:
    """What differs between two versions, worked out in a process of its own; `given`: dataset, before, after."""
    told = _Compared.model_validate(_do(context, "compare", dict(given), tell, stop))
    found = Difference(told.columns_added, told.columns_removed, same=told.same)
    for numbers, packed in ((found.before, told.before), (found.after, told.after)):
        numbers.frombytes(b64decode(packed))
    return found


def edit(
    context: Context, given: Mapping[str, Any], tell: Tell | None = None, stop: Event | None = None
) -> DatasetRecord:
    """`Editing.edit` in a process of its own; `given` are its arguments."""
    return DatasetRecord.model_validate(_do(context, "edit", dict(given), tell, stop))


def _do(context: Context, what: str, given: dict[str, Any], tell: Tell | None, stop: Event | None) -> Any:
    """Have it done, and tell what it tells."""
    about = {"home": str(context.home.root), "workspace": context.workspace.name, "demo": context.demo}
    began, seconds = time.monotonic(), VISITORS_SECONDS if context.workspace.is_visitors else 0.0
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        with suppress(BrokenPipeError):  # it was ended before it could listen: its exit status says so
            child.stdin.write(json.dumps({**about, "what": what, "given": given}) + "\n")
            child.stdin.close()
        with _ended_when(stop, child, began + seconds if seconds else None):
            answer = _take(child.stdout, tell)
    if stop is not None and stop.is_set():
        raise Stopped
    if answer is None and 0 < seconds < time.monotonic() - began:
        raise StudioError(
            "limit-reached",
            f"This took longer than the {seconds / 60:g} minutes that this demo allows.",
            hint="Bring a part of the rows.",
        )
    if answer is None and (child.returncode or 0) < 0:
        raise StudioError(
            "out-of-memory",
            "The process that worked on the rows was ended before it was done: too little memory, most likely.",
            hint="Free memory, or bring a part of the rows.",
        )
    if answer is None:
        raise StudioError(
            "unexpected", "The rows could not be worked on.", hint="The log of the studio holds the cause."
        )
    if "refused" in answer:
        raise StudioError(**answer["refused"])
    return answer["done"]


def _take(lines: IO[str], tell: Tell | None) -> dict[str, Any] | None:
    """The last word of the process; None when it broke off."""
    answer = None
    for line in lines:
        told = json.loads(line) if line.endswith("\n") else {}
        if "rows" in told:
            if tell:
                tell(told["rows"], told["bytes"])
        elif told:
            answer = told
    return answer


@contextmanager
def _ended_when(stop: Event | None, child: "subprocess.Popen[str]", until: float | None = None) -> Iterator[None]:
    """Within this the process is ended as soon as it is to stop, or at a time, and in any case at the end."""
    over = Event()

    def watch() -> None:
        while not over.wait(PATIENCE):
            if (stop is not None and stop.is_set()) or (until is not None and time.monotonic() > until):
                child.terminate()
                if not over.wait(GRACE):
                    child.kill()
                return

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        try:
            child.wait(GRACE)
        except subprocess.TimeoutExpired:
            child.kill()
        over.set()
        watcher.join()


# --- the process ---


def _end(*_: object) -> NoReturn:
    """Asked to end: leave as from an error, so that what was half written is removed."""
    sys.exit(1)


def _say(told: Any) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def _tell(rows: int, size: int = 0) -> None:
    _say({"rows": rows, "bytes": size})


def _files(datasets: Datasets, paths: dict[str, str], how: dict[str, Any]) -> Any:
    files = {name: Path(path) for name, path in paths.items()}
    if len(files) == 1:
        name, path = next(iter(files.items()))
        return datasets.add_file(path, name, Reading(**how), progress=_tell)
    return datasets.add_files(files, Reading(**how), progress=_tell)


def _hub(datasets: Datasets, name: str, how: dict[str, Any]) -> Any:
    return datasets.add_hub(name, Reading(**how), progress=_tell)


def _reread(datasets: Datasets, dataset: str, how: dict[str, Any]) -> Any:
    return datasets.reread(dataset, Reading(**how), progress=_tell)


def _fix(datasets: Datasets, dataset: str, kind: str, whole: bool) -> Any:
    return datasets.fix(dataset, kind, whole=whole)


def _check(datasets: Datasets, dataset: str, rows_left_out: Any = None, divided: Any = None, **given: Any) -> Any:
    settled = None if rows_left_out is None else tuple((first, last) for first, last in rows_left_out)
    report = datasets.check(dataset, progress=_tell, bare=True, rows_left_out=settled, **given)
    counts = None
    if divided is not None:
        with suppress(StudioError):  # who asks for the counts alone is told why
            counts = _splits(datasets, dataset, **divided)
    return _Looked(report=report, every=tuple(problem.every for problem in report.problems), counts=counts)


def _splits(datasets: Datasets, dataset: str, splits: dict[str, Any], spec: dict[str, Any]) -> Any:
    return datasets.splits(dataset, SplitSpec(**splits), spec=DatasetSpec.model_validate(spec))


def _compare(datasets: Datasets, dataset: str, before: int, after: int) -> Any:
    found = Versions(datasets).difference(dataset, before, after)
    one, other = (b64encode(numbers.tobytes()).decode() for numbers in (found.before, found.after))
    return _Compared(
        columns_added=found.columns_added,
        columns_removed=found.columns_removed,
        same=found.same,
        before=one,
        after=other,
    )


def _edit(datasets: Datasets, **given: Any) -> Any:
    return Editing(datasets).edit(**given)


WORK: dict[str, Callable[..., Any]] = {
    "files": _files,
    "hub": _hub,
    "reread": _reread,
    "fix": _fix,
    "check": _check,
    "splits": _splits,
    "compare": _compare,
    "edit": _edit,
}


def main() -> int:
    """Do what one line of JSON says; the last line told is what came of it."""
    signal.signal(signal.SIGTERM, _end)
    os.nice(KINDNESS)
    asked = json.loads(sys.stdin.readline())
    home = Home(Path(asked["home"]))
    datasets = Datasets(Context(home, home.workspace(asked["workspace"]), asked["demo"]))
    try:
        _say({"done": WORK[asked["what"]](datasets, **asked["given"]).model_dump(mode="json")})
    except StudioError as error:
        facts = {name: getattr(error, name) for name in ("code", "what", "given", "valid", "hint", "field")}
        plain = {name: value if isinstance(value, list) else value and str(value) for name, value in facts.items()}
        _say({"refused": {**plain, "rows": list(error.rows)}})
    except MemoryError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
