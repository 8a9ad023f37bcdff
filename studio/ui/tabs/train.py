"""4 Train: progress of a run, and its action bar. js/train.js draws the progress from the poll route."""

from contextlib import suppress
from dataclasses import dataclass

import gradio as gr

from studio.schema.errors import StudioError
from studio.schema.runs import ACTIVE, GOES_ON, RunRecord
from studio.schema.views import Progress
from studio.services.runs.run_messages import pause_message
from studio.ui.components import next_step
from studio.ui.components.basic import Primary, action_bar, button
from studio.ui.components.markup import Html, html
from studio.ui.components.region import live, region, view
from studio.ui.components.run_table import delete_question
from studio.ui.selected import is_tried, mark_done, open_rows, select_run, selected, target_run
from studio.ui.shell import PageShell, Updates
from studio.ui.tabs.chat import chat_label
from studio.ui.visitors.session import Visit

EVALUATE = Primary("Evaluate", goto="evaluate")

VIEWER_ACTIONS = frozenset({"open", next_step.ROWS, "state"})
"""Actions that change nothing but what the viewer of a team sees."""


@dataclass(frozen=True)
class Components:
    """The parts of the tab."""

    view: gr.HTML
    actions: gr.HTML


def build() -> Components:
    """Make the tab's components."""
    return Components(view=live("train", view("train")), actions=region("train-actions", "actions-slot"))


def wire(c: Components, shell: PageShell) -> None:
    """Wire the tab's handlers."""

    def show(visit: Visit) -> Updates:
        run = selected(visit)
        if run is None:
            actions = action_bar("Start a run in Method.", Primary("Choose a model", goto="model"))
            return {c.view: {"run": "", "state": ""}, c.actions: actions}
        reached = done(visit, run)
        mark_done(visit, *reached)
        progress = visit.studio.runs.progress(run.id)
        told = {"run": run.id, "state": state(progress), "evaluated": run.id if "evaluate" in reached else ""}
        return {c.view: told, c.actions: _bar_of(visit, progress)}

    acts = {"stop": stop, "pause": pause, "resume": resume, "finish": finish, "delete": delete, "follow": follow_advice}
    shell.page(show)
    handlers = {**shell.then_drawn(acts, when_refused=False), next_step.ROWS: open_rows}
    repeat = shell.then_drawn({"repeat": next_step.repeat}, when_refused=False)
    shell.actions(c.view, {"state": shell.drawn, **handlers})
    shell.actions(c.actions, {**handlers, **repeat, "again": open_rerun_form})


# --- what a person does ---


def stop(visit: Visit) -> None:
    """Stop the run; its best checkpoint is kept or discarded."""
    visit.studio.runs.stop(target_run(visit), "discard" if visit.text("wish") == "discard" else "keep")


def pause(visit: Visit) -> None:
    """Pause the run."""
    visit.studio.runs.pause(target_run(visit))


def resume(visit: Visit) -> None:
    """Resume the run."""
    visit.studio.runs.resume(target_run(visit))


def finish(visit: Visit) -> None:
    """End the run with its best checkpoint as the result."""
    visit.studio.runs.finish(target_run(visit))


def follow_advice(visit: Visit) -> None:
    """Apply an action that the coach proposes."""
    run = visit.studio.coach.apply(target_run(visit), visit.text("rule", 60), visit.whole("choice", 1))
    if run.id != visit.choices.run:
        select_run(visit, run.id)


def delete(visit: Visit) -> None:
    """Delete the run."""
    run = visit.studio.runs.get(target_run(visit))
    visit.studio.runs.delete(run.id)
    visit.done_message = f"The run “{run.name}” was deleted."
    visit.choose(run="", reached=())


def open_rerun_form(visit: Visit) -> None:
    """Open the run on the Runs tab, where it can be run again."""
    run = visit.studio.runs.get(target_run(visit))
    visit.remember(opened=run.id, finding={"archived": True} if run.archived else {})
    visit.goto("runs")


# --- what is shown ---


def state(progress: Progress) -> str:
    """A run's state as js/train.js writes it. It shows whether the action bar is up to date."""
    run = progress.record
    return f"{run.id} {run.status} {'true' if run.has_result else ''} {progress.waiting or ''}"


