"""The learning rate of a run: the method's usual one, and what the task changes about it."""

from studio.schema.models import ModelInfo
from studio.tasks import Task
from studio.training.methods import method_named


def learning_rate(info: ModelInfo, method: str, task: Task, rows: int) -> tuple[float, str]:
    """The learning rate and its reason.

    It is higher for adapters than for whole models, for small models than for large ones, and for few rows than for
    many.
    """
    rate, reason = method_named(method).learning_rate(info, task.has_labels, rows)
    return (rate, reason) if task.rate_factor == 1 else (rate * task.rate_factor, task.rate_reason)
