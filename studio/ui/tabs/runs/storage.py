"""Disk usage: a panel under the table of runs, computed on request."""

from studio.schema.numbers import size
from studio.schema.views import Stored
from studio.ui.components import layout
from studio.ui.components.basic import button
from studio.ui.components.markup import Html, Verbatim, html
from studio.ui.tabs.data import library
from studio.ui.visitors.session import Visit

KINDS = {"run": "Run", "dataset": "Dataset", "model": "Model", "tokens": "Token cache"}
MOST = 200
"""Maximum number of entries; the largest come first."""


def panel(visit: Visit) -> Html:
    """All that uses disk space, with buttons to delete it."""
    if not visit.choices.extra.get("storage"):
        return html(
            '<section class="panel row" aria-label="Storage"><span class="grow"><b>Storage</b> <span class="muted">'
            "Disk space of models, datasets and runs.</span></span>{b}</section>",
            b=button("Show", "storage", "s", to="yes", aria_label="Show disk usage"),
        )
    view = visit.studio.storage.view()
    side = html(
        '<span class="muted grow">{used} used, {free} free</span>{hide}',
        used=size(sum(each.bytes for each in view.things)),
        free=size(view.free_bytes),
        hide=button("Hide", "storage", "s", to="", aria_label="Hide disk usage"),
    )
    heads = Html('<th>Type</th><th>Name</th><th class="num">Size</th><th><span class="sr">Actions</span></th>')
    table = layout.scroll_table("Storage", heads, [_row(each) for each in view.things[:MOST]])
    saved = html('<p class="bar small" role="status">{sentence}</p>', sentence=view.bucket) if view.bucket else ""
    return layout.panel("Storage", "storage", html("{saved}{table}", saved=saved, table=table), side)


def _row(each: Stored) -> Html:
    acts: list[Html] = []
    if each.kind == "dataset":
        acts.append(button("Open", "storage-open", "s quiet", dataset=each.id, aria_label=f"Open dataset {each.name}"))
    if each.kept_by:
        acts.append(html('<span class="small">{w}</span>', w=each.kept_by))
    else:
        question = f"Delete {each.name}, {size(each.bytes)}? You lose {each.lost}."
        title, what = f"Delete {KINDS[each.kind].lower()} {each.name}", each.kind
        if what == "tokens":
            title, question = (
                "Delete the cached tokens",
                f"Delete the cached tokens, {size(each.bytes)}? You lose {each.lost}.",
            )
        delete = button(
            "Delete",
            "storage-delete",
            "s quiet danger",
            what=what,
            id=each.id,
            aria_label=title,
            confirm=question,
        )
        acts.append(delete)
    return html(
        '<tr data-key="{k}"><td>{kind}</td><td class="cut">{name}</td><td class="num">{size}</td>'
        '<td class="num">{act}</td></tr>',
        k=f"stored-{each.kind}-{each.id}",
        kind=KINDS[each.kind],
        name=each.name if each.kind == "tokens" else Verbatim(each.name),
        size=size(each.bytes),
        act=acts,
    )


def show(visit: Visit) -> None:
    """Open or close the panel."""
    visit.remember(storage=bool(visit.text("to", 5)))


def delete(visit: Visit) -> None:
    """Delete one entry of the list."""
    name = visit.text("id", 200)
    match visit.text("what", 20):
        case "run":
            visit.studio.runs.delete(name)
            if visit.choices.run == name:
                visit.choose(run="", reached=())
        case "dataset":
            visit.studio.datasets.delete(name)
            if visit.choices.dataset == name:
                visit.choose(dataset="", version=None)
        case "model":
            visit.studio.storage.delete_model(name)
        case "tokens":
            visit.studio.storage.delete_tokens()


def open_dataset(visit: Visit) -> None:
    """Open a dataset in the Data tab."""
    library.open_(visit)
    visit.goto("data")


LEADING = {"storage-open": open_dataset}
"""Actions after which another tab opens."""
ACTS = {"storage": show, "storage-delete": delete}
