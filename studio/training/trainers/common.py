"""What all trainers share: the order of rows, whole checkpoints, the optimizer, the pace; and their arguments."""

import time
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import torch

from studio.schema.config import TrainingConfig
from studio.schema.events import HeldRow
from studio.tasks import Example
from studio.training.batching.collators import PARTS
from studio.training.batching.sampler import OrderedSampler
from studio.training.distributed.processes import arguments as shared_arguments
from studio.training.distributed.processes import leads, led, processes, size_of, summed
from studio.training.loop.checkpoints import Checkpoints, Standing
from studio.training.loop.trackers import arguments_of
from studio.training.methods import method_named
from studio.training.optimizers import make_optimizer
from studio.training.optimizers.param_groups import groups_of
from studio.training.planning.eval_schedule import total_steps
from studio.training.trainers import Parts
from studio.training.trainers.fsdp import Sharded

BYTES_A_MASTER = 14
"""Of a trained weight in a checkpoint: itself, two averages, a float32 copy."""
_FIRST_CHECKS: dict[Hashable, Any] = {}
"""What checks before the first step found in this process: a run that is made ready anew, since a setting was changed
that only steps obey, need not look at the same rows with the same weights again."""


class StudioTrainer(Sharded):
    """A mixin for a `transformers.Trainer`."""

    checkpoints: Checkpoints
    standing: Standing
    settings: TrainingConfig
    pads = True
    """Rows of a batch are filled up to the longest, so rows of like length belong together."""
    step_metrics: tuple[str, ...] = ()
    """Numbers of a step besides its loss that a person is told."""
    only_numbers = False
    """A check finds nothing else, and those of the one before the first step can be remembered."""
    first_check: Hashable = None
    """What that one depends on; None where it is not remembered."""
    _staging: Path | None = None
    _rows = 0
    _tokens = 0
    _fetched = 0.0
    _held_loss = 0.0
    _held_weight = 0.0

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        lengths = [len(ids) for ids in dataset["input_ids"]]
        settings = self.settings
        return OrderedSampler(lengths, settings.together, settings.seed, self.pads and settings.group_by_length)

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        self._fetched = time.perf_counter()
        batches, items = super().get_batch_samples(*args, **kwargs)
        weights = [float(self.weight_of(batch)) for batch in batches] if processes() > 1 else []
        rows, tokens = sum(map(self.rows_in, batches)), sum(int(each["attention_mask"].sum()) for each in batches)
        self._rows, self._tokens = self.share_out(weights, rows, tokens)
        return batches, items

    def pace(self) -> tuple[int, int, float]:
        """Rows and tokens of the step that has just ended, of all processes, and its seconds."""
        return self._rows, self._tokens, max(time.perf_counter() - self._fetched, 1e-6)

    def create_optimizer(self, model: Any = None) -> Any:
        known: Any = self.__dict__.get("optimizer")
        if known is None:
            groups = groups_of(self.model, self.settings, self.get_decay_parameter_names(self.model))
            rate, decay = self.args.learning_rate, self.args.weight_decay
            known = make_optimizer(self.settings.optimizer, groups, rate, decay)
            self.__dict__["optimizer"] = known
        return known

    def missed(self) -> dict[str, int]:
        """Labels that the last check never gave, with the rows that have them."""
        return {}

    def held(self) -> list[HeldRow]:
        """What the last check said to each validation row, where that can be told in short."""
        return []

    def rows_in(self, batch: Any) -> int:
        """How many rows a batch has."""
        return len(batch["input_ids"])

    def weight_of(self, inputs: Any) -> float:
        """How much a batch's mean loss counts beside those of others: of a check, and of a step's other processes."""
        return self.rows_in(inputs)

    def prediction_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        weight = self.weight_of(inputs) if self.counts() else 0
        loss, logits, labels = super().prediction_step(model, inputs, *args, **kwargs)
        self._held_loss += float(loss) * weight
        self._held_weight += weight
        return loss, logits, labels

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """A loss that does not depend on which rows share a batch."""
        known = self.first_check if self.state.global_step == 0 else None
        if known in _FIRST_CHECKS:
            found = _FIRST_CHECKS[known]
            return found._replace(metrics=dict(found.metrics))
        self._held_loss, self._held_weight = 0.0, 0.0
        output = super().evaluation_loop(*args, **kwargs)
        loss, weight = summed([self._held_loss, self._held_weight])
        if weight:
            output.metrics["eval_loss"] = loss / weight
        if known is not None:
            _FIRST_CHECKS[known] = output._replace(metrics=dict(output.metrics))
        return output

    def _get_output_dir(self, trial: Any = None) -> str:
        return str(self._staging or self.args.output_dir)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """As the library's, but in the number formats of this run: peft would turn a short adapter to float32."""
        formats = {name: weight.dtype for name, weight in self.model.named_parameters()}
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        for name, weight in self.model.named_parameters():
            if weight.dtype != formats[name]:
                weight.data = weight.data.to(formats[name])

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        from transformers import Trainer

        weights = list(self.model.parameters())
        expected = BYTES_A_MASTER * sum(size_of(weight) for weight in weights if weight.requires_grad)
        if method_named(self.settings.method).result == "model":
            expected += sum(size_of(each) * each.element_size() for each in weights if not each.requires_grad)
        self.standing.step = self.state.global_step
        with led(self.checkpoints.writing(self.standing, expected)) as staging:
            self._staging = staging
            try:
                Trainer._save_checkpoint(self, model, trial)
            finally:
                self._staging = None
        keep = {self.standing.step, self.standing.best_step or self.standing.step}
        if leads():
            self.checkpoints.prune(keep, self.standing.step)


def arguments(parts: Parts) -> dict[str, Any]:
    """Our settings as `TrainingArguments`. When to check and to save is the callback's to say."""
    config, folder = parts.config, parts.folder
    validates, resumed = bool(parts.validation), parts.resumed
    cuda = torch.cuda.is_available()
    return {
        "output_dir": str(folder),
        "num_train_epochs": config.epochs,
        "max_steps": config.max_steps if config.max_steps == total_steps(len(parts.train), config) else -1,
        "per_device_train_batch_size": config.batch_size,
        "per_device_eval_batch_size": 2 * config.batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": config.scheduler,
        "warmup_steps": config.warmup_share,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "gradient_checkpointing": None,
        "activation_checkpointing": config.gradient_checkpointing,
        "fp16": cuda and config.precision == "float16",
        "bf16": False,
        "use_cpu": not cuda,
        "seed": config.seed,
        "eval_on_start": validates and not resumed,
        "eval_strategy": "no",
        "save_strategy": "no",
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        **arguments_of(config.mirror, config.name, folder.parent),
        "disable_tqdm": True,
        "dataloader_pin_memory": cuda,
        "remove_unused_columns": False,
        **shared_arguments(config, folder.parent),
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
