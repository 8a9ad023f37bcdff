"""Labeling: one row at a time by key, or many at once. Each key press is saved at once. Part of the Data tab."""

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

from studio.schema.errors import StudioError
from studio.schema.labeling import Labeling
from studio.schema.views import Page
from studio.ui.components import label_sidebar
from studio.ui.components.basic import Field, Primary, action_bar, button, segments, select_input, track
from studio.ui.components.label_card import card, recent
from studio.ui.components.label_list import PAGE, label_list
from studio.ui.components.markup import Html, html
from studio.ui.tabs import prediction
from studio.ui.tabs.data import unlabeled
from studio.ui.tabs.data.stale_guard import require_same
from studio.ui.visitors.session import Visit

STEADY = 300
VIEWS = (("one", "One at a time", ""), ("list", "Many at once", ""))


def _state(visit: Visit) -> Labeling:
    return visit.studio.labels.state(visit.choices.dataset, visit.labeller, visit.choices.task)


def put(visit: Visit) -> None:
    """Give the row on the screen a label or a preference. It is saved before the next row is shown."""
    visit.studio.labels.give(visit.choices.dataset, _row(visit), visit.text("label", 400), visit.labeller)


def keep_reply(visit: Visit) -> None:
    """Give the row on the screen a reply."""
    visit.studio.labels.give(visit.choices.dataset, _row(visit), visit.text("reply", 30_000), visit.labeller)


def type_reply(visit: Visit) -> None:
    """Save a reply that is being typed."""
    visit.studio.labels.type_reply(visit.choices.dataset, _row(visit), visit.text("value"), visit.labeller)


def skip(visit: Visit) -> None:
    """Leave the row for later."""
    visit.studio.labels.mark(visit.choices.dataset, _row(visit), "skip", visit.labeller)


def unsure(visit: Visit) -> None:
    """Mark the row as unsure."""
    visit.studio.labels.mark(visit.choices.dataset, _row(visit), "unsure", visit.labeller)


def undo(visit: Visit) -> None:
    """Undo the last action."""
    visit.studio.labels.undo(visit.choices.dataset, visit.labeller)


def open_row(visit: Visit) -> None:
    """Show a row now."""
    visit.studio.labels.open(visit.choices.dataset, _row(visit), visit.labeller)
    visit.add("label", view="one")


def set_labels(visit: Visit) -> None:
    """Set the labels."""
    visit.studio.labels.set_names(visit.choices.dataset, _lines(visit.text("labels")))


def add_label(visit: Visit) -> None:
    """Add labels."""
    visit.studio.labels.add_names(visit.choices.dataset, _lines(visit.text("new_label", 400)), visit.labeller)


def rename_label(visit: Visit) -> None:
    """Rename a label."""
    label, new = visit.text("label", 400), visit.text("value", 400)
    if new.strip():
        visit.studio.labels.rename(visit.choices.dataset, label, new, labeler=visit.labeller)


def ask_merge(visit: Visit) -> None:
    """Ask for confirmation before two labels are merged. An empty name cancels."""
    into = visit.text("value", 400)
    visit.add("label", merge=[visit.text("label", 400), into] if into else None)


def merge_label(visit: Visit) -> None:
    """Merge two labels."""
    visit.add("label", merge=None)
    label, new = visit.text("label", 400), visit.text("new", 400)
    visit.studio.labels.rename(visit.choices.dataset, label, new, merge=True, labeler=visit.labeller)


def remove_label(visit: Visit) -> None:
    """Remove a label that no row has."""
    visit.studio.labels.remove_name(visit.choices.dataset, visit.text("label", 400), visit.labeller)


def pick_column(visit: Visit) -> None:
    """Choose a column to read or write."""
    visit.studio.labels.choose(visit.choices.dataset, "", {visit.text("what", 40): visit.text("value")})


def pick_work(visit: Visit) -> None:
    """Choose what rows get: labels, replies or preferences."""
    visit.studio.labels.choose(visit.choices.dataset, visit.text("value", 40))


