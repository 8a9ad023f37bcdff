"""A file with texts but no labels leads to labeling; and what a test on few labels can show. Part of the Data tab."""

from collections.abc import Callable

from studio.schema.dataset import DatasetRecord, SplitCounts
from studio.schema.labeling import HeldOutSize, Labeling, Unlabeled
from studio.schema.numbers import plural
from studio.services.labeling.unlabeled import FIRST, held_out_size
from studio.tasks import TASKS, task_named
from studio.ui.components.basic import Primary, action_bar, button, note
from studio.ui.components.layout import stack
from studio.ui.components.markup import Html, html
from studio.ui.tabs.data import import_data
from studio.ui.visitors.session import Visit

ENOUGH = 100
"""Held-out rows from which nothing is said about them."""


def start(visit: Visit) -> None:
    """Open the view Label, with the task that learns from labels."""
    task = visit.choices.task
    if not task or not task_named(task).has_labels:
        import_data.choose_task(visit, next(name for name, each in TASKS.items() if each.has_labels))
    visit.choose(view="label")


def other_task(visit: Visit) -> None:
    """Show all tasks to choose from."""
    visit.choose(task="", view="rows")


ACTS: dict[str, Callable[[Visit], None]] = {"start-labeling": start, "other-task": other_task}


def panel(needed: Unlabeled, with_tasks: bool = False) -> Html:
    """The invitation to label. `with_tasks`: the other tasks are on the page already."""
    column = needed.column
    words = plural(
        needed.minutes,
        "Label {rows} rows here (about {n} minute), or choose another task.",
        "Label {rows} rows here (about {n} minutes), or choose another task.",
        rows=f"{needed.first:,}",
    )
    body = html(
        '<p>{words}</p><p class="muted">{column} <span>Name your labels, then give each row one by key.</span></p>'
        '<div class="row wrap">{go}{other}</div>',
        words=words,
        column=html("<span>{words}</span>", words=f"The column “{column}” has the texts."),
        go=button("Label rows", "start-labeling", "accent"),
        other="" if with_tasks else button("Choose another task", "other-task"),
    )
    return stack("No labels yet", "nolabels", body, "mid")


def offer(visit: Visit, record: DatasetRecord) -> Html:
    """A note for texts that are read as another task's: they can get labels first."""
    if task_named(visit.choices.task).has_labels or (needed := visit.studio.labels.unlabeled(record.id)) is None:
        return Html("")
    words = plural(
        needed.minutes,
        "To sort these texts, label {rows} of them first (about {n} minute).",
        "To sort these texts, label {rows} of them first (about {n} minutes).",
        rows=f"{needed.first:,}",
    )
    return note("", html("<p>{words}</p>", words=words), button("Label rows", "start-labeling", "s"))


def bar() -> Html:
    """The action bar while there are no labels."""
    return action_bar("No labels yet.", Primary("Label rows", "start-labeling"), back="model")


def of_labeling(now: Labeling) -> Html:
    """What a test can show with the labels so far, or with the first ones to give."""
    if now.work != "label" or not now.labels:
        return Html("")
    return _shows(held_out_size(max(now.done, min(FIRST, now.total))))


def of_splits(counts: SplitCounts | None, labels: bool) -> Html:
    """What a test can show with these splits. Empty where there are enough rows. `labels`: the task has labels."""
    held_out = counts.validation + counts.test if counts else 0
    if counts is None or not labels or held_out >= ENOUGH:
        return Html("")
    return _shows(held_out_size(counts.train + held_out, held_out))


def _shows(size: HeldOutSize) -> Html:
    lines = [html("<p>{line}</p>", line=line) for line in size.sentences]
    return stack("What a test can show", "testsize", html('<div class="stack tight">{lines}</div>', lines=lines))
