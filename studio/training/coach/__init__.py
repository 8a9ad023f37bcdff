"""The coach: rules that watch the events of a run and give advice. Each rule is a module.

An advice ends when its rule retracts it. At the end of a run, advice that only applied during training is brought up to
date, and the last rule sums the run up.

`Coach` receives event by event and keeps what the rules need. It emits nothing; the caller emits the advice.
"""

from collections.abc import Iterable
from typing import Any

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
    summary,
    too_good,
    truncation,
    underfitting,
)
from studio.training.coach.base import Point, Rule, RunHistory

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
    summary,
)
RULES: dict[str, Rule] = {module.RULE.name: module.RULE for module in _MODULES}
"""In order of priority. A rule may be silent while another one gives similar advice."""
CHECK_EVERY = 5
"""Steps between two checks of the rules. They are also checked after each validation."""


class Coach:
    """The coach of one run."""

    def __init__(self, config: TrainingConfig, past: Iterable[AnyEvent] = ()) -> None:
        self.history = RunHistory(config)
        for event in past:
            self._record(event)
        self.history.error = None

    def observe(self, event: AnyEvent) -> list[AdviceEvent]:
        """Record an event. Returns new advice, usually none."""
        self._record(event)
        worth = isinstance(event, EvaluationEvent | ErrorEvent | ReadEvent)
        if not worth and not (isinstance(event, StepEvent) and event.step % CHECK_EVERY == 0):
            return []
        return self._check()

    def end(self) -> list[AdviceEvent]:
        """Returns the advice about the finished run."""
        self.history.ended = True
        return self._check()

    def _check(self) -> list[AdviceEvent]:
        advice = []
        for rule in RULES.values():
            last, current = self.history.advice.get(rule.name), self.history.current
            if rule.name not in current:
                silent = any(name in current for name in rule.unless)
                new = None if silent or self._already_retracted(last) else rule.advise(self.history)
            else:
                new = rule.update(self.history, current[rule.name])
            if new is not None:
                self._keep(new)
                advice.append(new)
        return advice

    def _already_retracted(self, last: AdviceEvent | None) -> bool:
        """Whether a rule that retracted its advice would repeat it for the same validation."""
        return last is not None and not self.history.ended and self.history.step <= last.step

    def _record(self, event: AnyEvent) -> None:
        history = self.history
        if isinstance(event, StepEvent):
            _drop_from(history.points, event.step)
            _drop_from(history.checks, event.step)  # resumed from an earlier checkpoint
            history.points.append(Point(event.step, event.loss, event.grad_norm, event.epoch))
        elif isinstance(event, EvaluationEvent) and event.step == 0:  # it may come after later ones
            history.checks[: 1 if history.base else 0] = [event]
        elif isinstance(event, EvaluationEvent):
            _drop_from(history.checks, event.step)
            history.checks.append(event)
        elif isinstance(event, PhaseEvent):
            history.total = event.steps or history.total
        elif isinstance(event, ReadEvent):
            history.read = event
        elif isinstance(event, ReplyEvent):
            history.replies.append(event)
        elif isinstance(event, ErrorEvent):
            history.error = event
        elif isinstance(event, AdviceEvent) and event.rule:
            self._keep(event)

    def _keep(self, advice: AdviceEvent) -> None:
        self.history.advice.pop(advice.rule, None)
        self.history.advice[advice.rule] = advice


def _drop_from(entries: list[Any], step: int) -> None:
    """Remove the entries of a step and of all later steps."""
    while entries and entries[-1].step >= step:
        entries.pop()


__all__ = ["RULES", "Coach", "Rule"]
