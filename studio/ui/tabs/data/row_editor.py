"""Editor of one row of the table. Part of the Data tab."""

from studio.schema.errors import StudioError
from studio.ui.components.basic import Field, button
from studio.ui.components.markup import Html, Verbatim, html
from studio.ui.components.rows import PAGE
from studio.ui.tabs.data import import_options
from studio.ui.tabs.data.stale_guard import changed, require_same
from studio.ui.visitors.session import Visit

MOST_SHOWN = 40
"""Maximum number of columns in the editor."""
LINE = 90
"""Approximate characters of a line. The height of a field follows its text, up to a limit."""


def panel(visit: Visit) -> Html | str:
    """The open row, with a field for each cell."""
    kept = visit.choices.extra.get("opened_row") or {}
    record = visit.studio.datasets.get(visit.choices.dataset)
    if kept.get("of") != record.id or kept.get("version") != record.version:
        return ""
    row = kept["row"]
    try:
        cells = visit.studio.editing.cells(record.id, row)
    except StudioError:
        return ""
    return html(
        '<section class="panel stack mid" aria-labelledby="cell"><div class="row"><h2 id="cell">Row {n:,}</h2>'
        '<span class="right">{close}</span></div><p class="muted">Each change makes a version. This version stays.</p>'
        "{cells}</section>",
        n=row,
        close=button("Close", "close-row", "s", aria_label=f"Close row {row}"),
        cells=[_cell(row, number, column, text) for number, (column, text) in enumerate(cells.items())][:MOST_SHOWN],
    )


def _cell(row: int, number: int, column: str, text: str | None) -> Html:
    field = Field(f"cell-{number}", Verbatim(column))
    if text is None:
        return field.around(html('<p class="muted">Too long to edit here.</p>'))
    high = min(12, 1 + text.count("\n") + len(text) // LINE)
    return html(
        '{field}<div class="row">{save}</div>',
        field=field.area(text, "", rows=high),
        save=button("Save", "save-cell", "s", row=row, column=number, take=field.name, aria_label=f"Save {column}"),
    )


# --- actions ---


def open_row(visit: Visit) -> None:
    """Open a row of the table."""
    record, row = visit.studio.datasets.get(visit.choices.dataset), max(1, visit.whole("row", 1))
    require_same(visit, [row])
    visit.remember(opened_row={"of": record.id, "version": record.version, "row": row})


def close_row(visit: Visit) -> None:
    """Close the row."""
    visit.remember(opened_row=None)


def save_cell(visit: Visit) -> None:
    """Save a cell: a new version. The row stays open, and the table stays on its page."""
    record = visit.studio.datasets.get(visit.choices.dataset)
    row, number = visit.whole("row", 1), visit.whole("column", -1)
    if not 0 <= number < len(record.columns):
        return
    if visit.choices.extra.get("opened_row") != {"of": record.id, "version": record.version, "row": row}:
        raise changed("The rows were changed after this row was opened.")
    text = visit.text(f"cell-{number}", 200_000)
    made = import_options.edit(visit, row, {record.columns[number]: text})
    visit.choose(version=None, page=1 if visit.choices.only else max(1, row - (row - 1) % PAGE), only="")
    version = made.version if made else max(each.version for each in visit.studio.versions.all(record.id)) + 1
    visit.remember(opened_row={"of": record.id, "version": version, "row": row})


ACTS = {"open-cells": open_row, "close-row": close_row, "save-cell": save_cell}