def pick_order(visit: Visit) -> None:
    """Choose the order of rows."""
    visit.studio.labels.choose_order(visit.choices.dataset, visit.text("value", 40), visit.labeller)


def second_opinion(visit: Visit) -> None:
    """Show rows that others labeled, without their labels."""
    visit.studio.labels.choose_order(visit.choices.dataset, "second", visit.labeller)


def pick_view(visit: Visit) -> None:
    """Switch between one row at a time and many at once."""
    visit.add("label", view=visit.text("value", 20))


def show_rows(visit: Visit) -> None:
    """Choose which rows the list shows."""
    visit.add("label", view="list", show=visit.text("show", 300) or visit.text("value", 300), start=1)


def search(visit: Visit) -> None:
    """Search the list."""
    visit.add("label", search=visit.text("value", 200), start=1)


def turn(visit: Visit) -> None:
    """Turn a page of the list."""
    visit.add("label", start=max(1, visit.whole("value", 1)))


def label_many(visit: Visit) -> None:
    """Give the selected rows one label."""
    label, hint = visit.text("many-label", 400), "Choose a label first."
    if not label:
        raise StudioError("bad-setting", "No label was chosen for the selected rows.", hint=hint, field="many-label")
    visit.studio.labels.give_many(visit.choices.dataset, _ticked(visit), label, visit.labeller)


def take_suggestions(visit: Visit) -> None:
    """Give each selected row its suggested label."""
    visit.studio.labels.give_many(visit.choices.dataset, _ticked(visit), "", visit.labeller)


def suggest(visit: Visit) -> None:
    """Embed texts and train in the background, if there is something to do."""
    if visit.text("act") == "suggest-again" or _state(visit).suggesting.due:
        visit.studio.labels.suggest_in_background(visit.choices.dataset)


def paste(visit: Visit) -> None:
    """Import pasted labels."""
    visit.studio.labels.import_text(visit.choices.dataset, visit.text("pasted-labels", 5_000_000), visit.labeller)


def use(visit: Visit) -> None:
    """Make a new version of the dataset with the labels, and choose the task that learns from them."""
    from studio.ui.tabs.data.import_data import choose_task

    task = _state(visit).task
    visit.studio.labels.apply(visit.choices.dataset)
    visit.choose(view="rows", page=1, only="", version=None)
    if task:
        choose_task(visit, task)


def _of_this_task(act: Callable[[Visit], None]) -> Callable[[Visit], None]:
    """The action, for what this page shows: another page may show the rows for another task."""

    @wraps(act)
    def done(visit: Visit) -> None:
        visit.studio.labels.follow(visit.choices.dataset, visit.choices.task)
        act(visit)

    return done


_ACTS: dict[str, Callable[[Visit], None]] = {
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
    "labeller": lambda visit: None,  # the browser saves the name in a cookie
    "paste-labels": paste,
    "use-labels": use,
}
ACTS = {**{name: _of_this_task(act) for name, act in _ACTS.items()}, **prediction.ACTS}


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.replace(",", "\n").splitlines() if line.strip()]


def _row(visit: Visit) -> int:
    """The row that was on the screen."""
    row = visit.whole("row")
    require_same(visit, [row])
    return row


def _ticked(visit: Visit) -> list[int]:
    rows = [int(row) for row in visit.text("rows").split(",") if row.isdecimal() and len(row) < 10][:1000]
    require_same(visit, rows)
    return rows


def _choices(visit: Visit) -> dict[str, Any]:
    """Return the open view, and what the list shows."""
    choices = visit.choices.extra.get("label")
    return dict(choices) if isinstance(choices, dict) else {}


