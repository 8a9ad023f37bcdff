"""Test prompts: answered before the first step and after the last. Part of the Method tab."""

import json

from studio.data.different_texts import different_texts
from studio.schema.errors import StudioError
from studio.tasks import task_named
from studio.ui.components.basic import text_input
from studio.ui.markup import Html, html
from studio.ui.session import Visit

MOST = 3
ROWS = 60
"""The test prompts are chosen among so many rows."""


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
    try:
        roles = visit.studio.datasets.spec(chosen.dataset, chosen.task).roles
    except StudioError:
        return ()
    by_role = {role: name for name, role in roles.items()}
    both = next((pair for pair in (("question", "context"), ("text", "second")) if pair[0] in by_role), None)
    asks = both or ("prompt", "messages")
    columns = [by_role[role] for role in asks if role in by_role]
    columns = columns if both else columns[:1]
    page = visit.studio.datasets.rows(chosen.dataset, 1, ROWS)
    texts = (_prompt_in("\n\n".join(row.get(each, "") for each in columns)) for _, row in page.rows)
    return tuple(different_texts([text for text in texts if text], MOST))


def _prompt_in(cell: str) -> str:
    """The prompt in a cell: its text, or the user's first turn in a conversation. Only short ones."""
    text = cell
    if cell.startswith("[{"):
        try:
            turns = json.loads(cell)
        except ValueError:
            return ""
        turns_of_user = (
            turn.get("content", turn.get("value", ""))
            for turn in turns
            if turn.get("role", turn.get("from")) in ("user", "human")
        )
        text = str(next(turns_of_user, ""))
    return text.strip() if len(text) <= 400 else ""


def panel(visit: Visit) -> Html:
    """The fields of the test prompts."""
    prompts = [*of(visit), *[""] * MOST][:MOST]
    task = next((each for each in visit.studio.catalog.tasks() if each.name == visit.choices.task), None)
    if task and task_named(task.name).has_labels:
        words = "Your model predicts labels for these texts during training and at the end."
    else:
        words = "The base model and your model answer these prompts. You see how the replies change with training."
    return html(
        '<section class="panel stack tight" aria-labelledby="prompts"><h2 id="prompts">Three test {what}</h2><p '
        'class="muted">{words}</p>{inputs}</section>',
        what=task.prompt_noun if task else "texts",
        words=words,
        inputs=[
            text_input(f"prompt-{n}", prompt, "prompt", aria_label=f"Prompt {n + 1}", data_number=n, maxlength=2000)
            for n, prompt in enumerate(prompts)
        ],
    )
