"""6 Chat: chat with base and fine-tuned model side by side. js/chat.js calls the chat route and draws the replies."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.schema.errors import StudioError
from studio.schema.events import ReplyEvent
from studio.schema.runs import RunRecord
from studio.ui.components.region import live, view
from studio.ui.selected import mark_done, selected, with_result
from studio.ui.session import Visit
from studio.ui.shell import PageShell, Updates

TWO_TEXTS = "Write the first text, then an empty line, then the second."


@dataclass(frozen=True)
class Components:
    """The parts of the tab."""

    view: gr.HTML


def build() -> Components:
    """Make the tab's components."""
    return Components(view=live("chat", view("chat")))


def wire(c: Components, shell: PageShell) -> None:
    """Wire the tab's handlers."""

    def show(visit: Visit) -> Updates:
        run = selected(visit)
        ready = with_result(visit)
        if run is None or not run.has_result:
            why = f"{run.name} has no tuned model yet." if run else "There is no run yet."
            return {c.view: {"run": "", "why": f"{why} Chat opens when a run has ended."}}
        mark_done(visit, "train", "chat")
        return {c.view: view_data(visit, run, ready)}

    def choose(visit: Visit) -> Updates:
        visit.choose(run=visit.studio.runs.get(visit.text("run", 100)).id, reached=())
        return show(visit)

    shell.page(show)
    shell.actions(c.view, {"look": show, "choose": choose})


def view_data(visit: Visit, run: RunRecord, ready: list[RunRecord]) -> dict[str, Any]:
    """The run as js/chat.js needs it."""
    spec, labels = visit.studio.runs.spec(run.id), visit.studio.chat.is_classifier(run.id)
    try:
        base = visit.studio.models.get(run.model).info.title
    except StudioError:
        base = run.model
    hint = next((task.chat_hint for task in visit.studio.catalog.tasks() if task.name == run.task), "")
    two = TWO_TEXTS if "second" in spec.data.roles.values() else ""
    return {
        "run": run.id,
        "base": f"{base}, untouched",
        "runs": [
            [each.id, f"{each.name}{f' · step {each.best_step}' if each.best_step is not None else ''}"]
            for each in ready
        ],
        "labels": labels,
        "system": spec.config.system_prompt,
        "turns": "messages" in spec.data.roles.values(),
        "prompts": prompts(visit, run),
        "how": " ".join(filter(None, [two, hint, visit.studio.chat.note(run.id)])),
    }


def prompts(visit: Visit, run: RunRecord) -> list[list[str]]:
    """Test prompts that both models have answered: prompt, base reply, fine-tuned reply."""
    replies = [
        each.event for each in visit.studio.runs.events(run.id, kinds=("reply",)) if isinstance(each.event, ReplyEvent)
    ]
    base = {event.prompt: event.text for event in replies if event.who == "base"}
    tuned = {event.prompt: event.text for event in replies if event.who == "tuned"}
    return [[prompt, base[prompt], tuned[prompt]] for prompt in base if prompt in tuned]
