"""The coach: rules over what a run says, each a module of its own; it speaks once, and is silent when all is well.

It is fed event by event and keeps what the rules need. It emits nothing: whoever feeds it says what it answers.
"""

from collections.abc import Iterable

from studio.schema.config import TrainingConfig
from studio.schema.events import (
    AdviceEvent,
    AnyEvent,
    ErrorEvent,
    EvaluationEvent,
    PhaseEvent,
    ReadEvent,
    ReplyEvent,
    StepEvent,
)
from studio.training.coach import (
    diverged,
    learning_rate_too_high,
    learning_rate_too_low,
    never_predicted,
    no_change,
    noisy,
    overfitting,
    too_good,
    truncation,
    underfitting,
)
from studio.training.coach.base import Point, Rule, Seen

_MODULES = (
    diverged,
    truncation,
    learning_rate_too_high,
    too_good,
    learning_rate_too_low,
    overfitting,
    underfitting,
    never_predicted,
    noisy,
    no_change,
)
RULES: dict[str, Rule] = {module.RULE.name: module.RULE for module in _MODULES}
"""In the order in which they may speak: a later one is silent where an earlier one has said the same."""
EVERY = 5
"""Steps between two looks; a check is always looked at."""


class Coach:
    """One run's coach."""

    def __init__(self, config: TrainingConfig, past: Iterable[AnyEvent] = ()) -> None:
        self.seen = Seen(config)
        self.told: dict[str, AdviceEvent] = {}
        """What each rule said last; `ok` when it was taken back."""
        for event in past:
            self._take(event)
        self.seen.error = None

    def hear(self, event: AnyEvent) -> list[AdviceEvent]:
        """What is to say to it, most often nothing."""
        self._take(event)
        worth = isinstance(event, EvaluationEvent | ErrorEvent | ReadEvent)
        if not worth and not (isinstance(event, StepEvent) and event.step % EVERY == 0):
            return []
        return self._look()

    def end(self) -> list[AdviceEvent]:
        """What is to say of the whole run."""
        self.seen.ended = True
        return self._look()

    def _look(self) -> list[AdviceEvent]:
        said = []
        for rule in RULES.values():
            told = self.told.get(rule.name)
            if told is None or told.severity == "ok":
                silent = any(name in self.told for name in rule.unless)
                new = None if silent or self._gave_up(told) else rule.look(self.seen)
            else:
                new = rule.over(self.seen, told)
            if new is not None:
                self.told[rule.name] = new
                said.append(new)
        return said

    def _gave_up(self, told: AdviceEvent | None) -> bool:
        """A rule that took its words back does not speak again on the same check."""
        return told is not None and self.seen.step <= told.step

    def _take(self, event: AnyEvent) -> None:
        seen = self.seen
        if isinstance(event, StepEvent):
            while seen.points and seen.points[-1].step >= event.step:
                seen.points.pop()
            while seen.checks and seen.checks[-1].step >= event.step:  # gone on from an earlier checkpoint
                seen.checks.pop()
            seen.points.append(Point(event.step, event.loss, event.grad_norm, event.epoch))
        elif isinstance(event, EvaluationEvent):
            while seen.checks and seen.checks[-1].step >= event.step:
                seen.checks.pop()
            seen.checks.append(event)
        elif isinstance(event, PhaseEvent):
            seen.total = event.steps or seen.total
        elif isinstance(event, ReadEvent):
            seen.read = event
        elif isinstance(event, ReplyEvent):
            seen.replies.append(event)
        elif isinstance(event, ErrorEvent):
            seen.error = event
        elif isinstance(event, AdviceEvent) and event.rule:
            self.told[event.rule] = event


__all__ = ["RULES", "Coach", "Rule", "Seen"]
