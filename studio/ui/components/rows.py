"""The table of rows with a role above each column, and its page buttons."""

from collections.abc import Mapping, Sequence

from studio.data.phrases import many
from studio.schema.views import RoleView, RowPage
from studio.ui.components.basic import button, select_input, tag
from studio.ui.markup import Html, attrs, html

PAGE = 12
WIDEST = 100
"""Maximum number of columns, beside those with a role: a browser takes seconds to draw thousands."""
IGNORE = "ignore"
CELL = 300
MARKS = {"empty": "error", "bad-line": "error", "wrong-type": "error", "label-conflict": "error"}
LOUD = ("reply", "label", "messages", "text", "prompt")
"""Roles whose column shows the marks of a row. The first existing one is used."""


def rows_table(page: RowPage, roles: Mapping[str, str | None], known: Sequence[RoleView]) -> Html:
    """Rows as text, with all cells escaped. With `known` roles, columns have a selector of roles."""
    columns = [(at, each) for at, each in enumerate(page.columns) if at < WIDEST or roles.get(each)]
    wide = max(0, len(columns) - 4) * 150 + 640
    loud = next(
        (column for role in LOUD for column, played in roles.items() if played == role),
        page.columns[-1] if page.columns else "",
    )
    used = {column for column in page.columns if roles.get(column)} or set(page.columns)
    return html(
        '<div class="scroll-x" role="region" tabindex="0" aria-label="Rows, scrolls sideways"><table '
        'class="grid-table datatable"'
        '{style}><colgroup><col style="width:56px">{cols}</colgroup><thead><tr class="map"><th><span '
        'class="sr">Row</span></th>{heads}'
        "</tr></thead><tbody>{rows}</tbody></table></div>{hidden}",
        style=attrs(style=f"min-width:{wide}px"),
        cols=[Html("<col>") if column in used else Html('<col style="width:128px">') for _, column in columns],
        heads=[_head(column, roles.get(column), known, number) for number, column in columns],
        rows=[_row(number, row, page, [column for _, column in columns], roles, loud) for number, row in page.rows],
        hidden=_hidden(len(page.columns) - len(columns)),
    )


def _hidden(count: int) -> Html:
    words = many(count, "more column is", "more columns are")
    return html('<p class="muted small">{w} not shown.</p>', w=words) if count else Html("")


def _head(column: str, role: str | None, known: Sequence[RoleView], number: int) -> Html:
    choices = [*((each.name, each.title) for each in known), (IGNORE, "Not used")]
    select = select_input(
        f"role-{number}",
        choices,
        role or IGNORE,
        "map",
        small=True,
        label=f"Role of the column {column}",
        data_column=column,
    )
    return html(
        "<th><span{title}>{column}</span>{select}</th>",
        title=attrs(class_="cut", title=column),
        column=column,
        select=select if known else "",
    )


def _row(
    number: int,
    row: Mapping[str, str],
    page: RowPage,
    columns: Sequence[str],
    roles: Mapping[str, str | None],
    loud: str,
) -> Html:
    marks = page.marks.get(number, ())
    tags = [html("{t} ", t=tag(words, MARKS.get(kind, "warn"))) for kind, words in marks]
    return html(
        '<tr{key}><td class="idx num">{open}</td>{cells}</tr>',
        key=attrs(data_key=f"r{number}"),
        open=button(f"{number:,}", "open-cells", "quiet s", row=number, aria_label=f"Edit row {number}"),
        cells=[
            html(
                "<td{attrs}>{tags}{text}</td>",
                attrs=attrs(class_=None if roles.get(column) else "muted", title=row.get(column, "")[:CELL] or None),
                tags=tags if column == loud else "",
                text=row.get(column, "")[:CELL],
            )
            for column in columns
        ],
    )


def rows_foot(page: RowPage, only: str) -> Html:
    """The position in the rows, and buttons to other pages."""
    last = page.start + len(page.rows) - 1
    words = f"Rows {page.start:,} to {last:,} of {page.total:,}" if page.rows else "No rows to show"
    if only:
        words = f"{words}: {only.replace('-', ' ')} only"
    return html(
        '<div class="bar foot"><span class="muted" aria-live="polite">{words}</span><span class="right '
        'row">{all}{back}{on}</span></div>',
        words=words,
        all=button("Show all rows", "only", "s") if only else "",
        back=button(
            "Previous",
            "page",
            "s",
            disabled=page.start <= 1,
            value=max(1, page.start - PAGE),
            aria_label=f"Previous {PAGE} rows",
        ),
        on=button(
            "Next", "page", "s", disabled=last >= page.total, value=page.start + PAGE, aria_label=f"Next {PAGE} rows"
        ),
    )
