"""Finding runs: the words, dataset, tag and order by which the table of runs is narrowed."""

from dataclasses import dataclass

from studio.schema.runs import RunRecord
from studio.ui.components.basic import check_input, select_input, text_input
from studio.ui.icons import icon
from studio.ui.markup import Html, html
from studio.ui.session import Visit


@dataclass(frozen=True)
class Asked:
    """Which runs a person wants to see."""

    find: str
    tag: str
    dataset: str
    """Id of the dataset whose runs alone are shown; empty for all."""
    sort: str
    archived: bool
    tags: tuple[str, ...]
    """All tags that runs have."""
    datasets: dict[str, str]
    """Id and name of the datasets that runs learned from and that are still here."""
    any: bool
    """Whether there are runs at all."""


def asked(visit: Visit) -> Asked:
    """What was asked for last; a dataset, a tag or an order that there is no more counts as none."""
    kept = dict(visit.choices.extra.get("finding") or {})
    runs = visit.studio.runs.all()
    tags = tuple(sorted({tag for record in runs for tag in record.tags}, key=str.casefold))
    used = {record.dataset for record in runs}
    datasets = {each.id: each.name for each in visit.studio.datasets.all() if each.id in used}
    dataset = str(kept.get("dataset", ""))
    tag, sort = str(kept.get("tag", "")), str(kept.get("sort", ""))
    return Asked(
        find=str(kept.get("find", "")),
        tag=tag if tag in tags else "",
        dataset=dataset if dataset in datasets else "",
        sort=sort if sort in visit.studio.runs.orders() else "newest",
        archived=bool(kept.get("archived")),
        tags=tags,
        datasets=datasets,
        any=bool(runs),
    )


def records(visit: Visit, wanted: Asked) -> list[RunRecord]:
    """The runs that are to be shown."""
    found = visit.studio.runs.find(wanted.find, wanted.tag, wanted.sort, wanted.archived)
    return [each for each in found if wanted.dataset in ("", each.dataset)]


def panel(visit: Visit, wanted: Asked) -> Html:
    """The fields."""
    orders = list(visit.studio.runs.orders().items())
    dataset, tag = "", ""
    if len(wanted.datasets) > 1 or wanted.dataset:
        choices = [("", "All datasets"), *wanted.datasets.items()]
        dataset = select_input("run-dataset", choices, wanted.dataset, "find-dataset", label="Dataset")
    if wanted.tags:
        choices = [("", "All tags"), *((each, each) for each in wanted.tags)]
        tag = select_input("run-tag", choices, wanted.tag, "find-tag", label="Tag")
    return html(
        '<div class="row wrap finding">{dataset}<span class="ibox">{icon}{find}</span>{tag}{sort}{archived}</div>',
        dataset=dataset,
        icon=icon("search"),
        find=text_input(
            "run-find",
            wanted.find,
            "find",
            type="search",
            class_="with-i",
            placeholder="Find a run",
            aria_label="Find a run",
            data_live="",
        ),
        tag=tag,
        sort=select_input("run-sort", orders, wanted.sort, "find-sort", label="Order"),
        archived=check_input("run-archived", "Archived", wanted.archived, "find-archived"),
    )


def _keep(visit: Visit, name: str, value: object) -> None:
    visit.add("finding", **{name: value})


def find(visit: Visit) -> None:
    """Look for words."""
    _keep(visit, "find", visit.text("value", 200))


def by_tag(visit: Visit) -> None:
    """Only runs with a tag."""
    _keep(visit, "tag", visit.text("value", 60))


def by_dataset(visit: Visit) -> None:
    """Only runs on one dataset, whatever its version."""
    _keep(visit, "dataset", visit.text("value", 60))


def sort(visit: Visit) -> None:
    """Another order."""
    _keep(visit, "sort", visit.text("value", 20))


def archived(visit: Visit) -> None:
    """Those that were put aside, or the others."""
    _keep(visit, "archived", visit.event.get("value") in (True, "true", "on"))


ACTS = {
    "find": find,
    "find-dataset": by_dataset,
    "find-tag": by_tag,
    "find-sort": sort,
    "find-archived": archived,
}
