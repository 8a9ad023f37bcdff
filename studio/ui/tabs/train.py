"""4 Train: progress of a run, and its action bar. js/train.js draws the progress from the poll route."""

from dataclasses import dataclass

import gradio as gr

from studio.schema.errors import StudioError
from studio.schema.runs import ACTIVE, GOES_ON, RunRecord
from studio.schema.views import Progress
from studio.ui.components.basic import Primary, action_bar, button
from studio.ui.components.region import live, region, view
from studio.ui.markup import Html, html
from studio.ui.numbers import about, size
from studio.ui.selected import mark_done, selected, target_run
from studio.ui.session import Visit
from studio.ui.shell import PageShell, Updates
from studio.ui.tabs.base import act_then_show


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
            return {c.view: {"run": "", "state": ""}, c.actions: empty_bar()}
        mark_done(visit, *done(visit, run))
        return {
            c.view: {"run": run.id, "state": state(run)},
            c.actions: bar(visit.studio.runs.progress(run.id)),
        }

    shell.page(show)
    shell.actions(
        c.view, {"state": show, "delete": act_then_show(delete, show), "follow": act_then_show(follow_advice, show)}
    )
    acts = {"stop": stop, "pause": pause, "resume": resume, "finish": finish, "delete": delete}
    shell.actions(
        c.actions, {**{name: act_then_show(act, show) for name, act in acts.items()}, "again": open_rerun_form}
    )


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
        visit.choose(run=run.id, reached=())


def delete(visit: Visit) -> None:
    """Delete the run."""
    visit.studio.runs.delete(target_run(visit))
    visit.choose(run="", reached=())


def open_rerun_form(visit: Visit) -> None:
    """Open the run on the Runs tab, where it can be run again."""
    visit.remember(opened=target_run(visit), finding={})
    visit.goto("runs")


# --- what is shown ---


def state(run: RunRecord) -> str:
    """A run's state as js/train.js writes it. It shows whether the action bar is up to date."""
    return f"{run.id} {run.status} {'true' if run.has_result else ''}"


def done(visit: Visit, run: RunRecord) -> tuple[str, ...]:
    """Steps of the run that are done: ticks on the tabs."""
    if not run.has_result:
        return ()
    steps = {
        "train": True,
        "evaluate": visit.studio.evaluation.report(run.id) is not None,
        "export": _exported(visit, run),
    }
    return tuple(step for step, done in steps.items() if done)


def _exported(visit: Visit, run: RunRecord) -> bool:
    try:
        return any(view.done for view in visit.studio.exports.all(run.id))
    except StudioError:  # for example, its base model was removed: no tick
        return False


def empty_bar() -> Html:
    """The action bar without a run."""
    return action_bar("A run starts from step 3.", primary=Primary("Go to step 1", goto="model"))


def bar(progress: Progress) -> Html:
    """The action bar for the state of a run."""
    run, saved = progress.record, progress.saved
    if run.status in ACTIVE:
        return _running_bar(progress)
    if run.has_result:
        return _result_bar(progress)
    lost = f"its curve, log and checkpoints, {size(progress.bytes)}"
    delete = button("Throw away", "delete", "danger", run=run.id, confirm=f"Throw away {run.name}: {lost}?")
    keep = "" if progress.keeps is None else button(f"Keep step {progress.keeps:,} and finish", "finish", run=run.id)
    reason = progress.way_on if saved is None else f"Everything up to step {saved:,} is safe."
    if run.status == "paused":
        reason = "It has given its turn away."
    primary = Primary(_resume_label(progress), "resume", run=run.id)
    return action_bar(reason, primary=primary, extra=html("{d}{k}", d=delete, k=keep))


def _resume_label(progress: Progress) -> str:
    """The label of the button: Continue for a paused run, else Resume, or Start again when nothing is saved."""
    paused, saved = progress.record.status == "paused", progress.saved
    if saved is None:
        return "Continue" if paused else "Start again"
    return f"{'Continue' if paused else 'Resume'} from step {saved:,}"


def _result_bar(progress: Progress) -> Html:
    """The action bar of a run with a result. The run may still be resumable."""
    run = progress.record
    kept = f"Step {run.best_step} is" if run.best_step is not None else "The tuned model is"
    again = html(
        "{on}{b}",
        on=button(_resume_label(progress), "resume", run=run.id) if run.status in GOES_ON else "",
        b=button("Again, or longer", "again", run=run.id),
    )
    return html(
        '<section class="actions" aria-label="Next step">{again}<p class="why">{kept} ready for steps 5 to 7.</p>'
        '<button type="button" class="btn tall" data-goto="evaluate">Next: evaluate</button>'
        '<button type="button" class="btn primary" data-primary data-goto="chat">Chat with both</button></section>',
        again=again,
        kept=kept,
    )


def _running_bar(progress: Progress) -> Html:
    run = progress.record
    lost = f"{run.step:,} steps of learning" if run.step else "the run"
    stop = button(
        "Leave the queue" if run.status == "queued" else "Stop",
        "stop",
        icon_name="stop",
        wish="keep",
        run=run.id,
        disabled=run.status == "stopping",
    )
    discard = button(
        "Throw away",
        "stop",
        "quiet danger",
        wish="discard",
        run=run.id,
        confirm=f"Stop {run.name} and throw away {lost}? Its checkpoints go too; its curve and its log stay.",
    )
    pause = button("Pause", "pause", run=run.id, disabled=run.status == "stopping")
    later = html(", in <b>about {t}</b>", t=about(progress.seconds_left)) if progress.seconds_left else ""
    reason = (
        f"{'Pausing' if run.stop_wish == 'pause' else 'Stopping'} after this step."
        if run.status == "stopping"
        else html("Evaluate opens when the run ends{l}. Stop keeps the best step so far.", l=later)
        if run.status != "queued"
        else progress.sentence
    )
    parts = [stop, pause] if run.status == "queued" else [stop, pause, discard]
    extra = html("{parts}", parts=parts)
    return action_bar(reason, primary=Primary("Next: evaluate", goto="evaluate", disabled=True), extra=extra)