def done(visit: Visit, run: RunRecord) -> tuple[str, ...]:
    """Steps of the run that are done: ticks on the tabs."""
    if not run.has_result:
        return ()
    steps = ["train", "chat"] if is_tried(visit, run.id) else ["train"]
    if visit.studio.evaluation.report(run.id) is not None:
        steps.append("evaluate")
    with suppress(StudioError):  # for example, its base model was removed: no tick
        if any(view.done for view in visit.studio.exports.all(run.id)):
            steps.append("export")
    return tuple(steps)


def _bar_of(visit: Visit, progress: Progress) -> Html:
    run = progress.record
    classifies = visit.studio.chat.is_classifier(run.id)
    if not run.has_result or run.status in ACTIVE:
        return bar(progress, classifies)
    step, facts = next_step.step_of(visit, run, visit.studio.evaluation.report(run.id))
    return bar(progress, classifies, step.reason, next_step.primary_of(step, facts, run, chat_label(classifies)))


def bar(progress: Progress, classifies: bool = False, reason: str = "", step: Primary = EVALUATE) -> Html:
    """The action bar for the state of a run. `classifies`: its model predicts labels.

    `step`: the next step of a run with a model, and `reason`: why it is.
    """
    run, saved = progress.record, progress.saved
    if run.status in ACTIVE:
        return _running_bar(progress)
    if run.has_result:
        return _result_bar(progress, classifies, reason, step)
    question = delete_question(run.name, False, progress.bytes)
    delete = button("Delete run", "delete", "danger", run=run.id, confirm=question)
    keep = "" if progress.keeps is None else button(f"Finish with step {progress.keeps:,}", "finish", run=run.id)
    reason = progress.way_on if saved is None else f"All progress up to step {saved:,} is saved."
    if run.status == "paused":
        reason = "Paused. Other runs can start."
    primary = Primary(_resume_label(progress), "resume", run=run.id)
    return action_bar(reason, primary=primary, extra=html("{d}{k}", d=delete, k=keep))


def _resume_label(progress: Progress) -> str:
    """The label of the button: Resume, or Start again when nothing is saved."""
    if progress.saved is None:
        return "Resume" if progress.record.status == "paused" else "Start again"
    return f"Resume from step {progress.saved:,}"


def _result_bar(progress: Progress, classifies: bool, reason: str, step: Primary) -> Html:
    """The action bar of a run with a result. The run may still be resumable."""
    run, result = progress.record, "The fine-tuned model"
    if run.best_step is not None:
        result = f"The checkpoint from training step {run.best_step:,}"
    resume = run.status in GOES_ON and button(_resume_label(progress), "resume", run=run.id)
    extra = [resume, button("Run again", "again", run=run.id)]
    if step.goto != "chat":
        extra.append(button(chat_label(classifies), goto="chat"))
    if step.goto != "evaluate":
        extra.append(button("Evaluate", goto="evaluate"))
    ready = f"{result} is ready to evaluate, chat with and export."
    if classifies:
        ready = f"{result} is ready to evaluate, try on a text and export."
    return action_bar(html("{ready} {reason}", ready=ready, reason=reason), step, extra=html("{all}", all=extra))


def _running_bar(progress: Progress) -> Html:
    run, stopping, queued = progress.record, progress.record.status == "stopping", progress.record.status == "queued"
    lost = f"{run.step:,} training steps" if run.step else "the run"
    word = "Leave the queue" if queued else "Stop"
    parts = [
        button(word, "stop", icon_name="stop", wish="keep", run=run.id, disabled=stopping),
        button("Pause", "pause", run=run.id, disabled=stopping),
    ]
    if not queued:
        question = f"Stop {run.name} and discard {lost}? This deletes its checkpoints. Its curve and log stay."
        parts.append(button("Discard", "stop", "quiet danger", wish="discard", run=run.id, confirm=question))
    pausing = html("<small>{s}</small>", s=pause_message(not queued, progress.waiting))
    reason: Html | str = html(
        "<span>You can evaluate when the run ends. Stop keeps the best checkpoint so far.</span> {p}", p=pausing
    )
    if stopping:
        reason = "Pausing after this step." if run.stop_wish == "pause" else "Stopping after this step."
    elif queued:
        reason = html("{s} {p}", s=progress.sentence, p=pausing)
    return action_bar(reason, Primary("Evaluate", goto="evaluate", disabled=True), extra=parts)
