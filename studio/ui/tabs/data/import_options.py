"""Reading files, downloading Hub rows, and reading again with other options: directly for small files, else in the
background with progress and cancellation. Part of the Data tab."""

from collections.abc import Callable
from itertools import chain, count
from pathlib import Path
from typing import Any

from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError
from studio.schema.views import HubDataset
from studio.services.datasets.check_options import CheckOptions
from studio.services.datasets.subprocess_jobs import MANY as MANY_ROWS
from studio.store.cache import Cache
from studio.ui.components.basic import Primary, action_bar, button, heading
from studio.ui.components.import_preview import under_way
from studio.ui.components.markup import Html, html
from studio.ui.http.uploads import Uploads
from studio.ui.jobs import JOBS, Job, Key
from studio.ui.visitors.session import Visit

AT_ONCE = 2_000_000
"""Maximum size in bytes for reading without a subprocess, whose start takes about as long."""
MOST_FILES = 1_000
_SEEN: Cache[HubDataset] = Cache(64)
"""Workspace → the Hub dataset that was inspected last."""


def key_of(visit: Visit) -> Key:
    """The job key of a workspace."""
    return visit.workspace, "reading"


def running_job(visit: Visit) -> Job | None:
    """The running job of this workspace."""
    return JOBS.get(key_of(visit))


def drawn(job: Job) -> tuple[Html, Html]:
    """The tab while files are read."""
    body = html(
        '{head}<div class="cols main-side w400"><div class="stack">{panel}</div></div>',
        head=heading(
            "Import your rows",
            "This takes a moment. You can leave the tab or the page, and come back.",
            button("All datasets", "library", "s"),
        ),
        panel=under_way(job),
    )
    return body, action_bar("Reading …", Primary("Next: method", disabled=True), back="model")


def take_files(visit: Visit, files: Uploads) -> DatasetRecord | None:
    """Import the files that were just sent. None when they are read in the background."""
    tickets = (visit.text("tickets", 40 * MOST_FILES) or visit.text("ticket", 64)).split()
    if len(tickets) > MOST_FILES:
        raise StudioError(
            "too-large",
            "Too many files were sent at once.",
            given=len(tickets),
            valid=f"at most {MOST_FILES:,}",
            hint="Put them into a zip file.",
        )
    paths: dict[str, Path] = {}
    for ticket in tickets or [""]:
        path = files.take(visit.workspace, ticket)
        paths[_free_name(path.name, paths)] = path
    studio, (name, *others) = visit.studio, paths

    def add() -> DatasetRecord:
        return studio.datasets.add_files(paths) if others else studio.datasets.add_file(paths[name], name)

    def add_and_forget(add: Callable[[], DatasetRecord]) -> DatasetRecord:
        try:
            return add()
        finally:
            for path in paths.values():
                files.forget(path)

    size = sum(path.stat().st_size for path in paths.values())
    if size <= AT_ONCE:
        return add_and_forget(add)
    job = Job(f"Reading {len(paths):,} files" if others else f"Reading {name}", total=size)
    return _begin(visit, job, lambda job: add_and_forget(lambda: studio.jobs.add_files(paths, job.watch)))


def _free_name(name: str, taken: dict[str, Path]) -> str:
    """The name, with a number when another file has the same name."""
    stem, dot, ending = name.rpartition(".")
    start, end = (stem, f".{ending}") if dot and stem else (name, "")
    numbered = (f"{start} ({number}){end}" for number in count(2))
    return next(each for each in chain([name], numbered) if each not in taken)


def reread(visit: Visit) -> DatasetRecord | None:
    """Read the same files with other options."""
    record, studio = visit.studio.datasets.get(visit.choices.dataset), visit.studio
    how = _how(visit.text("name", 40), visit.text("value", 500))
    of_hub = record.source.startswith("hf:")
    if record.bytes <= AT_ONCE and not of_hub:
        return studio.datasets.reread(record.id, **how)
    job = Job(f"Reading {record.name} again", total=0 if of_hub else record.bytes)
    return _begin(visit, job, lambda job: studio.jobs.reread(record.id, job.watch, **how))


