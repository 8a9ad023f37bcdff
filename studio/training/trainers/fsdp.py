"""A trainer whose weights FSDP shards (distributed/fsdp.py). Checkpoints are the same as without sharding.

The library leaves a model alone that is already sharded. What it then does not do is here: the optimizer state in a
checkpoint, and the gradients of replicated weights.
"""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME

from studio.schema.config import TrainingConfig
from studio.training.distributed.fsdp import (
    average_gradients,
    full_optimizer_state,
    full_weights,
    is_adapted,
    is_sharded,
    load_optimizer_state,
    load_weights,
    resharded,
    shard_model,
)
from studio.training.distributed.processes import is_main_process
from studio.training.trainers.data_parallel import DataParallelMixin


class FSDPMixin(DataParallelMixin):
    """A mixin for a `transformers.Trainer`."""

    settings: TrainingConfig

    def train(self, *args: Any, **kwargs: Any) -> Any:
        if self.settings.fsdp and not is_sharded(self.model):
            shard_model(self.model)
        return super().train(*args, **kwargs)

    def gathered(self) -> dict[str, torch.Tensor] | None:
        """Complete weights to save if the model is sharded, otherwise None. All processes must call it."""
        return full_weights(self.model) if is_sharded(self.model) else None

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().training_step(*args, **kwargs)
        if is_sharded(self.model) and self.accelerator.sync_gradients:
            average_gradients(self.model.parameters())
        return loss

    def _sync_replicated_trainable_parameters(self, model: Any) -> None:
        """Does nothing: `average_gradients` handles all replicated weights at once."""

    def _defer_fsdp_gradient_reduction(self) -> Any:
        """Reduce gradients after each accumulated batch, so that no process ever holds all of them."""
        return nullcontext()

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        weights = self.gathered() if state_dict is None else state_dict
        if is_main_process() or not is_sharded(self.model):
            super()._save(output_dir, weights)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if not is_sharded(self.model):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        elif not is_adapted(self.model):
            load_weights(self.model, Path(resume_from_checkpoint))
        else:
            with resharded(self.model):
                super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not is_sharded(self.model):
            super()._save_optimizer_and_scheduler(output_dir)
            return
        state = full_optimizer_state(self.optimizer)
        if is_main_process():
            torch.save(state, Path(output_dir) / OPTIMIZER_NAME)
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not is_sharded(self.model):
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        load_optimizer_state(
            self.optimizer, torch.load(Path(checkpoint) / OPTIMIZER_NAME, map_location="cpu", weights_only=True)
        )
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / SCHEDULER_NAME, weights_only=True))
