"""A trainer among several: which rows of each batch are its own, and how what it finds counts beside the others'.

The rows of a step, their order, loss and gradient are those that one process would have with as many rows at once;
of one process alone all of it is the library's way.
"""

from typing import Any

from torch.utils.data import DataLoader
from transformers import EvalPrediction

from studio.training.batching.sampler import SharedSampler, checked_by
from studio.training.distributed.processes import number, processes, sharing_weights, summed

Base: Any = object


class Shared(Base):
    """A mixin for a `transformers.Trainer`."""

    evenly = False
    """All processes must have alike many rows in every batch, since the library brings numbers of each row together."""
    _shares: tuple[float, ...] = ()
    _spare = -1
    _checked = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        sharing_weights(self.args, begun=False)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        sharing_weights(self.args, begun=True)
        return super().train(*args, **kwargs)

    def get_train_dataloader(self) -> Any:
        if processes() == 1:
            return super().get_train_dataloader()
        size = self.args.per_device_train_batch_size
        sampler = SharedSampler(self._get_train_sampler(), size, processes(), number(), self.evenly)
        return DataLoader(self.train_dataset, batch_sampler=sampler, collate_fn=self.data_collator)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        if processes() == 1:
            return super().get_eval_dataloader(eval_dataset)
        rows = self.eval_dataset if eval_dataset is None else eval_dataset
        batches, spare = checked_by(len(rows), self.args.per_device_eval_batch_size, processes(), number())
        self._spare = len(batches) - 1 if spare else -1
        return DataLoader(rows, batch_sampler=batches, collate_fn=self.data_collator)

    def share_out(self, weights: list[float], rows: int, tokens: int) -> tuple[int, int]:
        """Rows and tokens of the coming step everywhere; how much each batch here counts beside the others is kept."""
        *everywhere, rows_together, tokens_together = summed([*weights, rows, tokens])
        self._shares = tuple(processes() * here / (each or 1) for here, each in zip(weights, everywhere, strict=True))
        return round(rows_together), round(tokens_together)

    def loss_of(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """Of the rows that are here: by token of all tokens of the step, or their mean as `weight_of` counts them."""
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """As `loss_of`; a mean of less than elsewhere counts less, for means are averaged among processes."""
        found = self.loss_of(model, inputs, return_outputs, num_items_in_batch)
        if return_outputs or num_items_in_batch is not None or not model.training or not self._shares:
            return found
        share, *rest = self._shares
        self._shares = tuple(rest)
        return found if share == 1 else found * share

    def counts(self) -> bool:
        """Whether the next batch of a check is one of rows that no other process looks at."""
        self._checked += 1
        return self._checked - 1 != self._spare

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """A check draws no random number from training: a run learns the same however often it is looked at."""
        import torch

        here = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with torch.random.fork_rng(devices=here):
            return super().evaluate(*args, **kwargs)

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Rows that fill up the last batch are not judged."""
        trainer: Any = self  # whose `compute_metrics` is the library's
        self._checked, judge = 0, trainer.compute_metrics
        if processes() > 1 and judge is not None:
            rows = len(self.eval_dataset)
            trainer.compute_metrics = lambda said: judge(
                EvalPrediction(first(said.predictions, rows), first(said.label_ids, rows))
            )
        try:
            return super().evaluation_loop(*args, **kwargs)
        finally:
            trainer.compute_metrics = judge


def first(values: Any, rows: int) -> Any:
    """So many rows of an array, or of each of several."""
    return tuple(first(each, rows) for each in values) if isinstance(values, tuple | list) else values[:rows]
