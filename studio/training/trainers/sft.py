"""Supervised fine-tuning of generative models: TRL's SFTTrainer, with a faster loss on CPUs.

On a CPU, logits are computed at trained positions only (losses/causal_lm.py) and batches have no padding
(batching/packed_attention.py), after a test that both give the model's own loss. On a GPU, TRL's own computation is
used.
"""

import math
from typing import Any

from trl import SFTConfig, SFTTrainer

from studio.tasks.base import IGNORE_INDEX
from studio.training.batching.collators import PARTS, Collator, flatten_batch
from studio.training.distributed.processes import world_size
from studio.training.losses.causal_lm import install_chunked_loss
from studio.training.losses.cpu_fast_path import FastPathMixin
from studio.training.trainers import Parts
from studio.training.trainers.common import StudioTrainer, arguments, dataset_of, trainer_arguments


class SupervisedTrainer(FastPathMixin, StudioTrainer, SFTTrainer):
    """TRL's trainer with our row order, checkpoints, optimizer and loss."""

    weights_rows = False

    def install_fast_path(self, model: Any, padding_free: bool) -> None:
        """Install the loss at trained positions."""
        install_chunked_loss(model, padding_free)

    def probe(self, rows: list[dict[str, Any]]) -> float:
        """The loss of some rows."""
        loss = float(self.compute_loss(self.model, self.data_collator(rows)))
        self._metrics["eval"].clear()
        return loss

    def loss_of(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        if PARTS in inputs and self.pads:
            inputs = flatten_batch(inputs)
        if not self.uses_fast_path or return_outputs:
            return super().loss_of(model, inputs, return_outputs, num_items_in_batch)
        output = model(**inputs, learned_loss=True)
        if num_items_in_batch is None:
            return output["loss"] / max(int(output["tokens"]), 1)
        # The number counts all processes, and gradients are averaged.
        return output["loss"] * world_size() / max(int(num_items_in_batch), 1)

    def weight_of(self, inputs: Any) -> int:
        """Validation loss is a mean over tokens."""
        return int((inputs["labels"][:, 1:] != IGNORE_INDEX).sum())

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Add perplexity to the metrics."""
        output = super().evaluation_loop(*args, **kwargs)
        output.metrics["eval_perplexity"] = math.exp(min(output.metrics["eval_loss"], 700.0))
        return output


def build(parts: Parts) -> SupervisedTrainer:
    """A trainer over encoded rows, which TRL must not encode again."""
    args = SFTConfig(
        **arguments(parts),
        max_length=None,
        packing=False,
        shuffle_dataset=False,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    trainer = SupervisedTrainer(args=args, **trainer_arguments(parts, dataset_of))
    examples = [*parts.train, *parts.validation]
    if examples[0].parts:
        trainer.data_collator = Collator(parts.encoding.tokenizer.pad_token_id)
    trainer.select_fast_path(max(length for each in examples for length in each.parts or [len(each.input_ids)]))
    return trainer
