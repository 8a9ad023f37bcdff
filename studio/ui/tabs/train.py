"""Owns: step 4. js/train.js draws what is watched, from the poll route; the action bar here follows the run's state."""

from dataclasses import dataclass

import gradio as gr

from studio.schema.errors import StudioError
from studio.schema.runs import ACTIVE, GOES_ON, RunRecord
from studio.schema.views import Progress
from studio.ui.components.basic import Primary, action_bar, button
from studio.ui.components.region import live, region, view
from studio.ui.markup import Html, html
from studio.ui.numbers import about, size
from studio.ui.selected import meant, reach, selected
from studio.ui.session import Visit
from studio.ui.shell import PageShell, Updates


@dataclass(frozen=True)
class Components:
    """What the tab is made of."""

    view: gr.HTML
    actions: gr.HTML


def build() -> Components:
    """Inside the tab."""
    return Components(view=live("train", view("train")), actions=region("train-actions", "actions-slot"))


def wire(c: Components, shell: PageShell) -> None:
    """What happens when the tab is opened, and when a person acts."""

    def show(visit: Visit) -> Updates:
        run = selected(visit)
        if run is None:
            return {c.view: {"run": "", "state": ""}, c.actions: empty_bar()}
        reach(visit, *done(visit, run))
        return {
            c.view: {"run": run.id, "state": state(run)},
            c.actions: bar(visit.studio.runs.progress(run.id)),
        }

    def stop(visit: Visit) -> Updates:
        visit.studio.runs.stop(meant(visit), "discard" if visit.text("wish") == "discard" else "keep")
        return show(visit)

    def pause(visit: Visit) -> Updates:
        visit.studio.runs.pause(meant(visit))
        return show(visit)

    def resume(visit: Visit) -> Updates:
        visit.studio.runs.resume(meant(visit))
        return show(visit)

    def finish(visit: Visit) -> Updates:
        visit.studio.runs.finish(meant(visit))
        return show(visit)

    def follow(visit: Visit) -> Updates:
        made = visit.studio.coach.apply(meant(visit), visit.text("rule", 60), visit.whole("choice", 1))
        if made.id != visit.choices.run:
            visit.choose(run=made.id, reached=())
        return show(visit)

    def delete(visit: Visit) -> Updates:
        visit.studio.runs.delete(meant(visit))
        visit.choose(run="", reached=())
        return show(visit)

    shell.page(show)
    shell.actions(c.view, {"state": show, "delete": delete, "follow": follow})

    def again(visit: Visit) -> None:
        visit.remember(opened=meant(visit), finding={})
        visit.goto("runs")

    acts = {"stop": stop, "pause": pause, "resume": resume, "finish": finish, "delete": delete, "again": again}
    shell.actions(c.actions, acts)


def state(run: RunRecord) -> str:
    """A run's state as js/train.js writes it, to tell whether the action bar still fits."""
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
    except StudioError:  # its base model is no longer here, say: no tick, and no word of it on this page
        return False


def empty_bar() -> Html:
    """Without a run there is one way on."""
    return action_bar("A run starts from step 3.", primary=Primary("Go to step 1", goto="model"))


def bar(progress: Progress) -> Html:
    """What can be done with the run as it stands, one button first."""
    run, saved = progress.record, progress.saved
    if run.status in ACTIVE:
        return _at_work(progress)
    if run.has_result:
        return _ready(progress)
    lost = f"its curve, log and checkpoints, {size(progress.bytes)}"
    delete = button("Throw away", "delete", "danger", run=run.id, confirm=f"Throw away {run.name}: {lost}?")
    keep = "" if progress.keeps is None else button(f"Keep step {progress.keeps:,} and finish", "finish", run=run.id)
    reason = progress.way_on if saved is None else f"Everything up to step {saved:,} is safe."
    if run.status == "paused":
        reason = "It has given its turn away."
    way_on = Primary(_way_on(progress), "resume", run=run.id)
    return action_bar(reason, primary=way_on, extra=html("{d}{k}", d=delete, k=keep))


def _way_on(progress: Progress) -> str:
    """What the button says: a paused run is continued, any other is resumed, or starts again where nothing is saved."""
    paused, saved = progress.record.status == "paused", progress.saved
    if saved is None:
        return "Continue" if paused else "Start again"
    return f"{'Continue' if paused else 'Resume'} from step {saved:,}"


def _ready(progress: Progress) -> Html:
    """There is a tuned model, be it of an earlier stop of a run that can go on."""
    run = progress.record
    kept = f"Step {run.best_step} is" if run.best_step is not None else "The tuned model is"
    again = html(
        "{on}{b}",
        on=button(_way_on(progress), "resume", run=run.id) if run.status in GOES_ON else "",
        b=button("Again, or longer", "again", run=run.id),
    )
    return html(
        '<section class="actions" aria-label="Next step">{again}<p class="why">{kept} ready for steps 5 to 7.</p>'
        '<button type="button" class="btn tall" data-goto="evaluate">Next: evaluate</button>'
        '<button type="button" class="btn primary" data-primary data-goto="chat">Chat with both</button></section>',
        again=again,
        kept=kept,
    )


def _at_work(progress: Progress) -> Html:
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
