"""Common parts of DPO and KTO: log-probabilities under the reference model, computed once per row.

The reference is the model with its adapter disabled, never a second copy. For full training, and for a run that starts
from an earlier run's weights, it is the model before the first step. Each row is evaluated when it first occurs, and
not again in later epochs as TRL would do.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from operator import mul
from typing import Any, ClassVar

import torch

from studio.schema.events import PhaseEvent
from studio.tasks import Example
from studio.training.distributed.processes import all_sum
from studio.training.loop.callbacks import EventCallback, obey_before_training
from studio.training.losses.cpu_fast_path import FastPathMixin
from studio.training.losses.log_probs import install_log_probs
from studio.training.trainers import Parts
from studio.training.trainers.common import StudioTrainer

ROW_NUMBER = "number"
"""Column of a batch with the row numbers."""


def row_numbers(parts: Parts, examples: Sequence[Example]) -> list[int]:
    """A number for each of the training or validation rows. No two rows have the same."""
    first = 0 if examples is parts.train else len(parts.train)
    return list(range(first, first + len(examples)))


class ReferenceModelMixin(FastPathMixin, StudioTrainer):
    """A mixin for TRL's DPOTrainer and KTOTrainer."""

    reference_columns: ClassVar[tuple[str, ...]] = ()
    """Columns for the reference log-probabilities."""
    metric_names: ClassVar[Mapping[str, str]] = {}
    """TRL's name of a metric → ours."""
    _reference: dict[int, tuple[float, ...]]
    _row_counts: dict[str, defaultdict[str, list[float]]]
    """As TRL's `_metrics`: for each pending value, the number of rows that it is the mean of."""

    @property
    def mode(self) -> str:
        """The key of TRL's metrics, "train" or "eval"."""
        return "train" if self.model.training else "eval"

    def row_counts(self, inputs: Mapping[str, Any]) -> dict[str, float]:
        """TRL's name of a metric → the number of rows of a batch that it is the mean of."""
        return dict.fromkeys(self.metric_names, float(self.rows_in(inputs)))

    def reference_log_probs(self, inputs: dict[str, Any]) -> dict[str, torch.Tensor]:
        """Reference log-probabilities of a batch. Rows that are not cached are evaluated."""
        numbers = inputs[ROW_NUMBER].tolist()
        unknown = any(number not in self._reference for number in numbers)
        if any(all_sum([unknown])):  # all processes evaluate or none, since they may have to gather weights for it
            batch = {name: value for name, value in inputs.items() if name != ROW_NUMBER}
            was_training = self.model.training
            self.model.eval()  # cached values must not contain the noise of one step
            values = [each.tolist() for each in self.compute_ref_log_probs(self.model, batch)]
            self.model.train(was_training)
            self._reference.update(zip(numbers, zip(*values, strict=True), strict=True))
        columns = zip(*(self._reference[number] for number in numbers), strict=True)
        return {
            name: torch.tensor(column, device=self.args.device)
            for name, column in zip(self.reference_columns, columns, strict=True)
        }

    def precompute_reference(self, callback: EventCallback) -> None:
        """Evaluate all rows before the first step, for a model that can't be restored once it is trained.

        A stop request ends it: no step follows.
        """
        self.model.eval()
        place, device = self.model.device, self.args.device
        if place != device:  # it is on the CPU until several GPUs shard it
            self.model.to(device)
        datasets = [self.train_dataset, *([self.eval_dataset] if self.eval_dataset is not None else [])]
        total, done = sum(map(len, datasets)), 0
        for dataset in datasets:
            for offset in range(0, len(dataset), self.args.per_device_eval_batch_size):
                if obey_before_training(callback.should_stop, callback.progress):
                    break
                rows = [
                    dataset[n] for n in range(offset, min(len(dataset), offset + self.args.per_device_eval_batch_size))
                ]
                self.reference_log_probs(self._prepare_inputs(self.data_collator(rows)))
                done += len(rows)
                callback.emit(
                    PhaseEvent(
                        phase="reading",
                        message=f"Evaluating the base model, {done:,} of {total:,} rows",
                        done=done,
                        total=total,
                        unit="rows",
                    )
                )
        if place != device:
            self.model.to(place)

    def prepare_reference(self, longest: int, callback: EventCallback, has_start_weights: bool) -> None:
        """Select the fast path, precompute reference values if needed, and delete TRL's second adapter. Call it
        before training."""
        self._reference, model = {}, self.model
        self._row_counts = {mode: defaultdict(list) for mode in self._metrics}
        self.precompute_ref_logps = True  # `reference_log_probs` provides them
        adapted = hasattr(model, "peft_config")
        self.select_fast_path(longest)
        if has_start_weights or not adapted:
            self.precompute_reference(callback)  # before the second adapter is deleted
        if adapted and "ref" in model.peft_config:
            model.delete_adapter("ref")

    def install_fast_path(self, model: Any, padding_free: bool) -> None:
        """Install the computation of log-probabilities at trained positions."""
        install_log_probs(model, padding_free)

    def probe(self, rows: list[dict[str, Any]]) -> float:
        """Sum of the log-probabilities of some rows."""
        inputs = {name: value for name, value in self.data_collator(rows).items() if name != ROW_NUMBER}
        return float(sum(each.sum() for each in self.compute_ref_log_probs(self.model, inputs)))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the metrics since the last log under our names, as means over rows.

        TRL logs the mean of batch means, in which the rows of a small last batch count more than others.
        """
        from transformers import Trainer

        mode = self.mode
        prefix = "eval_" if mode == "eval" else ""
        metrics = {
            name: sum(map(mul, self._metrics[mode][name], weights)) / sum(weights)
            for name, weights in self._row_counts[mode].items()
            if sum(weights)
        }
        for name, value in self.derived_metrics(metrics).items():
            logs[f"{prefix}{self.metric_names[name]}"] = value
        self._metrics[mode].clear()
        self._row_counts[mode].clear()
        Trainer.log(self, logs, start_time)

    def derived_metrics(self, metrics: dict[str, float]) -> dict[str, float]:
        """The metrics to report, from the means over all rows."""
        return metrics

    def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
        return dataset

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def _compute_loss(self, model: Any, inputs: Any, return_outputs: bool) -> Any:
        reference = self.reference_log_probs(inputs)
        batch = {name: value for name, value in inputs.items() if name != ROW_NUMBER}
        loss = super()._compute_loss(model, {**batch, **reference}, return_outputs)
        sums, weights, counts = self._metrics[self.mode], self._row_counts[self.mode], self.row_counts(inputs)
        for name, count in zip(counts, all_sum(list(counts.values())), strict=True):
            if len(sums[name]) > len(weights[name]):
                weights[name].append(count)
        return loss
