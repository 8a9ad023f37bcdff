"""A trainer whose weights FSDP shards (see distributed/fsdp.py): saved and loaded as if each process had all of them.

The library leaves a model alone that says it was sharded before; what it then lacks (the optimizer's state in a
checkpoint, gradients of weights beside those that are shared out) is here.
"""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME

from studio.schema.config import TrainingConfig
from studio.training.distributed.fsdp import (
    average,
    is_adapted,
    is_sharded,
    load_state,
    load_weights,
    parted,
    shard,
    state_of,
    weights_of,
)
from studio.training.distributed.processes import leads
from studio.training.trainers.data_parallel import Shared


class Sharded(Shared):
    """A mixin for a `transformers.Trainer`."""

    settings: TrainingConfig

    def train(self, *args: Any, **kwargs: Any) -> Any:
        if self.settings.fsdp and not is_sharded(self.model):
            shard(self.model)
        return super().train(*args, **kwargs)

    def gathered(self) -> dict[str, torch.Tensor] | None:
        """What is to be saved, where no process has all of it; all must ask. None where each has."""
        return weights_of(self.model) if is_sharded(self.model) else None

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().training_step(*args, **kwargs)
        if is_sharded(self.model) and self.accelerator.sync_gradients:
            average(self.model.parameters())
        return loss

    def _sync_replicated_trainable_parameters(self, model: Any) -> None:
        """`average` does so, of all of them at once."""

    def _defer_fsdp_gradient_reduction(self) -> Any:
        """Of several goes a step each is reduced, so that no process ever holds all gradients."""
        return nullcontext()

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        told = self.gathered() if state_dict is None else state_dict
        if leads() or not is_sharded(self.model):
            super()._save(output_dir, told)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if not is_sharded(self.model):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        elif not is_adapted(self.model):
            load_weights(self.model, Path(resume_from_checkpoint))
        else:
            with parted(self.model):
                super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not is_sharded(self.model):
            super()._save_optimizer_and_scheduler(output_dir)
            return
        kept = state_of(self.optimizer)
        if leads():
            torch.save(kept, Path(output_dir) / OPTIMIZER_NAME)
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not is_sharded(self.model):
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        load_state(self.optimizer, torch.load(Path(checkpoint) / OPTIMIZER_NAME, map_location="cpu", weights_only=True))
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / SCHEDULER_NAME, weights_only=True))
