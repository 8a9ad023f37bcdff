"""The registry of tasks. Add a task as one file and one line here, or as an installed plugin."""

from collections.abc import Mapping

from studio.machine.plugins import Registry, members_of
from studio.schema.errors import named
from studio.tasks.base import Encoding, Example, Role, Row, Task, TaskVariant
from studio.tasks.chat import Chat
from studio.tasks.classification import Classification
from studio.tasks.completion import Completion
from studio.tasks.feedback import Feedback
from studio.tasks.preference import Preference
from studio.tasks.question_answering import QuestionAnswering
from studio.tasks.summarization import Summarization

TASKS: Registry[Task] = Registry(
    "tasks",
    (
        Chat(),
        Classification(),
        Summarization(),
        QuestionAnswering(),
        Completion(),
        Preference(),
        Feedback(),
    ),
    name_of=lambda task: task.name,
    needs=members_of(Task),
)
"""In the order of the page."""


def task_named(name: str) -> Task:
    """Return the task with this name. Raise `StudioError` with the nearest name if there is none."""
    return named(TASKS, name, "task", field="task")


def default_task() -> Task:
    """The task that is assumed until the user has chosen one: the first on the page."""
    return next(iter(TASKS.values()))


def as_turns(task: Task, other_roles: Mapping[str, str], own_roles: Mapping[str, str]) -> bool:
    """Return whether rows with a prompt and a reply must be converted to conversations, to mix with conversations.

    `other_roles` and `own_roles` are the roles of both datasets, as column → role.
    """
    single = {"prompt", "reply"} <= set(other_roles.values()) and "messages" not in other_roles.values()
    return ("messages",) in task.alternatives and single and "messages" in own_roles.values()


__all__ = [
    "TASKS",
    "Encoding",
    "Example",
    "Role",
    "Row",
    "Task",
    "TaskVariant",
    "as_turns",
    "default_task",
    "task_named",
]
