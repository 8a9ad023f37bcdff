"""Filters of the table of runs: text, dataset, tag and order."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from studio.schema.runs import RunRecord
from studio.ui.components.basic import check_input, select_input, text_input
from studio.ui.components.icons import icon
from studio.ui.components.markup import Html, Verbatim, html
from studio.ui.visitors.session import Visit


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

    @property
    def narrows(self) -> bool:
        """Whether a text, a tag or a dataset is set."""
        return bool(self.find.strip() or self.tag or self.dataset)


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

    def choose(name: str, choices: Iterable[tuple[str, str]], chosen: str, label: str) -> Html:
        return select_input(f"run-{name}", list(choices), chosen, f"find-{name}", aria_label=label)

    datasets = [("", "All datasets"), *((each, Verbatim(name)) for each, name in query.datasets.items())]
    tags = [("", "All tags"), *((each, Verbatim(each)) for each in query.tags)]
    search = {"type": "search", "class_": "with-i", "placeholder": "Find a run", "aria_label": "Find a run"}
    return html(
        '<div class="row wrap finding">{dataset}<span class="ibox">{icon}{find}</span>{tag}{sort}{archived}</div>',
        dataset=bool(len(query.datasets) > 1 or query.dataset)
        and choose("dataset", datasets, query.dataset, "Dataset"),
        icon=icon("search"),
        find=text_input("run-find", query.find, "find", data_live="", **search),
        tag=query.tags and choose("tag", tags, query.tag, "Tag"),
        sort=choose("sort", visit.studio.runs.orders().items(), query.sort, "Order"),
        archived=check_input("run-archived", "Archived", query.archived, "find-archived"),
    )


def _keep(visit: Visit, name: str, limit: int) -> None:
    """Set a filter."""
    visit.add("finding", **{name: visit.text("value", limit)})


def show_archived(visit: Visit) -> None:
    """Show archived runs, or the others."""
    visit.add("finding", archived=visit.event.get("value") in (True, "true", "on"))


ACTS: dict[str, Callable[[Visit], None]] = {
    "find": partial(_keep, name="find", limit=200),
    "find-dataset": partial(_keep, name="dataset", limit=60),
    "find-tag": partial(_keep, name="tag", limit=60),
    "find-sort": partial(_keep, name="sort", limit=20),
    "find-archived": show_archived,
}
