"""Labelling: one row at a time by keys, or many at once; each key press stored at once. Part of the Data tab."""

from collections.abc import Callable
from typing import Any

from studio.schema.errors import StudioError
from studio.schema.labeling import Labeling
from studio.ui.components import label_sidebar
from studio.ui.components.basic import Primary, action_bar, button, field, segments, select_input, textarea, track
from studio.ui.components.label_card import card, recent
from studio.ui.components.label_list import PAGE, label_list
from studio.ui.markup import Html, html
from studio.ui.session import Visit
from studio.ui.tabs.data.stale_guard import require_same

STEADY = 300
VIEWS = (("one", "One at a time", ""), ("list", "Many at once", ""))
_DONE = {"label": "labelled", "reply": "with a reply", "choice": "compared"}
_USE = {"label": "Use these labels", "reply": "Use these replies", "choice": "Use these choices"}
_COUNTED = {"label": "labels", "reply": "replies", "choice": "choices"}


def _state(visit: Visit) -> Labeling:
    return visit.studio.labels.state(visit.choices.dataset, visit.labeller, visit.choices.task)


def put(visit: Visit) -> None:
    """Put a label on the row that is shown; stored before the next one is."""
    visit.studio.labels.give(visit.choices.dataset, _row(visit), visit.text("label", 400), visit.labeller)


def keep_reply(visit: Visit) -> None:
    """Keep the reply that was written."""
    visit.studio.labels.give(visit.choices.dataset, _row(visit), visit.text("reply", 30_000), visit.labeller)


def type_reply(visit: Visit) -> None:
    """Keep what was typed so far."""
    visit.studio.labels.type_reply(visit.choices.dataset, _row(visit), visit.text("value"), visit.labeller)


def skip(visit: Visit) -> None:
    """Leave the row for later."""
    visit.studio.labels.skip(visit.choices.dataset, _row(visit), visit.labeller)


def unsure(visit: Visit) -> None:
    """Say that one is unsure of the row."""
    visit.studio.labels.mark_unsure(visit.choices.dataset, _row(visit), visit.labeller)


def undo(visit: Visit) -> None:
    """Take the last thing back."""
    visit.studio.labels.undo(visit.choices.dataset, visit.labeller)


def open_row(visit: Visit) -> None:
    """Have one row come now."""
    visit.studio.labels.open(visit.choices.dataset, _row(visit), visit.labeller)
    _remember(visit, view="one")


def set_labels(visit: Visit) -> None:
    """Say which labels there are."""
    visit.studio.labels.set_names(visit.choices.dataset, _lines(visit.text("labels")))


def add_label(visit: Visit) -> None:
    """Add one label to those that there are."""
    visit.studio.labels.add_names(visit.choices.dataset, _lines(visit.text("new_label", 400)), visit.labeller)


def rename_label(visit: Visit) -> None:
    """Give a label another name."""
    if visit.text("value", 400).strip():
        visit.studio.labels.rename(
            visit.choices.dataset, visit.text("label", 400), visit.text("value", 400), labeler=visit.labeller
        )


def ask_merge(visit: Visit) -> None:
    """Ask before two labels become one; an empty name takes the question back."""
    into = visit.text("value", 400)
    _remember(visit, merge=[visit.text("label", 400), into] if into else None)


def merge_label(visit: Visit) -> None:
    """Make two labels one."""
    _remember(visit, merge=None)
    visit.studio.labels.rename(
        visit.choices.dataset, visit.text("label", 400), visit.text("new", 400), merge=True, labeler=visit.labeller
    )


def remove_label(visit: Visit) -> None:
    """Take a label away that no row has."""
    visit.studio.labels.remove_name(visit.choices.dataset, visit.text("label", 400), visit.labeller)


def pick_column(visit: Visit) -> None:
    """Say which column is read or written."""
    visit.studio.labels.choose(visit.choices.dataset, "", {visit.text("what", 40): visit.text("value")})