def fix(visit: Visit, kind: str, whole: bool) -> DatasetRecord | None:
    """Repair or remove the rows with a kind of problem, in the background for many rows."""
    record, studio, chosen = visit.studio.datasets.get(visit.choices.dataset), visit.studio, visit.choices
    options = CheckOptions(whole=whole, model=chosen.model or None, max_length=chosen.settings.get("max_length"))
    if record.rows <= MANY_ROWS:
        return studio.checks.fix(record.id, kind, options)

    def work(job: Job) -> DatasetRecord:
        return studio.jobs.fix(record.id, kind, studio.checks.measured(record.id, kind, options), job.watch)

    return _begin(visit, Job(f"Fixing {record.name}"), work)


def edit(visit: Visit, row: int, cells: dict[str, str]) -> DatasetRecord | None:
    """Change cells of a row, in the background for many rows."""
    record, studio = visit.studio.datasets.get(visit.choices.dataset), visit.studio
    if record.rows <= MANY_ROWS:
        return studio.editing.edit(record.id, row, cells)
    job = Job(f"Writing {record.name}")
    return _begin(visit, job, lambda job: studio.jobs.edit_row(record.id, row, cells, job.watch))


def _how(name: str, value: str) -> dict[str, Any]:
    """The changed option. An empty value resets it to the default."""
    if name == "header":
        return {"header": {"yes": True, "no": False}.get(value)}
    if name == "row_limit":
        return {"row_limit": _whole(value)}
    return {name: value}


def _whole(text: str) -> int:
    text = text.replace(",", "").replace(" ", "").strip()
    if text and not (text.isdecimal() and text.isascii() and len(text) < 10):
        raise StudioError(
            "bad-setting",
            "The number of rows is not a whole number.",
            given=text,
            valid="1 or more, for example 20000",
            field="row_limit",
        )
    return int(text or 0)


def _begin(visit: Visit, job: Job, do: Callable[[Job], DatasetRecord]) -> DatasetRecord | None:
    """Start a job in the background. There is no dataset yet: `finished` returns it later."""
    if JOBS.begin(key_of(visit), job, do) is not job:
        raise StudioError("wrong-state", "Another import is running.", hint="Wait until it ends, or cancel it.")
    return None


def finished(visit: Visit) -> DatasetRecord | None:
    """The imported dataset, once. Raises the error of a failed import. None while it runs."""
    job = visit.take_job(key_of(visit))
    if job is None:
        return None
    if job.error is not None:
        raise job.error
    record: DatasetRecord = job.result
    return record


def stop(visit: Visit) -> None:
    """Stop reading. Nothing is saved."""
    JOBS.cancel(key_of(visit))


# --- the Hub ---


def hub_dataset(visit: Visit) -> HubDataset | None:
    """The dataset that was inspected last, when its name is still in the form."""
    dataset = _SEEN.get(visit.workspace)
    return dataset if dataset is not None and dataset.name == hub_choices(visit).get("name") else None


def hub_choices(visit: Visit) -> dict[str, str]:
    """Name, config, split and limit as typed."""
    return visit.choices.extra.get("hub") or {}


def hub_inspect(visit: Visit) -> None:
    """Inspect a dataset on the Hub."""
    name = visit.text("value", 200).strip().removeprefix("hf:")
    visit.remember(hub={"name": name}, fold="hub")
    if name:
        _SEEN.put(visit.workspace, visit.studio.datasets.hub_info(name))


def hub_choose(visit: Visit) -> None:
    """Choose a config, a split, or the maximum number of rows."""
    which = {"hub_config": "config", "hub_split": "split", "row_limit": "limit"}.get(visit.text("name", 40))
    if which is None:
        return
    value = visit.text("value", 200)
    if which == "limit":
        _whole(value)
    kept = {key: old for key, old in hub_choices(visit).items() if not (which == "config" and key == "split")}
    visit.remember(hub={**kept, which: value})


def hub_fetch(visit: Visit) -> None:
    """Download the chosen rows."""
    visit.settle()
    dataset, chosen, studio = hub_dataset(visit), hub_choices(visit), visit.studio
    if dataset is None:
        raise StudioError("no-such-dataset", "No Hub dataset was named.", hint="Type its name and press Enter.")
    known = list(dataset.configs)
    how: dict[str, Any] = {
        "hub_config": chosen.get("config") or ("default" if "default" in known else known[0]),
        "hub_split": chosen.get("split"),
        "row_limit": _whole(chosen.get("limit", "")),
    }
    how = {name: value for name, value in how.items() if value}
    job = Job(f"Downloading {dataset.name} from the Hub")
    _begin(visit, job, lambda job: studio.jobs.add_hub(dataset.name, job.watch, **how))