def drawn(visit: Visit) -> tuple[Html, Html, Html]:
    """Return the progress, the rows and the action bar. Without labels, a form asks for their names."""
    now = _state(visit)
    record = visit.studio.datasets.get(visit.choices.dataset)
    if now.work == "label" and not now.labels:
        bar = action_bar("Name your labels first.", Primary("Use these labels", disabled=True), back="model")
        return _progress(now), _names_form(now, record.columns), bar
    choices = _choices(visit)
    merge, view = choices.get("merge"), choices.get("view", "one")
    main: Any = [card(now), recent(now)]
    if view == "list":
        show = choices.get("show", "all")
        if show.startswith("label:") and show.removeprefix("label:") not in now.labels:  # it was renamed or removed
            show = "all"
        kept = (show, choices.get("search", ""), choices.get("start", 1))
        main = label_list(now, visit.studio.labels.rows(record.id, visit.labeller, *kept[:2], Page(kept[2], PAGE)))
    body = html(
        '{merge}<div class="row wrap labelwork" data-key="labelwork">{views}<span class="right">{works}</span></div>'
        '<div class="cols main-side" data-key="labelcols"><div class="stack">{main}</div>'
        '<div class="stack">{side}</div></div>',
        merge=label_sidebar.merging(now, *merge) if merge and set(merge) <= set(now.labels) else "",
        views=segments("label-view", "label-view", VIEWS, view, "Ways to label"),
        works=_works(now),
        main=main,
        side=[
            prediction.label_panel(visit, now, record),
            now.work == "label" and label_sidebar.so_far(now),
            unlabeled.of_labeling(now),
            not now.suggesting.run and label_sidebar.suggestions(now, poll=view != "list"),
            label_sidebar.who(now),
            label_sidebar.columns(now, record.columns),
            label_sidebar.import_export(now, record.id, record.name.rsplit(".", 1)[0]),
        ],
    )
    return _progress(now), body, _bar(now)


def _progress(now: Labeling) -> Html:
    what = WORDS[now.work].done
    return html(
        '<b>{done:,}</b><span class="muted nowrap">of {total:,} {what}</span><span class="labelprog">{track}</span>',
        done=now.done,
        total=now.total,
        what=what,
        track=track(now.done / max(1, now.total), label=f"{now.done} of {now.total} rows {what}"),
    )


def _works(now: Labeling) -> Html:
    """Return the choice of what rows get, if the columns allow more than one kind."""
    options = [(name, title) for name, title, unavailable_reason in now.works if not unavailable_reason]
    if len(options) < 2:
        return Html("")
    words = "What to add to rows"
    return select_input("label-work", options, now.work, "label-work", class_="s", aria_label=words)


def _bar(now: Labeling) -> Html:
    words = WORDS[now.work]
    if now.enough:
        return action_bar(now.enough, Primary(words.use, disabled=True), back="model")
    if not now.new:
        return action_bar(
            f"All {words.counted} are in the dataset already.", Primary("Next: method", goto="method"), back="model"
        )
    more = f". With {STEADY}, the score is more reliable" if now.done < STEADY else ""
    message = html("<b>{n:,} {what}</b> are enough to try{more}.", n=now.done, what=words.counted, more=more)
    return action_bar(message, Primary(words.use, "use-labels"), back="model")


def _names_form(now: Labeling, columns: tuple[str, ...]) -> Html:
    help_ = "Short names. The first nine get the keys 1 to 9. You can add more later."
    labels = Field("labels", "Labels, one per line", help_)
    return html(
        '<div class="row wrap labelwork"><span class="right">{works}</span></div><div class="cols main-side"><section '
        'class="panel stack" aria-labelledby="which"><h2 id="which">Name your labels</h2>{labels}'
        '<div class="row">{use}</div></section>{column}</div>',
        works=_works(now),
        labels=labels.area("", "", rows=5, placeholder="negative\nneutral\npositive"),
        use=button("Start labeling", "set-labels", "accent", take="labels"),
        column=label_sidebar.columns(now, columns),
    )


class Words(NamedTuple):
    """Words for what rows get."""

    done: str
    use: str
    counted: str


WORDS = {
    "label": Words("labeled", "Use these labels", "labels"),
    "reply": Words("with a reply", "Use these replies", "replies"),
    "choice": Words("compared", "Use these choices", "choices"),
}
