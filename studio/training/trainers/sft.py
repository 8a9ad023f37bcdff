"""Supervised fine-tuning of a model that writes text: TRL's SFTTrainer, quicker where TRL's own way is slow.

On a CPU, logits are computed at trained positions only (losses/causal_lm.py) and batches have no padding
(batching/packed_attention.py), after a check that both give the model's own loss. On a GPU, TRL's own path is used.
"""

import math
from typing import Any

from trl import SFTConfig, SFTTrainer

from studio.tasks.base import IGNORE_INDEX
from studio.training.batching.collators import PARTS, Collator, laid_end_to_end
from studio.training.distributed.processes import processes
from studio.training.losses.causal_lm import add_learned_loss
from studio.training.losses.cpu_fast_path import Quick
from studio.training.trainers import Parts
from studio.training.trainers.common import StudioTrainer, arguments, dataset_of


class ReplyTrainer(Quick, StudioTrainer, SFTTrainer):
    """TRL's trainer, with our order of rows, checkpoints, optimizer and loss."""

    only_numbers = True

    def add_quick_way(self, model: Any, end_to_end: bool) -> None:
        """The loss at learned positions."""
        add_learned_loss(model, end_to_end)

    def probe(self, rows: list[dict[str, Any]]) -> float:
        """The loss of some rows."""
        loss = float(self.compute_loss(self.model, self.data_collator(rows)))
        self._metrics["eval"].clear()
        return loss

    def loss_of(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        if PARTS in inputs and self.pads:
            inputs = laid_end_to_end(inputs)
        if not self.quick or return_outputs:
            return super().loss_of(model, inputs, return_outputs, num_items_in_batch)
        found = model(**inputs, learned_loss=True)
        if num_items_in_batch is None:
            return found["loss"] / max(int(found["tokens"]), 1)
        return found["loss"] * processes() / max(int(num_items_in_batch), 1)  # which is of all, and they are averaged

    def weight_of(self, inputs: Any) -> int:
        """Validation loss is by token."""
        return int((inputs["labels"][:, 1:] != IGNORE_INDEX).sum())

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """With perplexity, for those who think in it."""
        output = super().evaluation_loop(*args, **kwargs)
        output.metrics["eval_perplexity"] = math.exp(min(output.metrics["eval_loss"], 700.0))
        return output


def build(parts: Parts) -> ReplyTrainer:
    """A trainer over encoded rows, which TRL must not touch again."""
    args = SFTConfig(
        **arguments(parts),
        max_length=None,
        packing=False,
        shuffle_dataset=False,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    trainer = ReplyTrainer(
        model=parts.model,
        args=args,
        train_dataset=dataset_of(parts.train),
        eval_dataset=dataset_of(parts.validation) if parts.validation else None,
        processing_class=parts.encoding.tokenizer,
        callbacks=[parts.callback],
    )
    every = [*parts.train, *parts.validation]
    if every[0].parts:
        trainer.data_collator = Collator(parts.encoding.tokenizer.pad_token_id)
    trainer.find_quickest(max(length for each in every for length in each.parts or [len(each.input_ids)]))
    return trainer
