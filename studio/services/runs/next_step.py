"""What to do next with a run that has a model: one step with one reason, chosen by what is known of the run.

`next_step` is a function of facts alone. The page shows the step in the action bar of the tabs Train, Evaluate and
Chat, so that they do not contradict each other, the verdict or the coach.
"""

from dataclasses import dataclass
from typing import Literal

from studio.schema.report import Report

StepKind = Literal["evaluate", "cross-validate", "repeat", "label", "check-data", "chat", "export"]
SETTLED = ("better", "alone", "")
"""Outcomes of a report after which the model can be used. Reports of older versions have none."""
MOST_SECONDS = 3600.0
"""A cross-validation that takes longer is not the next step. It is offered beside it."""


@dataclass(frozen=True)
class RunFacts:
    """What the next step depends on."""

    report: Report | None = None
    """The evaluation. None: there is none yet."""
    has_labels: bool = False
    """The task has labels."""
    repeat: str = ""
    """The label of the coach's proposal to train again, for example with more epochs. Empty: it has none."""
    repeat_reason: str = ""
    """Why the coach proposes it, in a sentence."""
    fold_rows: int = 0
    """Rows that a cross-validation would test. 0: it is not possible, or was made."""
    fold_seconds: float | None = None
    """The time that it takes. None: unknown."""
    folds_running: bool = False
    """A cross-validation is in progress."""
    rows_deleted: bool = False
    """Its rows were deleted, so it can't be evaluated or trained again."""
    tried: bool = False
    """A prompt was answered in the Chat tab."""


@dataclass(frozen=True)
class NextStep:
    """One step, and its reason in a sentence."""

    kind: StepKind
    reason: str


def next_step(facts: RunFacts) -> NextStep:
    """Return the next step for a run with a model."""
    if facts.rows_deleted or facts.folds_running:
        return _only_use_it(facts)
    if facts.report is None:
        than = "simple guesses" if facts.has_labels else "the base model"
        return NextStep("evaluate", f"Find out if it is better than {than} on rows that it did not learn from.")
    report = facts.report.cross_validation or facts.report
    if report.outcome in SETTLED:
        return _use_it(facts, report.outcome)
    if report.outcome in ("useless", "worse"):
        return _improve(facts) or NextStep("check-data", _why_check(facts))
    if report.outcome == "unclear":
        return _settle(facts, report) or NextStep("label", "There are too few test rows for a verdict.")
    return _improve(facts) or _settle(facts, report) or _compare(facts)


def _only_use_it(facts: RunFacts) -> NextStep:
    """No more can be measured: never again, or not now."""
    if not facts.rows_deleted:
        return NextStep("chat", "The cross-validation is in progress. You can try the model meanwhile.")
    if facts.tried:
        return NextStep("export", "Its dataset was deleted, so no more can be measured. You can export the model.")
    return NextStep("chat", "Its dataset was deleted, so no more can be measured. Try the model on texts of your own.")


def _use_it(facts: RunFacts, outcome: str) -> NextStep:
    if facts.tried:
        return NextStep("export", "You have tried it. Export it to use it elsewhere.")
    if outcome == "better":
        return NextStep("chat", "It is clearly better. Try it on texts of your own before you export it.")
    return NextStep("chat", "Try it on texts of your own before you export it.")


def _improve(facts: RunFacts) -> NextStep | None:
    """Train again, if the coach knows how."""
    return NextStep("repeat", facts.repeat_reason) if facts.repeat else None


def _settle(facts: RunFacts, report: Report) -> NextStep | None:
    """Find out more: with a cross-validation of the rows that there are, else with more rows."""
    quick = facts.fold_seconds is None or facts.fold_seconds <= MOST_SECONDS
    if facts.fold_rows > report.rows and quick:
        reason = f"{report.rows:,} rows are few. Cross-validation tests all {facts.fold_rows:,} rows."
        return NextStep("cross-validate", reason)
    if not report.rows_needed:
        return None
    return NextStep("label", f"About {report.rows_needed:,} more test rows would settle it.")


def _compare(facts: RunFacts) -> NextStep:
    if facts.tried:
        return NextStep("check-data", "More rows, or better ones, help where training longer does not.")
    return NextStep("chat", "The scores show no clear difference. Compare the answers yourself.")


def _why_check(facts: RunFacts) -> str:
    if facts.has_labels:
        return "The model has not learned the labels. Check that they are correct and that the texts show them."
    return "The model has become worse. Check that the rows show what it should learn."
