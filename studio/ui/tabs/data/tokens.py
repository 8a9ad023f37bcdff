"""What the model gets: one row as tokens, the lengths of the rows, and the first batch. Part of the Data tab."""

from collections.abc import Callable
from contextlib import suppress

from studio.schema.errors import StudioError
from studio.ui.components.basic import alert, button, note, text_input
from studio.ui.components.batch import batch_panel
from studio.ui.components.layout import poll
from studio.ui.components.lengths import LEAST, lengths_panel, longest_panel
from studio.ui.components.markup import Html, html
from studio.ui.components.tokens import template_panel, tokens_panel
from studio.ui.visitors.session import Visit


def pick_row(visit: Visit) -> None:
    """Show another row."""
    most = visit.studio.datasets.get(visit.choices.dataset).rows
    visit.choose(row=min(max(1, visit.whole("value", 1)), max(1, most)))


def show_special(visit: Visit) -> None:
    """Show or hide the tokens of the template."""
    visit.remember(special=bool(visit.event.get("value")))


def set_limit(visit: Visit) -> None:
    """Set the maximum length. 0: as planned."""
    settings = {name: value for name, value in visit.choices.settings.items() if name != "max_length"}
    if value := visit.whole("value"):
        settings["max_length"] = max(LEAST, value)
    visit.choose(settings=settings)


def count(visit: Visit) -> None:
    """Load the tokenizer and encode the row, after the view was drawn."""
    key, chosen = _key(visit), visit.choices
    with suppress(StudioError):
        visit.studio.preview.lengths(chosen.run_request())
        visit.studio.preview.row(chosen.run_request(), chosen.row)
    visit.remember(counted=key)


def fetch_batch(visit: Visit) -> None:
    """Compute the first batch with the trainer of the run."""
    visit.studio.preview.first_batch(visit.choices.run_request())


ACTS: dict[str, Callable[[Visit], None]] = {
    "row": pick_row,
    "special": show_special,
    "limit": set_limit,
    "count": count,
    "batch": fetch_batch,
}


def _key(visit: Visit) -> str:
    return f"{visit.choices.model} {visit.choices.dataset}"


def side(visit: Visit) -> Html:
    """The number of the row, with buttons to others."""
    row, most = visit.choices.row, visit.studio.datasets.get(visit.choices.dataset).rows
    return html(
        '<label class="muted nowrap" for="f-row">Row</label>{input}<span class="muted nowrap">of '
        "{most:,}</span>{back}{on}",
        input=text_input("row", row, "row", inputmode="numeric", size=6, class_="rowno"),
        most=most,
        back=button("", "row", "", "left", disabled=row <= 1, value=row - 1, prev="", aria_label="Previous row"),
        on=button("", "row", "", "right", disabled=row >= most, value=row + 1, next="", aria_label="Next row"),
    )


def drawn(visit: Visit, readable: bool) -> Html:
    """The row as tokens, and the lengths of all. The tokenizer is loaded after the view was drawn."""
    chosen = visit.choices
    if not readable:
        return note("", "First set the role of each column, in the view Rows.")
    if not chosen.model:
        return note("", "Choose a model in the Model tab. Each model splits text into tokens in its own way.")
    if chosen.extra.get("counted") != _key(visit):
        return html(
            '<section class="panel"><p class="muted" role="status">Loading the model’s tokenizer …</p></section>{poll}',
            poll=poll("count", 30, repeat=False),
        )
    try:
        preview = visit.studio.preview.row(chosen.run_request(), chosen.row)
    except StudioError as error:
        return html("{a}{l}", a=alert(error), l=_lengths(visit, None))
    batch = None  # unless it was computed for these rows and settings
    with suppress(StudioError):
        batch = visit.studio.preview.cached_first_batch(chosen.run_request())
    return html(
        '<div class="cols main-side"><div class="stack">{tokens}{template}{batch}</div><div '
        'class="stack">{lengths}</div></div>',
        tokens=tokens_panel(preview, preview.limit, chosen.extra.get("special", True)),
        template=template_panel(preview),
        batch=batch_panel(batch),
        lengths=_lengths(visit, preview.full_length),
    )


def _lengths(visit: Visit, this: int | None) -> Html:
    chosen = visit.choices
    try:
        stats = visit.studio.preview.lengths(chosen.run_request())
    except StudioError:
        return Html("")
    by_hand = "max_length" in chosen.settings
    return lengths_panel(stats, this or None, by_hand) + longest_panel(stats, chosen.row) if stats.rows else Html("")
