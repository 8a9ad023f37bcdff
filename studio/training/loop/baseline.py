"""What the base model does before training: its validation, and its replies to the test prompts.

It never delays a training step by more than about two seconds. What does not fit before the first step is measured
between the next ones, in slices. For a slice, the weights from before training are put back into the model. The random
state of training is restored afterwards, so a run learns the same whenever the base model is measured. While a prepared
run waits for Start, everything is measured at once.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from studio.machine.facts import free_for_training
from studio.training.distributed.processes import world_size
from studio.training.loop.baseline_cache import BaselineCache
from studio.training.loop.sliced_validation import SLICE_SECONDS, SlicedValidation, SliceOver

COPY_SHARE = 0.25
"""Maximum share of the free memory for a copy of the trainable weights from before training."""
GPU_COPY_BYTES = 256 * 2**20
"""The same on a GPU, whose memory was planned for training."""
KEPT_METRICS = ("_metrics", "_row_counts")
"""Attributes of TRL's trainers with pending metrics, each with the key "eval"."""

HasTime = Callable[[float], bool]
log = logging.getLogger("studio.training")


@dataclass(frozen=True)
class BaselineTask:
    """One part of the baseline."""

    advance: Callable[[HasTime], bool]
    """Works while there is time for the next unit, of so many seconds. Returns whether the task is finished."""
    without_adapter: bool = False
    """Whether it is the base model itself, and not the model from before the first step."""


class Baseline:
    """Measures the base model before the first step and between the next ones, by tasks."""

    def __init__(
        self,
        trainer: Any,
        tasks: Sequence[BaselineTask],
        should_stop: Callable[[], Any],
        is_waiting: Callable[[], bool],
    ) -> None:
        self.trainer, self._tasks = trainer, list(tasks)
        self._should_stop, self._is_waiting = should_stop, is_waiting
        self._slice_began, self._spent = 0.0, 0.0
        self._weights: dict[Any, Any] = {}
        self._random: Any = None
        self.phase = ""
        """The phase in which progress is reported. Empty between steps, where it is not."""
        self.delayed = 0.0
        """Seconds by which the baseline delayed the next step."""

    @property
    def is_finished(self) -> bool:
        """Whether all tasks are finished."""
        return not self._tasks

    def answer_prompts(self) -> None:
        """Work on the replies to test prompts, before the trainer begins. Several processes finish them here."""
        self.phase = "reading"
        tasks = sum(each.without_adapter for each in self._tasks)
        self._work(self._is_in_slice if world_size() == 1 else _always, tasks, force=False)

    def before_first_step(self) -> None:
        """Work on all tasks for the rest of the slice. If the weights of the base model can't be kept, finish all."""
        self.phase = "training"
        self._work(self._is_in_slice, len(self._tasks), force=False)
        if self._tasks and not self._keep_weights():
            self._work(_always, len(self._tasks), force=True)

    def between_steps(self) -> None:
        """Work for one slice."""
        self.phase = ""
        began, self._spent = time.monotonic(), 0.0
        self._work(self._is_in_slice, len(self._tasks), force=True)
        self.delayed = time.monotonic() - began

    def finish(self) -> None:
        """Finish all tasks after the last step. A stop request ends it."""
        self.phase = "saving"
        self._work(_always, len(self._tasks), force=True)

    def keep_weights(self) -> None:
        """Copy the weights before those of a checkpoint are loaded. Without enough memory, nothing is measured."""
        if self._tasks and not self._keep_weights():
            log.warning("There is too little free memory to measure the base model in the resumed run.")
            self._tasks.clear()

    def _is_in_slice(self, seconds: float) -> bool:
        """Whether a unit of so many seconds ends within the slice. All do while a prepared run waits for Start."""
        now = time.monotonic()
        if self._is_waiting():
            self._slice_began, self._spent = now, 0.0
            return True
        return self._spent + now - self._slice_began + seconds <= SLICE_SECONDS

    def _work(self, has_time: HasTime, tasks: int, force: bool) -> None:
        """Work on the first tasks. `force`: do at least one unit, so that each slice leads on."""
        first = force

        def may_continue(seconds: float) -> bool:
            nonlocal first
            allowed = self._should_stop() is None and (first or has_time(seconds))
            first = False
            return allowed

        self._slice_began = time.monotonic()
        remaining = len(self._tasks) - tasks
        while len(self._tasks) > remaining:
            with self._base_model(self._tasks[0].without_adapter):
                finished = self._tasks[0].advance(may_continue)
            if not finished:
                break
            self._tasks.pop(0)
        self._spent += time.monotonic() - self._slice_began
        if not self._tasks:
            self._weights.clear()

    def _keep_weights(self) -> bool:
        """Copy the trainable weights, unless that needs too much memory."""
        if not self._weights:
            weights = [each for each in self.trainer.model.parameters() if each.requires_grad]
            size = sum(each.numel() * each.element_size() for each in weights)
            on_gpu = any(each.is_cuda for each in weights)
            if size > (GPU_COPY_BYTES if on_gpu else COPY_SHARE * free_for_training()):
                return False
            self._weights = {each: each.detach().clone() for each in weights}
        return True

    @contextmanager
    def _base_model(self, without_adapter: bool) -> Iterator[None]:
        """The model as it was before training, at step 0, with its own random numbers. Afterwards, all is as before."""
        trainer, model = self.trainer, self.trainer.model
        step, training, control = trainer.state.global_step, model.training, dict(vars(trainer.control))
        learns = {each: each.requires_grad for each in model.parameters()}
        gather, optimizer = trainer.gather_function, trainer.optimizer
        state = _random_state()
        if self._random is not None:
            _restore_random_state(self._random)
        self._exchange_weights()
        model.eval()
        trainer.state.global_step, trainer.optimizer = 0, None  # schedule-free ones would average the base weights
        trainer.gather_function = trainer.accelerator.gather  # the other one depends on the loader of training rows
        has_adapter = without_adapter and hasattr(model, "disable_adapter")
        try:
            with model.disable_adapter() if has_adapter else nullcontext():
                yield
        finally:
            trainer.gather_function, trainer.state.global_step, trainer.optimizer = gather, step, optimizer
            vars(trainer.control).update(control)
            self._exchange_weights()
            model.train(training)
            for each, flag in learns.items():
                each.requires_grad_(flag)
            self._random = _random_state()
            _restore_random_state(state)

    def _exchange_weights(self) -> None:
        for weight, before in self._weights.items():
            weight.data, self._weights[weight] = before, weight.data


