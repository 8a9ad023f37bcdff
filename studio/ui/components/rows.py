"""The table of rows with a role above each column, and its page buttons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from studio.schema.numbers import plural
from studio.schema.views import RoleView, RowPage
from studio.tasks.conversation import messages_of
from studio.ui.components.basic import button, select_input, tag
from studio.ui.components.layout import foot, page_buttons
from studio.ui.components.markup import Html, attrs, html

PAGE = 12
WIDEST = 100
"""Maximum number of columns without a role. A browser takes seconds to draw thousands."""
IGNORE = "ignore"
CELL = 300
MARKS = {"empty": "error", "bad-line": "error", "wrong-type": "error", "label-conflict": "error"}
LOUD = ("reply", "label", "messages", "text", "prompt")
"""Roles whose column shows the marks of a row. The first existing one is used."""


@dataclass(frozen=True)
class Column:
    """A column of the table. A loud one shows the marks of the rows."""

    number: int
    name: str
    role: str | None
    loud: bool


def rows_table(page: RowPage, roles: Mapping[str, str | None], known: Sequence[RoleView]) -> Html:
    """Rows as text, with all cells escaped. With `known` roles, columns have a selector of roles."""
    last = page.columns[-1] if page.columns else ""
    loud = next((column for role in LOUD for column, played in roles.items() if played == role), last)
    columns = [
        Column(number, name, roles.get(name), name == loud)
        for number, name in enumerate(page.columns)
        if number < WIDEST or roles.get(name)
    ]
    wide = max(0, len(columns) - 4) * 150 + 640
    with_role = any(roles.get(name) for name in page.columns)
    hidden = plural(
        len(page.columns) - len(columns), "{n} more column is not shown.", "{n} more columns are not shown."
    )
    return html(
        '<div class="scroll-x" role="region" tabindex="0" aria-label="Rows, scrolls sideways"><table class="grid-table '
        'datatable"{style}><colgroup><col style="width:56px">{cols}</colgroup><thead><tr class="map"><th><span '
        'class="sr">Row</span></th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>{hidden}',
        style=attrs(style=f"min-width:{wide}px"),
        cols=[Html("<col>" if each.role or not with_role else '<col style="width:128px">') for each in columns],
        heads=[_head(each, known) for each in columns],
        rows=[_row(number, row, columns, page.marks.get(number, ())) for number, row in page.rows],
        hidden=len(page.columns) > len(columns) and html('<p class="muted small">{hidden}</p>', hidden=hidden),
    )


def _head(column: Column, known: Sequence[RoleView]) -> Html:
    name, words = f"role-{column.number}", f"Role of the column {column.name}"
    choices = [*((each.name, each.title) for each in known), (IGNORE, "Not used")]
    role = column.role or IGNORE
    return html(
        "<th><span{title}>{column}</span>{select}</th>",
        title=attrs(class_="cut", title=column.name, translate="no"),
        column=column.name,
        select=bool(known)
        and select_input(name, choices, role, "map", class_="s", aria_label=words, data_column=column.name),
    )


def _row(number: int, row: Mapping[str, str], columns: Sequence[Column], marks: Sequence[tuple[str, str]]) -> Html:
    tags = [html("{t} ", t=tag(words, MARKS.get(kind, "warn"))) for kind, words in marks]
    cells = [(each, _shown(row.get(each.name, ""), each.role)[:CELL]) for each in columns]
    return html(
        '<tr{key}><td class="idx num">{open}</td>{cells}</tr>',
        key=attrs(data_key=f"r{number}", data_opens=".idx button"),
        open=button(f"{number:,}", "open-cells", "quiet s", row=number, aria_label=f"Edit row {number}"),
        cells=[
            html(
                "<td{attrs}>{tags}{text}</td>",
                attrs=attrs(class_=None if column.role else "muted", title=text or None, translate="no"),
                tags=html('<span translate="yes">{t}</span>', t=tags) if column.loud and tags else "",
                text=text,
            )
            for column, text in cells
        ],
    )


def _shown(text: str, role: str | None) -> str:
    """A cell as text. A conversation begins after its system prompt, which is often the same in all rows."""
    messages = messages_of(text) if role == "messages" else None
    turns = [each for each in messages or () if each["role"] != "system" and each["content"]]
    return "  ".join(f"{each['role']}: {each['content']}" for each in turns) or text


def rows_foot(page: RowPage, only: str) -> Html:
    """The position in the rows, and buttons to other pages."""
    last = page.start + len(page.rows) - 1
    words = f"Rows {page.start:,} to {last:,} of {page.total:,}" if page.rows else "No rows to show"
    hint = bool(page.rows) and html('<span class="hide-s"> · <span>Click a row to edit it</span></span>')
    turn = page_buttons("page", page.start, page.total, PAGE, f"{PAGE} rows")
    if not only:
        return foot(html("<span>{w}</span>{h}", w=words, h=hint), turn)
    return foot(f"{words}: {only.replace('-', ' ')} only", button("Show all rows", "only", "s") + turn)
