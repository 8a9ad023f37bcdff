"""Data parallel training: which rows of each batch belong to this process, and how its results are weighted.

Rows, order, loss and gradient of a step equal those of one process with the same total batch size. With one process,
the library's own functions are used.
"""

from typing import Any

from torch.utils.data import DataLoader
from transformers import EvalPrediction

from studio.training.batching.sampler import DistributedBatchSampler, evaluation_batches
from studio.training.distributed.processes import all_sum, rank, set_weights_sharded, world_size

Base: Any = object


class DataParallelMixin(Base):
    """A mixin for a `transformers.Trainer`."""

    drop_remainder = False
    """Whether all processes need equally many rows in each batch, because the library gathers per-row values."""
    _batch_weights: tuple[float, ...] = ()
    _filler_batch = -1
    _evaluated = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        set_weights_sharded(self.args, sharded=False)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        set_weights_sharded(self.args, sharded=True)
        return super().train(*args, **kwargs)

    def get_train_dataloader(self) -> Any:
        if world_size() == 1:
            return super().get_train_dataloader()
        size = self.args.per_device_train_batch_size
        sampler = DistributedBatchSampler(self._get_train_sampler(), size, world_size(), rank(), self.drop_remainder)
        return DataLoader(self.train_dataset, batch_sampler=sampler, collate_fn=self.data_collator)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        if world_size() == 1:
            return super().get_eval_dataloader(eval_dataset)
        rows = self.eval_dataset if eval_dataset is None else eval_dataset
        batches, has_filler = evaluation_batches(len(rows), self.args.per_device_eval_batch_size, world_size(), rank())
        self._filler_batch = len(batches) - 1 if has_filler else -1
        return DataLoader(rows, batch_sampler=batches, collate_fn=self.data_collator)

    def share_batch_weights(self, weights: list[float], rows: int, tokens: int) -> tuple[int, int]:
        """Sum rows and tokens of the next step over all processes, and store the relative weight of each local
        batch."""
        *everywhere, rows_together, tokens_together = all_sum([*weights, rows, tokens])
        self._batch_weights = tuple(
            world_size() * local / (each or 1) for local, each in zip(weights, everywhere, strict=True)
        )
        return round(rows_together), round(tokens_together)

    def loss_of(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """The loss of the local rows: per token of all tokens in the step, or their mean weighted by `weight_of`."""
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """As `loss_of`, scaled by the weight of this batch, since gradients are averaged over processes."""
        loss = self.loss_of(model, inputs, return_outputs, num_items_in_batch)
        if return_outputs or num_items_in_batch is not None or not model.training or not self._batch_weights:
            return loss
        share, *rest = self._batch_weights
        self._batch_weights = tuple(rest)
        return loss if share == 1 else loss * share

    def counts_in_validation(self) -> bool:
        """Whether the next validation batch has rows that no other process evaluates."""
        self._evaluated += 1
        return self._evaluated - 1 != self._filler_batch

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Restore the random state after a validation, so that training does not depend on the number of
        validations."""
        import torch

        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with torch.random.fork_rng(devices=devices):
            return super().evaluate(*args, **kwargs)

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Compute metrics without the rows that fill the last batch."""
        trainer: Any = self  # the library defines `compute_metrics`
        self._evaluated, compute_metrics = 0, trainer.compute_metrics
        if world_size() > 1 and compute_metrics is not None:
            rows = len(self.eval_dataset)
            trainer.compute_metrics = lambda prediction: compute_metrics(
                EvalPrediction(first_rows(prediction.predictions, rows), first_rows(prediction.label_ids, rows))
            )
        try:
            return super().evaluation_loop(*args, **kwargs)
        finally:
            trainer.compute_metrics = compute_metrics


def first_rows(values: Any, rows: int) -> Any:
    """The first rows of an array, or of each array of a tuple."""
    return tuple(first_rows(each, rows) for each in values) if isinstance(values, tuple | list) else values[:rows]
