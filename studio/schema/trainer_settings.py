"""The settings of a run under the names of transformers' `TrainingArguments`."""

from typing import Any

from studio.schema.config import TrainingConfig


def trainer_settings(config: TrainingConfig, steps: int) -> dict[str, Any]:
    """What a run of the studio and a script that repeats it give to the trainer. `steps`: all steps of the run.

    Neither validates or saves by itself: the studio's callback decides that, and the script does as it did.
    """
    return {
        "num_train_epochs": config.epochs,
        "max_steps": config.max_steps if config.max_steps == steps else -1,
        "per_device_train_batch_size": config.batch_size,
        "per_device_eval_batch_size": 2 * config.batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": config.scheduler,
        "warmup_steps": config.warmup_share,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "bf16": False,
        "seed": config.seed,
        "eval_strategy": "no",
        "save_strategy": "no",
        "logging_strategy": "steps",
        "logging_steps": 1,
        "disable_tqdm": True,
        "remove_unused_columns": False,
    }
