"""Many rows at once: a page of rows with values and checkboxes, and labels for the selected rows."""

from studio.schema.labeling import Labeling, LabelList, LabelRow
from studio.schema.numbers import rows as rows_words
from studio.schema.numbers import share
from studio.ui.components.basic import button, select_input, tag, text_input
from studio.ui.components.label_card import value_of
from studio.ui.components.layout import scroll_table
from studio.ui.components.markup import Html, Verbatim, attrs, html

PAGE = 25
SHOWS = (
    ("all", "All rows"),
    ("open", "Not done yet"),
    ("done", "Done"),
    ("unsure", "Marked as unsure by you"),
    ("differ", "People disagree"),
    ("sure", "Most certain suggestions first"),
)


def label_list(now: Labeling, page: LabelList) -> Html:
    """Return the list, with the search bar above it and the page buttons below."""
    heads = html(
        '<th class="pick"><input type="checkbox" data-tick-all aria-label="Select all rows on this page"></th>'
        '<th class="idx num">Row</th><th>Text</th><th>{value}</th>',
        value={"label": "Label", "reply": "Reply", "choice": "Better"}[now.work],
    )
    rows = [_row(now, each) for each in page.rows] or Html('<tr><td colspan="4" class="muted">No rows.</td></tr>')
    return html(
        '<section class="panel flush labellist" aria-label="Many rows">{bar}{many}{table}{foot}</section>',
        bar=_bar(now, page),
        many=_many(now),
        table=scroll_table("Rows", heads, rows),
        foot=_foot(page),
    )


def _bar(now: Labeling, page: LabelList) -> Html:
    shows = [*SHOWS, *((f"label:{name}", f"Label {name}") for name in now.labels)]
    if not any(value == page.show for value, _ in shows):
        shows.append((page.show, page.show))
    return html(
        '<div class="bar"><span class="grow">{show}</span><span class="grow">{search}</span></div>',
        show=select_input("label-show", shows, page.show, "label-show", class_="s", aria_label="Which rows"),
        search=text_input(
            "label-search",
            page.search,
            "label-search",
            placeholder="Search the texts",
            aria_label="Search the texts",
            data_live=True,
            maxlength=200,
        ),
    )


def _many(now: Labeling) -> Html:
    if now.work != "label":
        return Html("")
    options = [("", "Label for the selected rows"), *((name, Verbatim(name)) for name in now.labels)]
    take = html(
        '<button type="button" class="btn s" data-act="take-suggestions" data-with-ticks disabled>Accept suggestions'
        "</button>"
    )
    return html(
        '<div class="bar"><span class="muted nowrap" data-ticked role="status">0 rows selected</span>'
        '<span class="right w200">{labels}</span><button type="button" class="btn s accent" data-act="label-many" '
        'data-take="many-label" data-with-ticks disabled>Apply label</button>{take}</div>',
        labels=select_input("many-label", options, "", "", class_="s", aria_label="Label for the selected rows"),
        take=take if now.suggesting.learned_from else "",
    )


def _row(now: Labeling, each: LabelRow) -> Html:
    by = [(name, value_of(now, value)) for name, value in each.by if name]
    others = [html(' <small class="nowrap">{name}: {value}</small>', name=Verbatim(name), value=v) for name, v in by]
    return html(
        '<tr{key}><td class="pick"><input type="checkbox" data-tick name="tick" value="{row}" aria-label="Select row '
        '{row}"></td><td class="idx num">{open}</td><td class="t">{text}</td><td class="w">{value}{mark}{guess}{by}'
        "</td></tr>",
        key=attrs(data_key=f"list-{each.row}"),
        row=each.row,
        open=html(
            '<button type="button" class="btn quiet s"{a}>{n:,}</button>',
            n=each.row,
            a=attrs(data_act="open-row", data_row=each.row, aria_label=f"Open row {each.row}"),
        ),
        text=Verbatim(each.text) or html('<span class="muted">(empty)</span>'),
        value=tag(value_of(now, each.value[:80])) if each.value else "",
        mark=tag(each.mark, "warn") if each.mark else "",
        guess=each.suggestion
        and html('<span class="muted">{l} {s}</span>', l=Verbatim(each.suggestion.best), s=share(each.suggestion.sure)),
        by=others if len(each.by) > 1 else "",
    )


def _foot(page: LabelList) -> Html:
    last = page.start + len(page.rows) - 1
    words = f"{page.start:,} to {last:,} of {rows_words(page.total)}" if page.rows else "0 rows"
    return html(
        '<div class="bar foot"><span class="muted">{words}</span><span class="right row">{back}{on}</span></div>',
        words=words,
        back=button("Previous rows", "label-page", "s", disabled=page.start <= 1, value=max(1, page.start - PAGE)),
        on=button("Next rows", "label-page", "s", disabled=last >= page.total, value=page.start + PAGE),
    )
