"""The run of the tabs Train, Evaluate, Chat and Export: the selected one, else the newest."""

from studio.schema.errors import StudioError
from studio.schema.runs import ACTIVE, RunRecord
from studio.ui import run_drafts
from studio.ui.components.layout import look_again
from studio.ui.components.markup import Html
from studio.ui.visitors.session import Visit

TRIED, MOST_TRIED = "tried", 500
"""The key of the runs that were tried in the Chat tab, the latest first, and their maximum number."""
ASK_AGAIN = 2000
"""Milliseconds after which a tab without a result asks again."""


def selected(visit: Visit) -> RunRecord | None:
    """The selected run, else the newest, which is then selected. None when there is no run."""
    if visit.choices.run:
        try:
            return visit.studio.runs.get(visit.choices.run)
        except StudioError:
            visit.choose(run="", reached=())
    newest = next(iter(visit.studio.runs.all()), None)
    if newest is not None:
        visit.choose(run=newest.id, reached=())
    return newest


def target_run(visit: Visit) -> str:
    """The id of the run that a button was drawn for; it becomes the selected run.

    Another run may be selected by now, in another tab for example.
    """
    run = visit.text("run", 100)
    if run and run != visit.choices.run:
        select_run(visit, visit.studio.runs.get(run).id)
    return visit.choices.run


def without_result(run: RunRecord | None) -> str:
    """Why Evaluate, Chat and Export are not open yet."""
    return f"{run.name} has no fine-tuned model yet." if run else "There is no run yet."


def until_result(run: RunRecord | None) -> Html:
    """Lets Evaluate and Export ask again while the run is active, so that they open when it ends."""
    return look_again(ASK_AGAIN) if run is not None and run.status in ACTIVE else Html("")


def select_run(visit: Visit, run: str) -> None:
    """Select a run for the tabs Train, Evaluate, Chat and Export. The tabs before them show its rows."""
    visit.choose(run=run, reached=())
    run_drafts.show_rows_of(visit, visit.studio.runs.get(run))


def open_run(visit: Visit, run: str) -> None:
    """Select a run and open the Train tab."""
    select_run(visit, run)
    visit.goto("train")


def open_rows(visit: Visit) -> None:
    """Open the Data tab with the rows of the run that a button was drawn for.

    It may show other rows by now, of a draft or of a file that was added since.
    """
    run = visit.studio.runs.get(target_run(visit))
    run_drafts.show_rows_of(visit, run)
    if visit.choices.dataset == run.dataset and visit.choices.view in ("bring", "library"):
        visit.choose(view="rows")
    visit.goto("data")


def mark_done(visit: Visit, *steps: str) -> None:
    """Mark steps of the run as done: their tabs get ticks."""
    new = tuple(step for step in steps if step not in visit.choices.reached)
    if new:
        visit.choose(reached=(*visit.choices.reached, *new))


def mark_tried(visit: Visit, run: str) -> None:
    """Both models of a run have answered a prompt. This is saved with the workspace."""
    mark_done(visit, "chat")
    tried = visit.studio.drafts.get(TRIED) or []
    if run not in tried:
        visit.studio.drafts.put(TRIED, [run, *tried][:MOST_TRIED])


def is_tried(visit: Visit, run: str) -> bool:
    """Whether both models of a run have answered a prompt."""
    return run in (visit.studio.drafts.get(TRIED) or ())


def with_result(visit: Visit) -> list[RunRecord]:
    """The runs that have a fine-tuned model, newest first."""
    return [run for run in visit.studio.runs.all() if run.has_result]
