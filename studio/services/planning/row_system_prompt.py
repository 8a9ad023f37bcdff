"""The system prompt that all conversations of a dataset have, for the chat, test prompts and exports of a run."""

from typing import Any

from studio.schema.dataset import DatasetRecord, DatasetSpec
from studio.services.datasets.service import Datasets
from studio.store.cache import Cache
from studio.tasks import task_named

ROWS = 2_000
"""Number of rows, from the first on, whose system prompts are compared."""
_PROMPTS: Cache[str] = Cache(256)
"""System prompts of all workspaces' datasets. Keys contain the path of the rows, and a version never changes."""


def shared_system_prompt(datasets: Datasets, record: DatasetRecord, spec: DatasetSpec) -> str:
    """Return the system prompt that every conversation has itself. Empty where they differ, or one has none."""
    path = datasets.store.rows_path(record.id, record.version)
    key = (path, spec.task, tuple(sorted(spec.roles.items())))
    return _PROMPTS.get_or_compute(key, lambda: _compared(datasets, record, spec))


def _compared(datasets: Datasets, record: DatasetRecord, spec: DatasetSpec) -> str:
    task, found = task_named(spec.task), ""
    for _, row in datasets.table(record.id, record.version).numbered(1, ROWS):
        if task.missing(row, spec.roles):  # it is not trained on
            continue
        own = _system_prompt_of(task.prompt_of(row, spec.roles))
        if not own or own != (found or own):
            return ""
        found = own
    return found


def _system_prompt_of(prompt: Any) -> str:
    """Return the system prompt of a conversation. Texts have none."""
    first = prompt[0] if isinstance(prompt, list) and prompt else {}
    content = first.get("content") if first.get("role") == "system" else ""
    return content if isinstance(content, str) else ""
