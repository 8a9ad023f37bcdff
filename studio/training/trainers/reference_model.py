"""What DPO and KTO share: rewards are reckoned against the base as it was, which is remembered row by row.

The base is the model with its adapter off (of a full run, and of one that begins with what an earlier run learned: the
model before its first step), never a second copy. Each row is asked of it once, the first time that the row comes up,
and not again in later passes as TRL would.
"""

from collections import defaultdict
from collections.abc import Mapping
from operator import mul
from typing import Any, ClassVar

import torch

from studio.schema.events import PhaseEvent
from studio.training.distributed.processes import summed
from studio.training.losses.cpu_fast_path import Quick
from studio.training.losses.log_probs import add_log_probs
from studio.training.trainers.common import StudioTrainer

NUMBER = "number"
"""Column of a batch: which rows they are."""


class Referenced(Quick, StudioTrainer):
    """A mixin for TRL's DPOTrainer and KTOTrainer."""

    kept: ClassVar[tuple[str, ...]] = ()
    """Columns that the base's answers go into."""
    names: ClassVar[Mapping[str, str]] = {}
    """TRL's name of a number that is told → ours."""
    _known: dict[int, tuple[float, ...]]
    _weights: dict[str, defaultdict[str, list[float]]]
    """As TRL's `_metrics`: of how many rows each of the numbers that wait to be told is the mean."""

    @property
    def mode(self) -> str:
        """By which TRL keeps numbers apart."""
        return "train" if self.model.training else "eval"

    def counts_of(self, inputs: Mapping[str, Any]) -> dict[str, float]:
        """TRL's name of a number → of how many rows of a batch it is the mean."""
        return dict.fromkeys(self.names, float(self.rows_in(inputs)))

    def remember(self, inputs: dict[str, Any]) -> dict[str, torch.Tensor]:
        """What the base says to a batch, asked where it is not known yet."""
        numbers = inputs[NUMBER].tolist()
        unknown = any(number not in self._known for number in numbers)
        if any(summed([unknown])):  # all processes ask, or none: they may have to bring weights together for it
            asked = {name: value for name, value in inputs.items() if name != NUMBER}
            learning = self.model.training
            self.model.eval()  # what is remembered must not hold the noise of one step
            found = [each.tolist() for each in self.compute_ref_log_probs(self.model, asked)]
            self.model.train(learning)
            self._known.update(zip(numbers, zip(*found, strict=True), strict=True))
        columns = zip(*(self._known[number] for number in numbers), strict=True)
        return {
            name: torch.tensor(column, device=self.args.device) for name, column in zip(self.kept, columns, strict=True)
        }

    def ask_base_first(self) -> None:
        """A model that can't be what it was once it learns: all rows are asked before the first step."""
        self.model.eval()
        place, device = self.model.device, self.args.device
        if place != device:  # it waits in the machine's memory until several GPUs share it out
            self.model.to(device)
        every = [self.train_dataset, *([self.eval_dataset] if self.eval_dataset is not None else [])]
        total, done = sum(map(len, every)), 0
        for dataset in every:
            for at in range(0, len(dataset), self.args.per_device_eval_batch_size):
                rows = [dataset[n] for n in range(at, min(len(dataset), at + self.args.per_device_eval_batch_size))]
                self.remember(self._prepare_inputs(self.data_collator(rows)))
                done += len(rows)
                self.told(PhaseEvent(phase="reading", message="Asking the base", done=done, total=total, unit="rows"))
        if place != device:
            self.model.to(place)

    def start(self, longest: int, told: Any, begun: bool) -> None:
        """Before the first step: the quick way is found, and the second adapter that TRL makes goes."""
        self._known, self.told, model = {}, told, self.model
        self._weights = {mode: defaultdict(list) for mode in self._metrics}
        self.precompute_ref_logps = True  # of what we give it, from `remember`
        adapted = hasattr(model, "peft_config")
        self.find_quickest(longest)
        if begun or not adapted:
            self.ask_base_first()  # of TRL's copy of what the adapter was, where there is one
        if adapted and "ref" in model.peft_config:
            model.delete_adapter("ref")

    def add_quick_way(self, model: Any, end_to_end: bool) -> None:
        """Log-probabilities at learned positions."""
        add_log_probs(model, end_to_end)

    def probe(self, rows: list[dict[str, Any]]) -> float:
        """How likely the replies of some rows are."""
        inputs = {name: value for name, value in self.data_collator(rows).items() if name != NUMBER}
        return float(sum(each.sum() for each in self.compute_ref_log_probs(self.model, inputs)))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """TRL's numbers of the rows since the last log, those that a person is told, by our names.

        TRL would take the mean of its batches' means, in which the rows of a small last batch count more than others.
        """
        from transformers import Trainer

        mode = self.mode
        prefix = "eval_" if mode == "eval" else ""
        told = {
            name: sum(map(mul, self._metrics[mode][name], weights)) / sum(weights)
            for name, weights in self._weights[mode].items()
            if sum(weights)
        }
        for name, value in self.worked_out(told).items():
            logs[f"{prefix}{self.names[name]}"] = value
        self._metrics[mode].clear()
        self._weights[mode].clear()
        Trainer.log(self, logs, start_time)

    def worked_out(self, told: dict[str, float]) -> dict[str, float]:
        """The numbers that are told, once those of all rows are known."""
        return told

    def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
        return dataset

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def _compute_loss(self, model: Any, inputs: Any, return_outputs: bool) -> Any:
        known = self.remember(inputs)
        told = {name: value for name, value in inputs.items() if name != NUMBER}
        found = super()._compute_loss(model, {**told, **known}, return_outputs)
        said, weights, counts = self._metrics[self.mode], self._weights[self.mode], self.counts_of(inputs)
        for name, count in zip(counts, summed(list(counts.values())), strict=True):
            if len(said[name]) > len(weights[name]):
                weights[name].append(count)
        return found