class BaselineValidation:
    """The validation before training, in slices. At its end, the callback gets it as any other validation."""

    def __init__(self, trainer: Any, cache: BaselineCache, key: Callable[[], Any]) -> None:
        largest = trainer.args.per_device_eval_batch_size
        smallest = largest if trainer.smallest_slice is None else min(largest, trainer.smallest_slice)
        self.sliced = SlicedValidation(len(trainer.eval_dataset), largest, smallest)
        self._trainer, self._cache, self._make_key = trainer, cache, key
        self._key: Any = None
        self._metrics: dict[str, Any] = {}

    def advance(self, has_time: HasTime) -> bool:
        """Evaluate batches while there is time. Returns whether the validation is finished."""
        sliced, trainer = self.sliced, self._trainer
        is_cached = self._key is None and self._load()
        stopped = False

        def may_continue(seconds: float) -> bool:
            nonlocal stopped
            stopped = not has_time(seconds)
            return not stopped

        sliced.has_time = may_continue
        while not stopped:
            with self._separate_metrics():
                trainer.sliced = sliced
                try:
                    trainer.evaluate()
                except SliceOver:
                    continue
                finally:
                    trainer.sliced = None
            if not is_cached:
                self._save()
            return True
        return False

    @contextmanager
    def _separate_metrics(self) -> Iterator[None]:
        """Metrics of the finished batches, apart from those of other validations."""
        kept: dict[str, Any] = {}
        for name in KEPT_METRICS:
            if hasattr(self._trainer, name):
                pending = getattr(self._trainer, name)
                kept[name] = pending["eval"]
                pending["eval"] = type(pending["eval"])(list)
                for metric, values in self._metrics.get(name, {}).items():
                    pending["eval"][metric] = list(values)
        try:
            yield
        except SliceOver:
            self._metrics = self._pending_metrics(kept)
            raise
        finally:
            for name, values in kept.items():
                getattr(self._trainer, name)["eval"] = values

    def _pending_metrics(self, names: Any) -> dict[str, dict[str, list[float]]]:
        return {
            name: {
                metric: [float(each) for each in values]
                for metric, values in getattr(self._trainer, name)["eval"].items()
            }
            for name in names
        }

    def _load(self) -> bool:
        """Take the outputs of all batches from the cache."""
        self._key = self._make_key()
        saved = self._cache.load(self._key)
        if saved is None or sum(saved["sizes"]) != self.sliced.rows:
            return False
        self.sliced.sizes, self.sliced.outputs, self.sliced.seconds = saved["sizes"], saved["outputs"], saved["seconds"]
        self._metrics = saved["metrics"]
        return True

    def _save(self) -> None:
        sliced = self.sliced
        values = {"sizes": sliced.sizes, "outputs": sliced.outputs, "seconds": sliced.seconds, "metrics": self._metrics}
        self._cache.save(self._key, values)


def _always(seconds: float) -> bool:
    return True


def _random_state() -> tuple[Any, ...]:
    import numpy as np
    import torch

    gpu = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), gpu


def _restore_random_state(state: tuple[Any, ...]) -> None:
    import numpy as np
    import torch

    python, numpy, cpu, gpu = state
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(cpu)
    if gpu is not None:
        torch.cuda.set_rng_state(gpu)
