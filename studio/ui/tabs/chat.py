"""The Chat tab: both models side by side. js/chat.js calls the chat route and draws the replies."""

from typing import Any

import gradio as gr

from studio.schema.events import ReplyEvent
from studio.schema.runs import ACTIVE, RunRecord
from studio.ui.components import next_step
from studio.ui.components.model_title import model_title
from studio.ui.components.region import live, view
from studio.ui.selected import (
    is_tried,
    mark_done,
    mark_tried,
    open_rows,
    select_run,
    selected,
    with_result,
    without_result,
)
from studio.ui.shell import Handler, PageShell, Updates
from studio.ui.visitors.session import Visit

TWO_TEXTS = "Write the first text, then an empty line, then the second."
VIEWER_ACTIONS = frozenset({"choose", "look", next_step.ROWS, "tried"})
"""Actions that change nothing but what the viewer of a team sees."""


def build() -> gr.HTML:
    """Make the tab's part."""
    return live("chat", view("chat"))


def wire(part: gr.HTML, shell: PageShell) -> None:
    """Wire the tab's handlers."""

    def show(visit: Visit) -> Updates:
        run = selected(visit)
        if run is None or not run.has_result:
            waits = run is not None and run.status in ACTIVE
            return {part: {"run": "", "why": f"{without_result(run)} Chat opens when a run has ended.", "waits": waits}}
        tried = is_tried(visit, run.id)
        mark_done(visit, "train", *(["chat"] if tried else []))
        more = {"next": following(visit, run), "tried": tried}
        return {part: {**view_data(visit, run, with_result(visit)), **more}}

    def choose(visit: Visit) -> None:
        select_run(visit, visit.studio.runs.get(visit.text("run", 100)).id)

    def tried(visit: Visit) -> Updates:
        """Both models have answered a prompt: only then is the step done, and another one is next."""
        if visit.text("run", 100) != visit.choices.run:
            return {}
        mark_tried(visit, visit.choices.run)
        return shell.drawn(visit)

    shell.page(show)
    looks: dict[str, Handler] = {"look": shell.drawn, "tried": tried}
    choices = shell.then_drawn({"choose": choose}, when_refused=False)
    shell.actions(part, {**looks, **choices, next_step.ROWS: open_rows})


def chat_label(classifies: bool) -> str:
    """The label of buttons that lead to this tab. `classifies`: the run's model predicts labels."""
    return "Try it on a text" if classifies else "Chat with both"


def following(visit: Visit, run: RunRecord) -> tuple[str, str, str]:
    """The reason of the next step, the label and the tab of its button. Without a button, it is to try the model."""
    step, facts = next_step.step_of(visit, run, visit.studio.evaluation.report(run.id))
    if step.kind == "chat":
        return step.reason, "", ""
    primary = next_step.primary_of(step, facts, run, "", here="chat")
    if primary.goto or primary.act == next_step.ROWS:
        return step.reason, primary.label, primary.goto or "data"
    return step.reason, "Open Evaluate", "evaluate"


def view_data(visit: Visit, run: RunRecord, ready: list[RunRecord]) -> dict[str, Any]:
    """The run as js/chat.js needs it."""
    spec = visit.studio.runs.spec(run.id)
    hint = next((task.chat_hint for task in visit.studio.catalog.tasks() if task.name == run.task), "")
    baseline = visit.studio.chat.baseline(run.id)
    two = TWO_TEXTS if "second" in spec.data.roles.values() else ""
    return {
        "run": run.id,
        "base": baseline or model_title(visit.studio, run.model),
        "guess": bool(baseline),
        "runs": [[each.id, each.name, each.best_step] for each in ready],
        "labels": visit.studio.chat.is_classifier(run.id),
        "system": spec.config.system_prompt,
        "turns": "messages" in spec.data.roles.values(),
        "prompts": prompts(visit, run),
        "how": " ".join(filter(None, [two, hint, visit.studio.chat.note(run.id)])),
    }


def prompts(visit: Visit, run: RunRecord) -> list[dict[str, Any]]:
    """Test prompts that both models have answered: `prompt`, and `base` and `tuned` with text and tokens."""
    replies: dict[str, dict[str, dict[str, Any]]] = {"base": {}, "tuned": {}}
    for stored in visit.studio.runs.events(run.id, kinds=("reply",)):
        if isinstance(reply := stored.event, ReplyEvent):
            replies[reply.who][reply.prompt] = {"text": reply.text, "tokens": reply.tokens}
    base, tuned = replies["base"], replies["tuned"]
    return [{"prompt": prompt, "base": base[prompt], "tuned": tuned[prompt]} for prompt in base if prompt in tuned]
