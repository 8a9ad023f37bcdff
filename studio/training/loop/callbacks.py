"""What a run says and hears while it trains. Formats no text for people, swallows no error."""

import math
import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

from studio.machine.facts import usable_cores
from studio.machine.memory import peak_memory
from studio.metrics import METRICS
from studio.schema.errors import StudioError
from studio.schema.events import AnyEvent, CheckpointEvent, EvaluationEvent, PhaseEvent, StepEvent
from studio.schema.runs import StopWish
from studio.training.distributed.processes import agreed
from studio.training.loop.checkpoints import Checkpoints, Standing
from studio.training.planning.peak_memory import gpu_peak, on_gpu

Emit = Callable[[AnyEvent], None]
ShouldStop = Callable[[], StopWish | None]
CHEAP_CHECK = 10.0
"""A check that takes no longer (in seconds) is made once more when a person stops the run."""
BETTER = 1e-4
"""Validation loss must fall, or the task's metric rise, by this much to count as better."""


class StopNow(Exception):
    """A stop at once, raised inside a hook."""

    def __init__(self, wish: StopWish = "discard") -> None:
        super().__init__(wish)
        self.wish = wish


class EventCallback(TrainerCallback):
    """Emits events, obeys the wish to stop, decides when to check and to save, and which step is the best.

    What is saved: the best step and the last, and between them as often as `Checkpoints.due` finds cheap.
    """

    def __init__(
        self,
        emit: Emit,
        should_stop: ShouldStop,
        standing: Standing,
        checkpoints: Checkpoints,
        *,
        every: int,
        validates: bool,
        patience: int,
        best_metric: str = "",
    ) -> None:
        self.emit, self.should_stop = emit, should_stop
        self.standing, self.checkpoints = standing, checkpoints
        self.every, self.validates, self.patience, self.best_metric = every, validates, patience, best_metric
        self.stopped: StopWish | None = None
        self.last_metrics: dict[str, float] = {}
        self.trainer: Any = None
        self.watch: Callable[[int], None] = lambda step: None
        """What else is to be told at a check."""
        self._check_seconds, self._check_began = 0.0, 0.0
        self._memory, self._memory_looked = 0, 0.0
        self._clocks: tuple[float, float] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.emit(PhaseEvent(phase="training", steps=state.max_steps))

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.should_stop() == "discard":
            raise StopNow("discard")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.standing.step = state.global_step
        last = state.global_step >= state.max_steps
        wish = self.should_stop()
        if wish == "discard":
            raise StopNow("discard")
        if wish == "keep" and not last:
            self.stopped = wish
            control.should_training_stop = True
            control.should_save = True
            control.should_evaluate = self.validates and self._check_seconds < CHEAP_CHECK
        elif wish == "pause" and not last:
            self.stopped = wish
            control.should_training_stop = True
            control.should_save = True
            # No check but one that is due: it would count towards the best step and towards stopping early.
            control.should_evaluate = self.validates and state.global_step % self.every == 0
        elif last or state.global_step % self.every == 0:
            control.should_save = last or (not self.validates and agreed(self.checkpoints.due()))
            control.should_evaluate = self.validates

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        loss, grad_norm = float(logs["loss"]), logs.get("grad_norm")
        if grad_norm is not None and not math.isfinite(grad_norm) and args.fp16:
            grad_norm = None  # too large for float16: the step was skipped, and the next is scaled by less
        if not math.isfinite(loss) or (grad_norm is not None and not math.isfinite(grad_norm)):
            raise diverged(state.global_step, args.learning_rate)
        if not self.validates:
            self.last_metrics = {"loss": loss}
        rows, tokens, seconds = self.trainer.pace()
        self.emit(
            StepEvent(
                step=state.global_step,
                loss=loss,
                learning_rate=float(logs["learning_rate"]),
                grad_norm=grad_norm,
                rows_per_second=rows / seconds,
                tokens_per_second=tokens / seconds,
                processor=self._busy(),
                memory_bytes=self._peak(),
                epoch=float(state.epoch or 0.0),
                metrics={name: float(logs[name]) for name in self.trainer.step_metrics if name in logs},
            )
        )

    def on_prediction_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._check_began = self._check_began or time.monotonic()
        wish = self.should_stop()
        # A wish that came with the step itself has had its answer: this check is the last thing it waits for.
        if wish == "discard" or (wish == "keep" and self.stopped is None):
            self.stopped = wish
            raise StopNow(wish)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float] | None = None, **_: Any
    ) -> None:
        self._check_seconds = agreed(time.monotonic() - (self._check_began or time.monotonic()))
        self._check_began = 0.0
        metrics = metrics or {}
        loss = float(metrics["eval_loss"])
        if not math.isfinite(loss):
            raise diverged(state.global_step, args.learning_rate)
        own = {
            name.removeprefix("eval_"): float(value)
            for name, value in metrics.items()
            if name not in NOT_METRICS and isinstance(value, int | float)
        }
        self.last_metrics = {"eval_loss": loss, **own}
        best = self._judge(state.global_step, loss, own)
        missed = self.trainer.missed()
        self.emit(EvaluationEvent(step=state.global_step, eval_loss=loss, metrics=own, best=best, missed=missed))
        self.watch(state.global_step)
        if state.global_step and (agreed(self.checkpoints.due()) or best):
            control.should_save = True
        if self.standing.early:
            control.should_training_stop = True
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        step = state.global_step
        self.emit(
            CheckpointEvent(
                step=step,
                name=self.checkpoints.path(step).name,
                bytes=self.checkpoints.size(step),
                best=step == self.standing.best_step,
            )
        )

    def _peak(self) -> int:
        """Peak memory, of a processor looked up once a second: children are found by going through all processes."""
        if on_gpu():
            return gpu_peak()
        now = time.monotonic()
        if not self._memory or now - self._memory_looked >= 1:
            self._memory, self._memory_looked = max(self._memory, peak_memory()), now
        return self._memory

    def _busy(self) -> float | None:
        """Share of the cores that this process may use that it kept busy since it was last asked, 0 to 1."""
        now = time.monotonic(), time.process_time()
        before, self._clocks = self._clocks, now
        if before is None or now[0] <= before[0]:
            return None
        return min(1.0, (now[1] - before[1]) / (now[0] - before[0]) / usable_cores())

    def _judge(self, step: int, loss: float, metrics: dict[str, float]) -> bool:
        """Whether this check is the best so far. The one before the first step is only for comparison.

        The task's own metric decides where a check tells it, since the loss of a classifier often rises while it still
        sorts better; loss decides between equals. Only what improves neither counts as a miss.
        """
        standing = self.standing
        if step == 0:
            standing.base_loss = loss
            return False
        gain = self._score(metrics) - self._score(standing.best_metrics)
        fell = standing.lowest_loss is None or loss < standing.lowest_loss - BETTER
        better = standing.best_loss is None or gain > BETTER or (gain >= 0 and loss < standing.best_loss - BETTER)
        if better:
            standing.best_step, standing.best_loss, standing.best_metrics = step, loss, metrics
        if fell:
            standing.lowest_loss = loss
        standing.misses = 0 if better or fell else standing.misses + 1
        standing.early = 0 < self.patience <= standing.misses
        return better

    def _score(self, metrics: dict[str, float]) -> float:
        """The task's metric, greater for better; 0 where checks tell loss alone."""
        if self.best_metric not in metrics:
            return 0.0
        sign = 1 if METRICS[self.best_metric].higher_is_better else -1
        return sign * metrics[self.best_metric]


NOT_METRICS = frozenset(
    f"eval_{name}"
    for name in ("loss", "runtime", "samples_per_second", "steps_per_second", "model_preparation_time", "num_tokens")
) | {"epoch"}


class Diverged(StudioError):
    """The loss is no number any more."""


def diverged(step: int, rate: float) -> Diverged:
    """The plain sentence for a loss that is no number any more."""
    return Diverged(
        "training-failed",
        f"The loss stopped being a number in step {step:,}: the model's weights have run away.",
        given=f"a learning rate of {rate:g}",
        hint="What was saved before is safe. Start again with a learning rate a tenth of that.",
        field="learning_rate",
    )
