"""The trainer callback: emits events and obeys stop requests. Formats no text and handles no errors."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from studio.machine.facts import usable_cores
from studio.machine.memory import peak_memory
from studio.metrics import METRICS
from studio.schema.errors import StudioError
from studio.schema.events import AnyEvent, CheckpointEvent, EvaluationEvent, PhaseEvent, StepEvent
from studio.schema.runs import StopWish
from studio.training.distributed.processes import broadcast_from_main
from studio.training.loop.checkpoints import Checkpoints, TrainingProgress
from studio.training.planning.peak_memory import gpu_peak, on_gpu

if TYPE_CHECKING:
    from studio.training.loop.baseline import Baseline

Emit = Callable[[AnyEvent], None]
ShouldStop = Callable[[], StopWish | None]
CHEAP_VALIDATION_SECONDS = 10.0
"""If a validation takes at most this many seconds, it is repeated when the user stops the run."""
PROGRESS_SECONDS = 1.0
"""Seconds between two events about the progress of test prompts, and of a validation."""
UNREPORTED_SECONDS = 2.0
"""Between training steps, work that takes less than this is not reported."""
MIN_IMPROVEMENT = 1e-4
"""Minimum fall of validation loss, or rise of the metric, that counts as an improvement."""


class StopNow(Exception):
    """Stops training at once. Raised inside a callback."""

    def __init__(self, wish: StopWish = "discard") -> None:
        super().__init__(wish)
        self.wish = wish


def obey_before_training(should_stop: ShouldStop, progress: TrainingProgress) -> bool:
    """Obey a stop request before the first step. Returns whether no step is needed: the checkpoint of a resumed run
    becomes its result.

    Raises:
        StopNow: there is no checkpoint yet, or the request is to discard or to pause.
    """
    wish = should_stop()
    if wish and (wish != "keep" or not progress.step):
        raise StopNow(wish)
    return wish is not None


@dataclass(frozen=True)
class ValidationRules:
    """When to validate, and what the best step and early stopping depend on."""

    every: int
    """Steps between two validations, or two checkpoints if there are no validation rows."""
    validates: bool
    patience: int
    """Validations without an improvement that end the run. 0: no early stopping."""
    best_metric: str = ""


class EventCallback(TrainerCallback):
    """Emits events, obeys stop requests, decides when to validate and to save, and finds the best step.

    Saved are the best step and the last, and others in between as often as `Checkpoints.due` allows.
    """

    def __init__(
        self,
        emit: Emit,
        should_stop: ShouldStop,
        progress: TrainingProgress,
        checkpoints: Checkpoints,
        rules: ValidationRules,
    ) -> None:
        self.emit, self.should_stop = emit, should_stop
        self.progress, self.checkpoints = progress, checkpoints
        self.every, self.validates = rules.every, rules.validates
        self.patience, self.best_metric = rules.patience, rules.best_metric
        self.stopped: StopWish | None = None
        self.last_metrics: dict[str, float] = {}
        self.trainer: Any = None
        self.baseline: Baseline
        """Set when the trainer exists."""
        self.on_validation: Callable[[int], None] = lambda step: None
        """Called after each validation with its step."""
        self._check_seconds, self._check_began, self._checked = 0.0, 0.0, 0
        self._memory, self._memory_looked = 0, 0.0
        self._clocks: tuple[float, float] | None = None
        self._reported = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.emit(PhaseEvent(phase="training", steps=state.max_steps))
        self.baseline.before_first_step()
        wish = self.should_stop()
        if wish in ("discard", "keep"):
            self.stopped = wish
            raise StopNow(wish)
        if not args.eval_on_start:
            self._report_first_step(state)

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.should_stop() == "discard":
            raise StopNow("discard")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.progress.step = state.global_step
        last = state.global_step >= state.max_steps
        wish = self.should_stop()
        if wish == "discard":
            raise StopNow("discard")
        if wish == "keep" and not last:
            self.stopped = wish
            control.should_training_stop = True
            control.should_save = True
            control.should_evaluate = self.validates and self._check_seconds < CHEAP_VALIDATION_SECONDS
        elif wish == "pause" and not last:
            self.stopped = wish
            control.should_training_stop = True
            control.should_save = True
            # Validate only if it is due. An extra validation would affect the best step and early stopping.
            control.should_evaluate = self.validates and state.global_step % self.every == 0
        elif last or state.global_step % self.every == 0:
            control.should_save = last or (not self.validates and broadcast_from_main(self.checkpoints.due()))
            control.should_evaluate = self.validates

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        loss, grad_norm = float(logs["loss"]), logs.get("grad_norm")
        if grad_norm is not None and not math.isfinite(grad_norm) and args.fp16:
            grad_norm = None  # overflow in float16: the step was skipped, and the loss scale is reduced
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
                processor=self._cpu_use(),
                memory_bytes=self._peak(),
                epoch=float(state.epoch or 0.0),
                metrics={name: float(logs[name]) for name in self.trainer.step_metrics if name in logs},
                delayed=self.baseline.delayed,
            )
        )
        self.baseline.delayed = 0.0
        is_last = state.global_step >= state.max_steps or control.should_training_stop
        if not is_last and not self.baseline.is_finished:
            self.baseline.between_steps()

    def on_prediction_step(self, args: Any, state: Any, control: Any, eval_dataloader: Any = None, **_: Any) -> None:
        if self.trainer.sliced is not None:
            self._report_baseline(state.max_steps)
            return
        self._report_validation(args, state)
        wish = self.should_stop()
        # The same request may have come with the step, and waits only for this validation.
        if wish == "discard" or (wish == "keep" and self.stopped != "keep"):
            self.stopped = wish
            raise StopNow(wish)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float] | None = None, **_: Any
    ) -> None:
        if self.trainer.sliced is not None:
            self._check_seconds = self._check_seconds or sum(self.trainer.sliced.seconds)
        else:
            self._check_seconds = broadcast_from_main(time.monotonic() - (self._check_began or time.monotonic()))
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
        if state.global_step or not self.progress.step:
            self.last_metrics = {"eval_loss": loss, **own}
        best = self._update_best(state.global_step, loss, own)
        missed = self.trainer.missed()
        self.emit(EvaluationEvent(step=state.global_step, eval_loss=loss, metrics=own, best=best, missed=missed))
        self.on_validation(state.global_step)
        if args.eval_on_start and not state.global_step:
            self._report_first_step(state)
        if state.global_step and (broadcast_from_main(self.checkpoints.due()) or best):
            control.should_save = True
        if self.progress.early:
            control.should_training_stop = True
            control.should_save = True

    def _report_first_step(self, state: Any) -> None:
        """Emit the last event before the first step. A run that is only prepared waits there (worker/make_ready.py)."""
        message = "Computing the first step"
        if not self.baseline.is_finished:
            message = "Computing the first step. The base model is measured between the next ones"
        self.emit(PhaseEvent(phase="training", steps=state.max_steps, message=message, done=0))

    def _report_validation(self, args: Any, state: Any) -> None:
        """Called after each batch: emit how many rows are done, at most once a second. A short validation emits
        nothing."""
        now = time.monotonic()
        if not self._check_began:
            self._check_began, self._checked = now, 0
        self._checked += args.per_device_eval_batch_size * args.world_size
        rows = len(self.trainer.eval_dataset)
        is_long = now - self._check_began >= UNREPORTED_SECONDS
        if is_long and now - self._reported >= PROGRESS_SECONDS and self._checked < rows:
            self._reported, done = now, self._checked
            message = f"Validation, {done:,} of {rows:,} rows"
            self.emit(
                PhaseEvent(phase="training", steps=state.max_steps, message=message, done=done, total=rows, unit="rows")
            )

    def _report_baseline(self, steps: int) -> None:
        """Emit the progress of the base model's validation, at most once a second."""
        now, rows, done = time.monotonic(), self.trainer.sliced.rows, self.trainer.sliced.done
        if self.baseline.phase and done < rows and now - self._reported >= PROGRESS_SECONDS:
            self._reported, phase = now, self.baseline.phase
            message = f"Measuring the base model on the validation rows, {done:,} of {rows:,}"
            self.emit(PhaseEvent(phase=phase, steps=steps, message=message, done=done, total=rows, unit="rows"))

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        step = state.global_step
        self.emit(
            CheckpointEvent(
                step=step,
                name=self.checkpoints.path(step).name,
                bytes=self.checkpoints.size(step),
                best=step == self.progress.best_step,
            )
        )

    def _peak(self) -> int:
        """Peak memory in bytes. On a CPU, it is measured at most once a second, since finding child processes is
        slow."""
        if on_gpu():
            return gpu_peak()
        now = time.monotonic()
        if not self._memory or now - self._memory_looked >= 1:
            self._memory, self._memory_looked = max(self._memory, peak_memory()), now
        return self._memory

    def _cpu_use(self) -> float | None:
        """CPU use of this process since the last call, as a share of the cores that it may use, 0 to 1."""
        now = time.monotonic(), time.process_time()
        before, self._clocks = self._clocks, now
        if before is None or now[0] <= before[0]:
            return None
        return min(1.0, (now[1] - before[1]) / (now[0] - before[0]) / usable_cores())

    def _update_best(self, step: int, loss: float, metrics: dict[str, float]) -> bool:
        """Record a validation. Returns whether it is the best so far. The one before the first step is only for
        comparison.

        The metric of the task decides if there is one, since the loss of a classifier often rises while its accuracy
        still improves. The loss decides between equal metrics. A validation counts as a miss only if it improves
        neither.
        """
        progress = self.progress
        if step == 0:
            progress.base_loss = loss
            return False
        gain = self._score(metrics) - self._score(progress.best_metrics)
        fell = progress.lowest_loss is None or loss < progress.lowest_loss - MIN_IMPROVEMENT
        better = (
            progress.best_loss is None
            or gain > MIN_IMPROVEMENT
            or (gain >= 0 and loss < progress.best_loss - MIN_IMPROVEMENT)
        )
        if better:
            progress.best_step, progress.best_loss, progress.best_metrics = step, loss, metrics
        if fell:
            progress.lowest_loss = loss
        progress.misses = 0 if better or fell else progress.misses + 1
        progress.early = 0 < self.patience <= progress.misses
        return better

    def _score(self, metrics: dict[str, float]) -> float:
        """The metric of the task, greater is better. 0 if validation measures only the loss."""
        if self.best_metric not in metrics:
            return 0.0
        sign = 1 if METRICS[self.best_metric].higher_is_better else -1
        return sign * metrics[self.best_metric]


NOT_METRICS = frozenset(
    f"eval_{name}"
    for name in ("loss", "runtime", "samples_per_second", "steps_per_second", "model_preparation_time", "num_tokens")
) | {"epoch"}


class Diverged(StudioError):
    """The loss became infinite or NaN."""


def diverged(step: int, rate: float) -> Diverged:
    """The error for a loss that became infinite or NaN."""
    return Diverged(
        "training-failed",
        f"Training diverged: the loss became infinite or not a number (NaN) at step {step:,}.",
        given=f"a learning rate of {rate:g}",
        hint="Checkpoints that were saved before are safe. Run again with a tenth of the learning rate.",
        field="learning_rate",
    )
