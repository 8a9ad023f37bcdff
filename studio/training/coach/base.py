"""What a rule of the coach is given, and what it gives back. No I/O: numbers in, a sentence out, or silence."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import fmean, median
from typing import NamedTuple

from studio.schema.config import TrainingConfig
from studio.schema.events import Action, AdviceEvent, ErrorEvent, EvaluationEvent, ReadEvent, ReplyEvent

WRITING = ("sft", "seq2seq")
"""Trainers whose loss is that of each token written."""
LABELING = ("classification",)
STOP = Action(kind="stop", label="Stop and keep the best")


class Point(NamedTuple):
    """A step, as short as the rules need it."""

    step: int
    loss: float
    norm: float | None
    epoch: float


@dataclass
class Seen:
    """A run so far; a step that comes again after a resume takes the old one's place."""

    config: TrainingConfig
    total: int = 0
    """Steps of the whole run."""
    points: list[Point] = field(default_factory=list)
    checks: list[EvaluationEvent] = field(default_factory=list)
    replies: list[ReplyEvent] = field(default_factory=list)
    read: ReadEvent | None = None
    error: ErrorEvent | None = None
    ended: bool = False

    @property
    def step(self) -> int:
        """The step it is at."""
        return max(self.points[-1].step if self.points else 0, self.checks[-1].step if self.checks else 0)

    @property
    def trainer(self) -> str:
        """What kind of loss it has."""
        return self.read.trainer if self.read else ""

    @property
    def base(self) -> EvaluationEvent | None:
        """The check before the first step."""
        return self.checks[0] if self.checks and self.checks[0].step == 0 else None

    @property
    def tuned(self) -> Sequence[EvaluationEvent]:
        """The checks after it."""
        return self.checks[1:] if self.base else self.checks

    def share(self) -> float:
        """How much of the run is over, 0 to 1."""
        return 1.0 if self.ended else self.step / self.total if self.total else 0.0

    def losses(self, first: int, last: int) -> list[float]:
        """Training losses of steps after `first`, up to `last`."""
        return [point.loss for point in self.points if first < point.step <= last]


@dataclass(frozen=True)
class Rule:
    """One rule: pure, and told nothing but what was seen."""

    name: str
    look: Callable[[Seen], AdviceEvent | None]
    over: Callable[[Seen, AdviceEvent], AdviceEvent | None] = lambda seen, told: None
    """Takes back what was said before, once it is no longer so."""
    unless: tuple[str, ...] = ()
    """Rules that have said the same already."""


def middle(losses: Sequence[float]) -> float:
    """Median: one odd batch does not count."""
    return median(losses)


def mean(losses: Sequence[float]) -> float:
    """Mean."""
    return fmean(losses)


def noise(losses: Sequence[float]) -> float:
    """How far checks scatter about their course. A course, however bent, leaves little in the second differences;
    noise of size s leaves s times the root of six."""
    bends = [a - 2 * b + c for a, b, c in zip(losses, losses[1:], losses[2:], strict=False)]
    return sqrt(fmean([bend**2 for bend in bends]) / 6) if bends else 0.0


def figure(number: float) -> str:
    """1.67, 0.034, 2e-05: as many figures as tell something."""
    if abs(number) >= 1000:
        return f"{number:,.0f}"
    return f"{number:.2f}" if abs(number) >= 1 else f"{number:.3g}"


def percent(share: float) -> str:
    """0.07 as `7 %`."""
    return f"{100 * share:.0f} %" if abs(share) >= 0.01 else f"{100 * share:.1f} %"


def at_rate(rate: float, words: str) -> Action:
    """The same run at another learning rate."""
    kept = float(f"{min(rate, 0.1):.2g}")
    return Action(kind="repeat", label=f"Run again at {words} ({kept:g})", changes={"learning_rate": kept})


def one_decimal(epochs: float) -> float:
    """Passes as a person would set them."""
    return float(max(1, round(epochs))) if epochs >= 1 else float(f"{max(epochs, 0.1):.1f}")
