"""The first page: a task to choose, or a sample to use with one click. Part of the Model tab."""

from studio.ui.components.basic import Card, Primary, action_bar, button, cards, heading
from studio.ui.components.icons import icon
from studio.ui.components.layout import panel
from studio.ui.components.markup import Html, Verbatim, html
from studio.ui.tabs.data.import_data import choose_task, requested_sample, tasks_here
from studio.ui.visitors.session import Visit


def use_sample(visit: Visit) -> None:
    """Fill the tabs Model, Data and Method with a sample, and open Method."""
    sample = requested_sample(visit)
    choose_task(visit, sample.task)
    record = visit.studio.datasets.add_sample(sample.name)
    visit.choose(dataset=record.id, version=None, view="rows", row=1, page=1, only="")
    visit.choose(preset="balanced", settings={}, prompts=sample.prompts[:3] or None, name=sample.name)
    visit.goto("method")


def bar() -> Html:
    """The action bar of the first page."""
    return action_bar("Choose a task, or use a sample.", Primary("Next: data", disabled=True))


def drawn(visit: Visit) -> Html:
    """Tasks as cards, samples as rows, and facts about this machine."""
    tasks = tasks_here(visit)
    question, columns = "What should your model do?", "two" if len(tasks) in (2, 4) else ""
    choices = [
        Card(t.name, t.title, t.sentence, "", t.unavailable_reason, t.sample_in, t.sample_out, t.term) for t in tasks
    ]
    return html(
        "{head}{cards}{samples}{machine}",
        head=heading(question, "Choose a task. You can change it later."),
        cards=cards("task", "task", choices, "", aria_label=question, class_=columns),
        samples=samples_panel(visit, {each.name: each.title for each in tasks}),
        machine=_machine(visit),
    )


def samples_panel(visit: Visit, titles: dict[str, str]) -> Html:
    """The samples, a row each with its button."""
    rows = [
        html(
            '<tr><td class="nowrap"><b>{name}</b></td><td class="nowrap hide-s">{task}</td><td>{sentence}</td>'
            '<td class="num muted hide-s">{rows:,} rows</td><td class="num">{use}</td></tr>',
            name=Verbatim(each.name),
            task=titles.get(each.task, each.task),
            sentence=each.sentence,
            rows=each.rows,
            use=button("Use this sample", "sample", "s", name=each.name, aria_label=f"Use this sample: {each.name}"),
        )
        for each in visit.studio.datasets.samples()
    ]
    table = html(
        '<table class="samples"><thead class="sr"><tr><th>Sample</th><th>Task</th><th>Content</th><th>Rows</th>'
        "<th>Use</th></tr></thead><tbody>{rows}</tbody></table>",
        rows=rows,
    )
    side = Html('<span class="muted hide-s">One click fills Model, Data and Method. Then press Start.</span>')
    return panel("Or try it with sample data", "sample", table, side)


def _machine(visit: Visit) -> Html:
    return html(
        '<p class="row top-a muted machine">{icon}<span>This machine: {words}. Small models train well here. {stay}'
        "</span></p>",
        icon=icon("chip"),
        words=visit.studio.machine.facts().sentence(),
        stay="Other visitors do not see your rows." if visit.demo else "Your rows stay on this machine.",
    )
