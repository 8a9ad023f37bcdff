"""The coach's advice on a run, and applying it."""

from collections.abc import Sequence

from studio.schema.errors import StudioError, named
from studio.schema.events import Action, AdviceEvent, AnyEvent
from studio.schema.runs import ACTIVE, RunRecord
from studio.services.runs.service import Runs


class Coach:
    """Advice on the runs of a workspace."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs

    def advice(self, run: str) -> list[AdviceEvent]:
        """The current advice. Empty when all is well."""
        return current_advice([each.event for each in self.runs.events(self.runs.get(run).id, kinds=("advice",))])

    def apply(self, run: str, rule: str, choice: int = 1) -> RunRecord:
        """Do what an advice proposes. Returns the run that is stopped, or a new one with a change."""
        record = self.runs.get(run)
        action = action_of(self.advice(record.id), rule, choice, record.status)
        if action.kind == "open":
            raise StudioError(
                "bad-setting",
                "This advice needs a person: the studio can't do it automatically.",
                given=action.label,
                hint="Look at the rows on the Data tab, or with: studio preview",
                field="choice",
            )
        if action.kind == "stop":
            return self.runs.stop(record.id, "keep")
        return self.runs.rerun(record.id, dict(action.changes))


def current_advice(events: Sequence[AnyEvent]) -> list[AdviceEvent]:
    """The latest advice of each rule that was not retracted, and the worker's own advice; oldest first."""
    advice = [event for event in events if isinstance(event, AdviceEvent)]
    last = {event.rule: event for event in advice if event.rule}
    return [event for event in advice if not event.rule or (last[event.rule] is event and event.severity != "ok")]


def action_of(advice_list: Sequence[AdviceEvent], rule: str, choice: int, status: str) -> Action:
    """The chosen action (from 1) of a rule's advice.

    Raises:
        StudioError: when there is no such action, or it is no longer possible.
    """
    advice = named({each.rule: each for each in advice_list if each.rule}, rule, "advice", field="rule")
    if not 1 <= choice <= len(advice.actions):
        raise StudioError(
            "bad-setting",
            f"This advice has no action {choice}.",
            given=choice,
            valid=[f"{at} ({each.label})" for at, each in enumerate(advice.actions, 1)] or "none",
            field="choice",
        )
    action = advice.actions[choice - 1]
    if action.kind == "stop" and status not in ACTIVE:
        raise StudioError(
            "wrong-state",
            "The run has ended, so it can't be stopped.",
            given=status,
            hint="See its result on the Train tab, or with: studio show",
        )
    return action
