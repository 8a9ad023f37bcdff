"""The choice of a task, where the columns do not show it. Part of the Data tab."""

from studio.schema.dataset import DatasetRecord
from studio.ui.components.basic import Card, Primary, action_bar, cards
from studio.ui.components.markup import Html, html
from studio.ui.components.rows import PAGE, rows_foot, rows_table
from studio.ui.tabs.data import unlabeled
from studio.ui.tabs.data.import_data import tasks_here
from studio.ui.visitors.session import Visit


def drawn(visit: Visit, record: DatasetRecord) -> Html:
    """The tasks to choose from, each with an example, and below them the rows."""
    chosen, off, listed = visit.choices, "Does not fit these rows", ", ".join(record.columns[:6])
    page = visit.studio.datasets.rows(chosen.dataset, chosen.page, PAGE)
    known = [
        Card(t.name, t.title, t.sentence, "", t.unavailable_reason, t.sample_in, t.sample_out, off_word=off)
        for t in tasks_here(visit)
    ]
    needed = visit.studio.labels.unlabeled(record.id)
    return html(
        '<div class="stack">{label}<section class="panel stack" aria-labelledby="purpose"><div><h2 id="purpose">What '
        'should the model learn from these rows?</h2><p class="muted">{why}</p></div>{cards}</section>'
        '<section class="panel flush" aria-label="Rows">{table}{foot}</section></div>',
        label=needed and unlabeled.panel(needed, with_tasks=True),
        why=f"The column names do not show it: {listed}.",
        cards=cards("purpose", "task", known, "", aria_label="What the model should do"),
        table=rows_table(page, {}, ()),
        foot=rows_foot(page, ""),
    )


def bar() -> Html:
    """The action bar before a task is chosen."""
    return action_bar("Choose what the model should do.", Primary("Next: method", disabled=True), back="model")
