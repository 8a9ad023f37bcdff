"""The number of steps of a run, and how often it validates."""

import math

from studio.schema.config import TrainingConfig
from studio.training.batching.sampler import batches_per_epoch

USUAL_VALIDATIONS = 10
"""The usual number of validations in a run."""
MAX_TIME_SHARE = 0.15
"""Maximum time of validations as a share of the training time."""
VALIDATION_ROW_COST = 1 / 3
"""Time of a row in a validation relative to a row in training."""


def steps_per_epoch(rows: int, config: TrainingConfig) -> int:
    """Optimizer steps of one epoch."""
    batches = batches_per_epoch(rows, config.batch_size, config.processes)
    return max(1, math.ceil(batches / config.gradient_accumulation))


def total_steps(rows: int, config: TrainingConfig) -> int:
    """Optimizer steps of the whole run."""
    by_epochs = max(1, math.ceil(config.epochs * steps_per_epoch(rows, config)))
    return min(by_epochs, config.max_steps) if config.max_steps else by_epochs


def eval_interval(rows: int, validation_rows: int, config: TrainingConfig) -> int:
    """Steps between two validations: as configured, or about ten in a run, but at least three and no more than the time
    share allows.

    There is also one before the first step and one at the end.
    """
    if config.eval_steps:
        return config.eval_steps
    steps = total_steps(rows, config)
    affordable = math.ceil(
        min(validation_rows, config.eval_rows) * VALIDATION_ROW_COST / MAX_TIME_SHARE / config.rows_a_step
    )
    return max(1, min(max(math.ceil(steps / USUAL_VALIDATIONS), affordable), steps // 3))
