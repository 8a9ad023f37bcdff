"""The next step of a run with a model, as the tabs Train, Evaluate and Chat show it: a button and its reason."""

from studio.schema.cross_validation import FOLDS
from studio.schema.errors import StudioError
from studio.schema.events import Action, AdviceEvent
from studio.schema.numbers import about
from studio.schema.report import FEW_TEST_ROWS, Report
from studio.schema.runs import RunRecord
from studio.services.runs.next_step import NextStep, RunFacts, next_step
from studio.tasks import task_named
from studio.ui.components.basic import Primary
from studio.ui.selected import is_tried, select_run, target_run
from studio.ui.visitors.session import Visit

SUMMARY = "summary"
"""The coach's rule that sums up a run and proposes one thing."""
ROWS = "run-rows"
"""The action that opens the rows of the run in the Data tab (`selected.open_rows`)."""


def facts_of(visit: Visit, run: RunRecord, report: Report | None) -> RunFacts:
    """What is known of a run with a model."""
    folds, rows, seconds, running = visit.studio.cross_validation, 0, None, False
    if report is not None:
        view = folds.view(run.id)
        running = view is not None and view.status in ("training", "trained")
        few = report.cross_validation is None and report.rows < FEW_TEST_ROWS
        if few and not running and folds.problem(run.id) is None:
            rows, seconds = folds.rows(run.id), folds.seconds(run.id)
    advice = visit.studio.coach.advice(run.id)
    place, reason = proposal(advice)
    return RunFacts(
        report=report,
        has_labels=task_named(run.task).has_labels,
        repeat=place[1].label if place else "",
        repeat_reason=reason,
        fold_rows=rows,
        fold_seconds=seconds,
        folds_running=running,
        rows_deleted=visit.studio.evaluation.are_rows_deleted(run.id),
        tried=is_tried(visit, run.id),
    )


def proposal(advice: list[AdviceEvent]) -> tuple[tuple[int, Action] | None, str]:
    """The number and the action with which the coach's summary proposes to train again, and the reason."""
    summary = next((each for each in advice if each.rule == SUMMARY), None)
    actions = enumerate(summary.actions, start=1) if summary else ()
    proposed = next(((number, action) for number, action in actions if action.kind == "repeat"), None)
    if summary is None or proposed is None:
        return None, ""
    behind = next((each for each in advice if each.rule != SUMMARY and proposed[1] in each.actions), None)
    return proposed, behind.message if behind else summary.why


def step_of(visit: Visit, run: RunRecord, report: Report | None) -> tuple[NextStep, RunFacts]:
    """The next step of a run with a model, and the facts that it depends on."""
    facts = facts_of(visit, run, report)
    return next_step(facts), facts


def primary_of(step: NextStep, facts: RunFacts, run: RunRecord, chat: str, here: str = "") -> Primary:
    """The primary button of a step. `chat`: the label of the Chat tab's button; `here`: the tab that shows it."""
    if step.kind == "repeat":
        return Primary(facts.repeat, "repeat", run=run.id)
    if step.kind in ("evaluate", "cross-validate") and here != "evaluate":
        return Primary("Evaluate", goto="evaluate")
    if step.kind == "cross-validate":
        return Primary(folds_label(facts.fold_seconds), "folds", run=run.id)
    return {
        "evaluate": Primary("Evaluate", act="evaluate", run=run.id),
        "label": Primary("Label more rows" if facts.has_labels else "Add rows", ROWS, run=run.id),
        "check-data": Primary("Check the rows", ROWS, run=run.id),
        "export": Primary("Export", goto="export"),
        "chat": Primary(chat, goto="chat"),
    }[step.kind]


def folds_label(seconds: float | None) -> str:
    """The label of the button that starts a cross-validation."""
    if seconds is None:
        return f"Check with {FOLDS}-fold cross-validation"
    return f"Check with {FOLDS}-fold cross-validation ({about(seconds)})"


def repeat(visit: Visit) -> None:
    """Train again as the coach proposes, and open the new run."""
    run = target_run(visit)
    proposed, _ = proposal(visit.studio.coach.advice(run))
    if proposed is None:
        raise StudioError(
            "wrong-state", "The coach proposes nothing for this run any more.", hint="Choose Run again to change it."
        )
    select_run(visit, visit.studio.coach.apply(run, SUMMARY, proposed[0]).id)
    visit.goto("train")
