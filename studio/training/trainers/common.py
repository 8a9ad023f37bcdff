"""Common parts of all trainers: row order, atomic checkpoints, optimizer, throughput, and their arguments."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from studio.schema.config import TrainingConfig
from studio.schema.events import HeldRow
from studio.schema.trainer_settings import trainer_settings
from studio.tasks import Example
from studio.training.batching.collators import PARTS
from studio.training.batching.sampler import OrderedSampler
from studio.training.distributed.processes import all_sum, element_count, is_main_process, main_process_only, world_size
from studio.training.distributed.processes import process_arguments as distributed_arguments
from studio.training.loop.checkpoints import Checkpoints, TrainingProgress
from studio.training.loop.sliced_validation import SlicedValidation
from studio.training.loop.trackers import tracker_arguments
from studio.training.methods import method_named
from studio.training.optimizers import make_optimizer
from studio.training.optimizers.param_groups import parameter_groups
from studio.training.planning.eval_schedule import total_steps
from studio.training.trainers import Parts
from studio.training.trainers.fsdp import FSDPMixin

BYTES_PER_TRAINED_WEIGHT = 14
"""Bytes of a trained weight in a checkpoint: the weight, two averages, a float32 copy."""


class StudioTrainer(FSDPMixin):
    """A mixin for a `transformers.Trainer`."""

    checkpoints: Checkpoints
    progress: TrainingProgress
    settings: TrainingConfig
    pads = True
    """Whether batches are padded to their longest row, so that rows of similar length should share a batch."""
    step_metrics: tuple[str, ...] = ()
    """Metrics of a step besides the loss that are reported."""
    weights_rows = True
    """Whether the validation loss of a row may depend on the training rows."""
    smallest_slice: int | None = 1
    """Rows of the smallest batch in which the base model is measured. None: only whole batches give the same loss."""
    sliced: SlicedValidation | None = None
    """The validation of the base model, while it is measured (loop/baseline.py)."""
    _staging: Path | None = None
    _rows = 0
    _tokens = 0
    _fetched = 0.0
    _loss_sum = 0.0
    _weight_sum = 0.0

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        lengths = [len(ids) for ids in dataset["input_ids"]]
        settings = self.settings
        return OrderedSampler(lengths, settings.together, settings.seed, self.pads and settings.group_by_length)

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        self._fetched = time.perf_counter()
        batches, items = super().get_batch_samples(*args, **kwargs)
        weights = [float(self.weight_of(batch)) for batch in batches] if world_size() > 1 else []
        rows, tokens = sum(map(self.rows_in, batches)), sum(int(each["attention_mask"].sum()) for each in batches)
        self._rows, self._tokens = self.share_batch_weights(weights, rows, tokens)
        return batches, items

    def pace(self) -> tuple[int, int, float]:
        """Rows and tokens of the last step in all processes, and its seconds."""
        return self._rows, self._tokens, max(time.perf_counter() - self._fetched, 1e-6)

    def create_optimizer(self, model: Any = None) -> Any:
        optimizer: Any = self.__dict__.get("optimizer")
        if optimizer is None:
            groups = parameter_groups(self.model, self.settings, self.get_decay_parameter_names(self.model))
            rate, decay = self.args.learning_rate, self.args.weight_decay
            optimizer = make_optimizer(self.settings.optimizer, groups, rate, decay)
            self.__dict__["optimizer"] = optimizer
        return optimizer

    def missed(self) -> dict[str, int]:
        """Labels that the last validation never predicted, with their numbers of rows."""
        return {}

    def row_predictions(self) -> list[HeldRow]:
        """Predictions of the last validation for its first rows. Empty when the trainer has none."""
        return []

    def rows_in(self, batch: Any) -> int:
        """The number of rows in a batch."""
        return len(batch["input_ids"])

    def weight_of(self, inputs: Any) -> float:
        """The weight of a batch's mean loss relative to others, in a validation and among processes."""
        return self.rows_in(inputs)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        if self.sliced is None:
            return super().get_eval_dataloader(eval_dataset)
        return DataLoader(self.eval_dataset, batch_sampler=self.sliced.batches(), collate_fn=self.data_collator)

    def prediction_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        weight = self.weight_of(inputs) if self.counts_in_validation() else 0
        predict = super().prediction_step
        if self.sliced is None:
            loss, logits, labels = predict(model, inputs, *args, **kwargs)
        else:
            rows = self.rows_in(inputs)
            loss, logits, labels = self.sliced.output(rows, lambda: predict(model, inputs, *args, **kwargs))
        self._loss_sum += float(loss) * weight
        self._weight_sum += weight
        return loss, logits, labels

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Compute a validation loss that does not depend on which rows share a batch."""
        self._loss_sum, self._weight_sum = 0.0, 0.0
        output = super().evaluation_loop(*args, **kwargs)
        loss, weight = all_sum([self._loss_sum, self._weight_sum])
        if weight:
            output.metrics["eval_loss"] = loss / weight
        return output

    def _get_output_dir(self, trial: Any = None) -> str:
        return str(self._staging or self.args.output_dir)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """As in the library, but keeps the number formats of this run. PEFT would convert an adapter to float32."""
        formats = {name: weight.dtype for name, weight in self.model.named_parameters()}
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        for name, weight in self.model.named_parameters():
            if weight.dtype != formats[name]:
                weight.data = weight.data.to(formats[name])

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        from transformers import Trainer

        weights = list(self.model.parameters())
        expected = BYTES_PER_TRAINED_WEIGHT * sum(element_count(weight) for weight in weights if weight.requires_grad)
        if method_named(self.settings.method).result == "model":
            expected += sum(element_count(each) * each.element_size() for each in weights if not each.requires_grad)
        self.progress.step = self.state.global_step
        with main_process_only(self.checkpoints.writing(self.progress, expected)) as staging:
            self._staging = staging
            try:
                Trainer._save_checkpoint(self, model, trial)
            finally:
                self._staging = None
        steps_to_keep = {self.progress.step, self.progress.best_step or self.progress.step}
        if is_main_process():
            self.checkpoints.prune(steps_to_keep, self.progress.step)


def arguments(parts: Parts) -> dict[str, Any]:
    """Our settings as `TrainingArguments`. The callback decides when to validate and to save."""
    config, folder = parts.config, parts.folder
    validates, resumed = bool(parts.validation), parts.resumed
    cuda = torch.cuda.is_available()
    return {
        "output_dir": str(folder),
        **trainer_settings(config, total_steps(len(parts.train), config)),
        "gradient_checkpointing": None,
        "activation_checkpointing": config.gradient_checkpointing,
        "fp16": cuda and config.precision == "float16",
        "use_cpu": not cuda,
        # one process measures the base model in slices (loop/baseline.py)
        "eval_on_start": validates and not resumed and world_size() > 1,
        "logging_nan_inf_filter": False,
        **tracker_arguments(config.mirror, config.name, folder.parent),
        "dataloader_pin_memory": cuda,
        **distributed_arguments(config, folder.parent),
    }


def trainer_arguments(parts: Parts, make_dataset: Callable[[Sequence[Example]], Any]) -> dict[str, Any]:
    """The arguments that the trainers have in common: the model, the rows, the tokenizer and the callback."""
    return {
        "model": parts.model,
        "train_dataset": make_dataset(parts.train),
        "eval_dataset": make_dataset(parts.validation) if parts.validation else None,
        "processing_class": parts.encoding.tokenizer,
        "callbacks": [parts.callback],
    }


def dataset_of(examples: Sequence[Example]) -> Any:
    """Examples as a `datasets.Dataset` in memory."""
    from datasets import Dataset

    columns: dict[str, list[Any]] = {
        "input_ids": [each.input_ids for each in examples],
        "labels": [each.labels for each in examples],
    }
    if examples[0].types:
        columns["token_type_ids"] = [each.types for each in examples]
    if examples[0].parts:
        columns[PARTS] = [list(each.parts) for each in examples]
    return Dataset.from_dict(columns)