def pick_work(visit: Visit) -> None:
    """Give rows something else."""
    visit.studio.labels.choose(visit.choices.dataset, visit.text("value", 40))


def pick_order(visit: Visit) -> None:
    """Have the rows come in another order."""
    visit.studio.labels.choose_order(visit.choices.dataset, visit.text("value", 40), visit.labeller)


def second_opinion(visit: Visit) -> None:
    """Go through the rows that others labelled, without seeing what they said."""
    visit.studio.labels.choose_order(visit.choices.dataset, "second", visit.labeller)


def pick_view(visit: Visit) -> None:
    """One row at a time, or many."""
    _remember(visit, view=visit.text("value", 20))


def show_rows(visit: Visit) -> None:
    """Say which rows the list shows."""
    _remember(visit, view="list", show=visit.text("show", 300) or visit.text("value", 300), start=1)


def search(visit: Visit) -> None:
    """Look for a word in the list."""
    _remember(visit, search=visit.text("value", 200), start=1)


def turn(visit: Visit) -> None:
    """Go to other rows of the list."""
    _remember(visit, start=max(1, visit.whole("value", 1)))


def label_many(visit: Visit) -> None:
    """Put one label on the ticked rows."""
    label = visit.text("many-label", 400)
    if not label:
        raise StudioError(
            "bad-setting", "No label was chosen for the ticked rows.", hint="Choose one first.", field="many-label"
        )
    visit.studio.labels.give_many(visit.choices.dataset, _ticked(visit), label, visit.labeller)


def take_suggestions(visit: Visit) -> None:
    """Put on the ticked rows what is suggested for each."""
    visit.studio.labels.give_many(visit.choices.dataset, _ticked(visit), "", visit.labeller)


def suggest(visit: Visit) -> None:
    """Read texts and learn in the background, if there is anything to do."""
    if visit.text("act") == "suggest-again" or _state(visit).suggesting.due:
        visit.studio.labels.suggest_in_background(visit.choices.dataset)


def paste(visit: Visit) -> None:
    """Take in labels that were pasted."""
    visit.studio.labels.import_text(visit.choices.dataset, visit.text("pasted-labels", 5_000_000), visit.labeller)


def name_labeller(visit: Visit) -> None:
    """The name is kept by the browser; here it is only shown."""


def use(visit: Visit) -> None:
    """Make what was given a new version of the data, and go on with the task that learns from it."""
    from studio.ui.tabs.data.import_data import choose_task

    task = _state(visit).task
    visit.studio.labels.apply(visit.choices.dataset)
    visit.choose(view="rows", page=1, only="", version=None)
    if task:
        choose_task(visit, task)


ACTS: dict[str, Callable[[Visit], None]] = {
    "label": put,
    "reply": keep_reply,
    "type-reply": type_reply,
    "skip": skip,
    "unsure": unsure,
    "undo": undo,
    "open-row": open_row,
    "set-labels": set_labels,
    "add-label": add_label,
    "rename-label": rename_label,
    "ask-merge": ask_merge,
    "merge-label": merge_label,
    "remove-label": remove_label,
    "label-column": pick_column,
    "label-work": pick_work,
    "label-order": pick_order,
    "second": second_opinion,
    "label-view": pick_view,
    "label-show": show_rows,
    "label-search": search,
    "label-page": turn,
    "label-many": label_many,
    "take-suggestions": take_suggestions,
    "suggesting": suggest,
    "suggest-again": suggest,
    "labeller": name_labeller,
    "paste-labels": paste,
    "use-labels": use,
}


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.replace(",", "\n").splitlines() if line.strip()]


def _row(visit: Visit) -> int:
    """The row that was on the screen."""
    row = visit.whole("row")
    require_same(visit, [row])
    return row


def _ticked(visit: Visit) -> list[int]:
    rows = [int(row) for row in visit.text("rows").split(",") if row.isdecimal()][:1000]
    require_same(visit, rows)
    return rows


def _remember(visit: Visit, **things: Any) -> None:
    visit.add("label", **things)


