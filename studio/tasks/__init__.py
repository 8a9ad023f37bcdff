"""The registry of tasks: a further task is one file and one line here."""

from collections.abc import Mapping

from studio.schema.errors import named
from studio.tasks.base import Encoding, Example, Role, Row, Task, Way
from studio.tasks.chat import Chat
from studio.tasks.classification import Classification
from studio.tasks.completion import Completion
from studio.tasks.feedback import Feedback
from studio.tasks.preference import Preference
from studio.tasks.question_answering import QuestionAnswering
from studio.tasks.summarization import Summarization

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Chat(),
        Classification(),
        Summarization(),
        QuestionAnswering(),
        Completion(),
        Preference(),
        Feedback(),
    )
}
"""In the order of the page."""


def task_named(name: str) -> Task:
    """The task of that name, or a `StudioError` with the nearest one."""
    return named(TASKS, name, "task", field="task")


def as_turns(task: Task, theirs: Mapping[str, str], ours: Mapping[str, str]) -> bool:
    """Whether rows of a prompt and a reply are to stand among conversations, so that each is written as one."""
    single = {"prompt", "reply"} <= set(theirs.values()) and "messages" not in theirs.values()
    return task.name == Chat.name and single and "messages" in ours.values()


__all__ = ["TASKS", "Encoding", "Example", "Role", "Row", "Task", "Way", "as_turns", "task_named"]
