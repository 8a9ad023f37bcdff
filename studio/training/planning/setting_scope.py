"""Which settings a method and a task use. Methods and tasks name them; schema/config.py says which must be named."""

from studio.schema.config import TrainingConfig, settings_of
from studio.schema.fields import about
from studio.tasks import TASKS
from studio.training.methods import METHODS


def applies(name: str, method: str, task: str | None = None) -> bool:
    """Whether a setting makes a difference with a method and a task. None: with any task.

    An unknown method or task, for example of a plugin that is no longer installed, uses what all use.
    """
    info = about(TrainingConfig, name)
    if info is None:
        return False
    if info.by_method and not (method in METHODS and name in METHODS[method].settings):
        return False
    return task is None or not info.by_task or (task in TASKS and name in TASKS[task].settings)


def applicable_settings(method: str, task: str | None = None) -> list[str]:
    """The settings that make a difference, in the order of the page."""
    return [name for name in settings_of() if applies(name, method, task)]


def methods_with(name: str) -> list[str]:
    """The methods that use a setting. Empty: all."""
    info = about(TrainingConfig, name)
    every = METHODS.values() if info and info.by_method else ()
    return [method.name for method in every if name in method.settings]


def tasks_with(name: str) -> list[str]:
    """The tasks that use a setting. Empty: all."""
    info = about(TrainingConfig, name)
    every = TASKS.values() if info and info.by_task else ()
    return [task.name for task in every if name in task.settings]
