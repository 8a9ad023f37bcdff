"""How many steps a run has, and how often it looks at the validation rows."""

import math

from studio.schema.config import TrainingConfig
from studio.training.batching.sampler import batches_a_pass

CHECKS = 10
"""Checks of a run when nothing speaks against it."""
CHECK_COST = 0.15
"""The most time that checks may take, as a share of training."""
CHECK_ROW = 1 / 3
"""A row in a check costs about a third of a row in training."""


def steps_per_epoch(rows: int, config: TrainingConfig) -> int:
    """Optimizer steps of one pass."""
    batches = batches_a_pass(rows, config.batch_size, config.processes)
    return max(1, math.ceil(batches / config.gradient_accumulation))


def total_steps(rows: int, config: TrainingConfig) -> int:
    """Optimizer steps of the whole run."""
    by_passes = max(1, math.ceil(config.epochs * steps_per_epoch(rows, config)))
    return min(by_passes, config.max_steps) if config.max_steps else by_passes


def check_every(rows: int, validation_rows: int, config: TrainingConfig) -> int:
    """Steps between two checks: as set, or about ten in a run, but three at least and no more than is cheap.

    One before the first step and one at the end come besides, whatever the length of the run.
    """
    if config.eval_steps:
        return config.eval_steps
    steps = total_steps(rows, config)
    cheap = math.ceil(min(validation_rows, config.eval_rows) * CHECK_ROW / CHECK_COST / config.rows_a_step)
    return max(1, min(max(math.ceil(steps / CHECKS), cheap), steps // 3))
