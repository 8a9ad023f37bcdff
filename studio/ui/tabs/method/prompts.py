"""Test prompts: answered before the first step and after the last. Part of the Method tab."""

from studio.services.datasets.prompts import MOST, prompts_of
from studio.tasks import task_named
from studio.ui.components.basic import text_input
from studio.ui.components.markup import Html, html
from studio.ui.visitors.session import Visit


def change(visit: Visit) -> None:
    """Change one of the test prompts."""
    prompts = [*of(visit), *[""] * MOST][:MOST]
    number = min(max(visit.whole("number"), 0), MOST - 1)
    prompts[number] = visit.text("value", 2000)
    visit.choose(prompts=tuple(prompts))


def of(visit: Visit) -> tuple[str, ...]:
    """The test prompts: as chosen, else from the first rows, as different from each other as possible."""
    chosen = visit.choices
    if chosen.prompts is not None:
        return chosen.prompts
    return prompts_of(visit.studio.datasets, chosen.dataset, chosen.task)


def panel(visit: Visit) -> Html:
    """The fields of the test prompts."""
    prompts = [*of(visit), *[""] * MOST][:MOST]
    task = next((each for each in visit.studio.catalog.tasks() if each.name == visit.choices.task), None)
    if task and task_named(task.name).has_labels:
        words = "Your model predicts labels for these texts during training and at the end."
    else:
        words = "The base model and your model answer these prompts. You see how the replies change with training."
    return html(
        '<section class="panel stack tight" aria-labelledby="prompts"><h2 id="prompts">{title}</h2><p '
        'class="muted">{words}</p>{inputs}</section>',
        title="Three test prompts" if task and task.prompt_noun == "prompts" else "Three test texts",
        words=words,
        inputs=[
            text_input(f"prompt-{n}", prompt, "prompt", aria_label=f"Prompt {n + 1}", data_number=n, maxlength=2000)
            for n, prompt in enumerate(prompts)
        ],
    )