def _seen(visit: Visit) -> dict[str, Any]:
    """Which of the two views is open, and what the list shows."""
    kept = visit.choices.extra.get("label")
    return dict(kept) if isinstance(kept, dict) else {}


def drawn(visit: Visit) -> tuple[Html, Html, Html]:
    """How far it is, the rows, and the action bar; or, first, the question which labels there are."""
    now = _state(visit)
    record = visit.studio.datasets.get(visit.choices.dataset)
    if now.work == "label" and not now.labels:
        first = _first(now, record.columns)
        return (
            _how_far(now),
            first,
            action_bar("Name your labels first.", Primary("Use these labels", disabled=True), back="model"),
        )
    seen = _seen(visit)
    merge = seen.get("merge")
    main = (
        label_list(
            now,
            visit.studio.labels.rows(
                record.id, visit.labeller, seen.get("show", "all"), seen.get("search", ""), seen.get("start", 1), PAGE
            ),
        )
        if seen.get("view") == "list"
        else [card(now), recent(now)]
    )
    body = html(
        '{merge}<div class="row wrap labelwork" data-key="labelwork">{views}<span class="right">{works}</span></div>'
        '<div class="cols main-side" data-key="labelcols"><div class="stack">{main}</div>'
        '<div class="stack">{side}</div></div>',
        merge=label_sidebar.merging(now, *merge) if merge and set(merge) <= set(now.labels) else "",
        views=segments("label-view", "label-view", VIEWS, seen.get("view", "one"), "Ways to label"),
        works=_works(now),
        main=main,
        side=[
            label_sidebar.so_far(now) if now.work == "label" else "",
            label_sidebar.suggestions(now, look=seen.get("view") != "list"),
            label_sidebar.who(now),
            label_sidebar.columns(now, record.columns),
            label_sidebar.carrying(now, record.id, record.name.rsplit(".", 1)[0]),
        ],
    )
    return _how_far(now), body, _bar(now)


def _how_far(now: Labeling) -> Html:
    share = now.done / max(1, now.total)
    return html(
        '<b>{done:,}</b><span class="muted nowrap">of {total:,} {what}</span><span class="labelprog">{track}</span>',
        done=now.done,
        total=now.total,
        what=_DONE[now.work],
        track=track(share, label=f"{now.done} of {now.total} rows {_DONE[now.work]}"),
    )


def _works(now: Labeling) -> Html:
    """What is given to the rows; asked only where the columns leave a choice."""
    can = [(name, title) for name, title, unavailable_reason in now.works if not unavailable_reason]
    if len(can) < 2:
        return Html("")
    return select_input("label-work", can, now.work, "label-work", small=True, label="What rows are given")


def _bar(now: Labeling) -> Html:
    word = _USE[now.work]
    if now.enough:
        return action_bar(now.enough, Primary(word, disabled=True), back="model")
    if not now.new:
        return action_bar("All of it is in the data already.", Primary("Next: method", goto="method"), back="model")
    words = html(
        "<b>{n:,} {what}</b> are enough to try{more}.",
        n=now.done,
        what=_COUNTED[now.work],
        more=f"; {STEADY} give a steadier number" if now.done < STEADY else "",
    )
    return action_bar(words, Primary(word, "use-labels"), back="model")


def _first(now: Labeling, columns: tuple[str, ...]) -> Html:
    area = textarea("labels", "", "", rows=5, helped=True, placeholder="negative\nneutral\npositive")
    return html(
        '<div class="row wrap labelwork"><span class="right">{works}</span></div><div class="cols main-side"><section '
        'class="panel stack" aria-labelledby="which"><h2 id="which">Which '
        "labels are there?</h2>{labels}"
        '<div class="row">{use}</div></section>{column}</div>',
        works=_works(now),
        labels=field(
            "labels",
            "Labels, one a line",
            area,
            "Short names. The first nine get the keys 1 to 9. More can be added later.",
        ),
        use=button("Start labelling", "set-labels", "accent", take="labels"),
        column=label_sidebar.columns(now, columns),
    )
