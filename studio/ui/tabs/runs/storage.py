"""Disk usage: a panel under the table of runs, computed on request."""

from studio.schema.numbers import size
from studio.schema.views import Stored
from studio.ui.components import layout
from studio.ui.components.basic import button
from studio.ui.markup import Html, Verbatim, html
from studio.ui.session import Visit

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
    return layout.panel("Storage", "storage", table, side)


def _row(each: Stored) -> Html:
    act: Html | str = html('<span class="small">{w}</span>', w=each.kept_by)
    if not each.kept_by:
        act = button(
            "Delete",
            "storage-delete",
            "s quiet danger",
            what=each.kind,
            id=each.id,
            aria_label=f"Delete {KINDS[each.kind].lower()} {each.name}",
            confirm=f"Delete {each.name}, {size(each.bytes)}? You lose {each.lost}.",
        )
    return html(
        '<tr data-key="{k}"><td>{kind}</td><td class="cut">{name}</td><td class="num">{size}</td>'
        '<td class="num">{act}</td></tr>',
        k=f"stored-{each.kind}-{each.id}",
        kind=KINDS[each.kind],
        name=Verbatim(each.name),
        size=size(each.bytes),
        act=act,
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


ACTS = {"storage": show, "storage-delete": delete}
