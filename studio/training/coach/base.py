"""Input and output of the coach's rules. Rules do no I/O: they get the history of a run and return advice or None."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import fmean, median
from typing import NamedTuple

from studio.metrics import METRICS, Metric
from studio.schema.config import TrainingConfig
from studio.schema.events import Action, AdviceEvent, ErrorEvent, EvaluationEvent, ReadEvent, ReplyEvent
from studio.schema.numbers import plural
from studio.tasks import TASKS
from studio.tasks.base import TaskVariant

MODEL_KINDS = ("causal", "encoder", "seq2seq")
OTHER_RATES = {
    0.1: "Run again with a tenth of the learning rate ({rate})",
    0.5: "Run again with half the learning rate ({rate})",
    2.0: "Run again with twice the learning rate ({rate})",
    5.0: "Run again with five times the learning rate ({rate})",
    10.0: "Run again with ten times the learning rate ({rate})",
}
"""Factor on the learning rate → label of the action."""


class Point(NamedTuple):
    """A training step, reduced to what the rules need."""

    step: int
    loss: float
    norm: float | None
    epoch: float


@dataclass
class RunHistory:
    """The history of a run. A step that is repeated after a resume replaces the old one."""

    config: TrainingConfig
    total: int = 0
    """Number of steps of the whole run."""
    points: list[Point] = field(default_factory=list)
    checks: list[EvaluationEvent] = field(default_factory=list)
    replies: list[ReplyEvent] = field(default_factory=list)
    read: ReadEvent | None = None
    error: ErrorEvent | None = None
    ended: bool = False
    advice: dict[str, AdviceEvent] = field(default_factory=dict)
    """The last advice of each rule, the latest last. Its severity is `ok` after a retraction."""

    @property
    def step(self) -> int:
        """The current step."""
        return max(self.points[-1].step if self.points else 0, self.checks[-1].step if self.checks else 0)

    @property
    def variant(self) -> TaskVariant | None:
        """How the task is trained. None until the rows are read."""
        task = TASKS.get(self.config.task)
        if task is None or self.read is None:
            return None
        variants = (task.variant(kind, {}) for kind in MODEL_KINDS)
        return next((each for each in variants if each.trainer == self.read.trainer), None)

    @property
    def current(self) -> dict[str, AdviceEvent]:
        """Advice that applies now, by rule."""
        return {rule: advice for rule, advice in self.advice.items() if advice.severity != "ok"}

    @property
    def metric(self) -> Metric | None:
        """The metric that selects the best step. None where it is validation loss, and until the rows are read."""
        return METRICS.get(self.variant.best_metric) if self.variant else None

    @property
    def loss_of(self) -> str:
        """What the loss is about (tasks/base.py: TaskVariant.loss). Empty until the rows are read."""
        return self.variant.loss if self.variant else ""

    @property
    def base(self) -> EvaluationEvent | None:
        """The validation before the first step."""
        return self.checks[0] if self.checks and self.checks[0].step == 0 else None

    @property
    def tuned(self) -> Sequence[EvaluationEvent]:
        """The validations after training began."""
        return self.checks[1:] if self.base else self.checks

    @property
    def best(self) -> EvaluationEvent | None:
        """The best validation so far: by the metric that selects the best step."""
        best = [check for check in self.tuned if check.best]
        return best[-1] if best else min(self.tuned, key=lambda check: check.eval_loss, default=None)

    @property
    def result(self) -> EvaluationEvent | None:
        """The validation of the step that is the result, or would be if the run ended now."""
        return self.best if self.config.keep_best else next(reversed(self.tuned), None)

    def share(self) -> float:
        """Completed fraction of the run, 0 to 1."""
        return 1.0 if self.ended else self.step / self.total if self.total else 0.0

    def losses(self, first: int, last: int) -> list[float]:
        """Training losses of the steps after `first` up to `last`."""
        return [point.loss for point in self.points if first < point.step <= last]


@dataclass(frozen=True)
class Rule:
    """One rule. Its functions are pure and depend only on the history."""

    name: str
    advise: Callable[[RunHistory], AdviceEvent | None]
    update: Callable[[RunHistory, AdviceEvent], AdviceEvent | None] = lambda history, advice: None
    """Arguments: history and the advice given. Returns a new version of it, a retraction when it no longer applies
    (severity `ok`), or None to leave it as it is."""
    unless: tuple[str, ...] = ()
    """Rules that give similar advice. While one of them applies, this one is silent."""


def retraction(advice: AdviceEvent, step: int, title: str, message: str) -> AdviceEvent:
    """Ends an advice that no longer applies."""
    return AdviceEvent(rule=advice.rule, severity="ok", step=step, title=title, message=message)


def typical_loss(losses: Sequence[float]) -> float:
    """The median, which ignores single unusual batches."""
    return median(losses)


def noise(losses: Sequence[float]) -> float:
    """Standard deviation of the noise around the trend of the losses.

    A smooth trend has small second differences. Noise with standard deviation s gives them a standard deviation of s
    times the root of six.
    """
    bends = [a - 2 * b + c for a, b, c in zip(losses, losses[1:], losses[2:], strict=False)]
    return sqrt(fmean([bend**2 for bend in bends]) / 6) if bends else 0.0


def format_number(number: float) -> str:
    """A number with its significant digits: 1.67, 0.034, 2e-05."""
    if abs(number) >= 1000:
        return f"{number:,.0f}"
    return f"{number:.2f}" if abs(number) >= 1 else f"{number:.3g}"


def percent(share: float) -> str:
    """0.07 as `7%`."""
    return f"{100 * share:.0f}%" if abs(share) >= 0.01 else f"{100 * share:.1f}%"


def stop(history: RunHistory) -> Action:
    """The action to stop."""
    return Action(kind="stop", label="Stop and keep the best" if history.config.keep_best else "Stop")


def rerun_at_rate(history: RunHistory, factor: float) -> Action:
    """The action to run again at this multiple of the learning rate, one of `OTHER_RATES`."""
    rate = float(f"{min(history.config.learning_rate * factor, 0.1):.2g}")
    return Action(kind="repeat", label=OTHER_RATES[factor].format(rate=f"{rate:g}"), changes={"learning_rate": rate})


def rerun_with_epochs(epochs: float) -> Action:
    """The action to run again with another number of epochs."""
    label = plural(epochs, "Run again with {n} epoch", "Run again with {n} epochs")
    return Action(kind="repeat", label=label, changes={"epochs": epochs})


def twice_as_long(history: RunHistory) -> Action:
    """The action to run again, twice as long: with twice the steps if these limit the run, else twice the epochs."""
    steps = history.config.max_steps
    if not steps or 0 < history.total < steps:
        return rerun_with_epochs(float(min(1000, 2 * history.config.epochs)))
    steps = min(10_000_000, 2 * steps)
    return Action(kind="repeat", label=f"Run again with {steps:,} steps", changes={"max_steps": steps})


def one_decimal(epochs: float) -> float:
    """Epochs, rounded as a person would enter them."""
    return float(max(1, round(epochs))) if epochs >= 1 else float(f"{max(epochs, 0.1):.1f}")
