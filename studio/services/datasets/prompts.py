"""Prompts among the rows of a dataset to try a model with."""

import json

from studio.data.different_texts import different_texts
from studio.schema.errors import StudioError
from studio.services.datasets.service import Datasets

MOST = 3
ROWS = 60
"""The test prompts are chosen among so many rows."""
LONGEST = 400
"""Maximum characters of a prompt."""


def prompts_of(datasets: Datasets, dataset: str, task: str) -> tuple[str, ...]:
    """Prompts of the first rows, as different from each other as possible. None where the roles are not known."""
    try:
        roles = datasets.spec(dataset, task).roles
    except StudioError:
        return ()
    by_role = {role: name for name, role in roles.items()}
    both = next((pair for pair in (("question", "context"), ("text", "second")) if pair[0] in by_role), None)
    asks = both or ("prompt", "messages")
    columns = [by_role[role] for role in asks if role in by_role]
    columns = columns if both else columns[:1]
    record = datasets.get(dataset)

    def choose() -> tuple[str, ...]:
        page = datasets.rows(record.id, 1, ROWS, record.version)
        texts = (_prompt_in("\n\n".join(row.get(each, "") for each in columns)) for _, row in page.rows)
        return tuple(different_texts([text for text in texts if text], MOST))

    return datasets.store.computed.prompts.get_or_compute((record.id, record.version, *columns), choose)


def _prompt_in(cell: str) -> str:
    """The prompt in a cell: its text, or the user's first turn in a conversation. Only short ones."""
    text = cell
    if cell.startswith("[{"):
        try:
            turns = json.loads(cell)
        except ValueError:
            return ""
        turns_of_user = (
            turn.get("content", turn.get("value", ""))
            for turn in turns
            if turn.get("role", turn.get("from")) in ("user", "human")
        )
        text = str(next(turns_of_user, ""))
    return text.strip() if len(text) <= LONGEST else ""
