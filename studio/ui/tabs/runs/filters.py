"""Filters of the table of runs: text, dataset, tag and order."""

from dataclasses import dataclass

from studio.schema.runs import RunRecord
from studio.ui.components.basic import check_input, select_input, text_input
from studio.ui.icons import icon
from studio.ui.markup import Html, html
from studio.ui.session import Visit


@dataclass(frozen=True)
class RunQuery:
    """Which runs the table shows, and the choices of the filters."""

    find: str
    tag: str
    dataset: str
    """Id of a dataset: only its runs are shown. Empty for all."""
    sort: str
    archived: bool
    tags: tuple[str, ...]
    """All tags that runs have."""
    datasets: dict[str, str]
    """Id → name of the datasets that runs were trained on and that still exist."""
    any: bool
    """Whether there are runs at all."""


def current(visit: Visit) -> RunQuery:
    """The filters as they are set. A dataset, tag or order that no longer exists counts as not set."""
    kept = dict(visit.choices.extra.get("finding") or {})
    runs = visit.studio.runs.all()
    tags = tuple(sorted({tag for record in runs for tag in record.tags}, key=str.casefold))
    used = {record.dataset for record in runs}
    datasets = {each.id: each.name for each in visit.studio.datasets.all() if each.id in used}
    dataset = str(kept.get("dataset", ""))
    tag, sort = str(kept.get("tag", "")), str(kept.get("sort", ""))
    return RunQuery(
        find=str(kept.get("find", "")),
        tag=tag if tag in tags else "",
        dataset=dataset if dataset in datasets else "",
        sort=sort if sort in visit.studio.runs.orders() else "newest",
        archived=bool(kept.get("archived")),
        tags=tags,
        datasets=datasets,
        any=bool(runs),
    )


def records(visit: Visit, query: RunQuery) -> list[RunRecord]:
    """The runs that match."""
    runs = visit.studio.runs.find(query.find, query.tag, query.sort, query.archived)
    return [each for each in runs if query.dataset in ("", each.dataset)]


def panel(visit: Visit, query: RunQuery) -> Html:
    """The fields."""
    orders = list(visit.studio.runs.orders().items())
    dataset, tag = "", ""
    if len(query.datasets) > 1 or query.dataset:
        choices = [("", "All datasets"), *query.datasets.items()]
        dataset = select_input("run-dataset", choices, query.dataset, "find-dataset", label="Dataset")
    if query.tags:
        choices = [("", "All tags"), *((each, each) for each in query.tags)]
        tag = select_input("run-tag", choices, query.tag, "find-tag", label="Tag")
    return html(
        '<div class="row wrap finding">{dataset}<span class="ibox">{icon}{find}</span>{tag}{sort}{archived}</div>',
        dataset=dataset,
        icon=icon("search"),
        find=text_input(
            "run-find",
            query.find,
            "find",
            type="search",
            class_="with-i",
            placeholder="Find a run",
            aria_label="Find a run",
            data_live="",
        ),
        tag=tag,
        sort=select_input("run-sort", orders, query.sort, "find-sort", label="Order"),
        archived=check_input("run-archived", "Archived", query.archived, "find-archived"),
    )


def _keep(visit: Visit, name: str, value: object) -> None:
    visit.add("finding", **{name: value})


def find(visit: Visit) -> None:
    """Filter by text."""
    _keep(visit, "find", visit.text("value", 200))


def by_tag(visit: Visit) -> None:
    """Filter by tag."""
    _keep(visit, "tag", visit.text("value", 60))


def by_dataset(visit: Visit) -> None:
    """Filter by dataset, any version."""
    _keep(visit, "dataset", visit.text("value", 60))


def sort(visit: Visit) -> None:
    """Set the order."""
    _keep(visit, "sort", visit.text("value", 20))


def archived(visit: Visit) -> None:
    """Show archived runs, or the others."""
    _keep(visit, "archived", visit.event.get("value") in (True, "true", "on"))


ACTS = {
    "find": find,
    "find-dataset": by_dataset,
    "find-tag": by_tag,
    "find-sort": sort,
    "find-archived": archived,
}
