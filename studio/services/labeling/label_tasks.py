"""What a person gives a row: a label, a reply, or a preference between two replies. Registry of `LabelTask` objects.

Each object knows the columns that it reads and writes, the text that a person sees, the value that a row already has,
and the cells of the new version of the dataset.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studio.data.columns import longest_column, twin_columns
from studio.data.roles import match
from studio.data.table import Row, Table
from studio.data.values import full_text, label_name, text_of
from studio.schema.labeling import CHOICES, Work
from studio.schema.numbers import rows as rows_words
from studio.tasks import TASKS, task_named
from studio.tasks.conversation import messages_of, split_last_reply

Columns = Mapping[str, str]
"""Purpose (`text`, `label`, `prompt`, …) → column name. Empty: no such column yet."""
MAX_LABEL, MAX_REPLY = 200, 20_000
"""Characters."""
MIN_ROWS = 8
"""Rows with a value before training."""


@dataclass(frozen=True, eq=False)
class LabelTask:
    """One kind of value that a person gives a row."""

    name: Work
    title: str
    task: str
    """The training task that learns from the rows."""
    columns: dict[str, str]
    """Purpose → title of the columns that a person can choose. All are required but those of `writes`."""
    texts: tuple[str, ...]
    """Purposes of the columns with the text that a person sees."""
    writes: tuple[str, ...]
    """Roles of the columns that the values are written to. A new column has the name of its role."""
    refusal: str
    """The message for a value that is not valid."""
    note: str
    """The note of the new version, with the placeholder {rows} and the roles of `writes`."""
    guess: Callable[[Table], dict[str, str]]
    """Return the columns that the names and the values of a table suggest."""
    initial: Callable[[Row, Columns], str | None]
    """Return the value that the dataset has for a row."""
    cells: Callable[[Row, Columns, str], dict[str, Any]]
    """Return column → new cell of a row with this value."""
    value: str
    """What a row is given, as a noun with its article."""
    reads: tuple[str, ...] = ()
    """Purposes of the columns that `initial` reads besides those of `writes`."""
    min_values: int = 0
    """How many different values need two rows each before training."""
    max_length: int = MAX_LABEL
    """Characters of a value."""
    choices: tuple[str, ...] = ()
    """All values, if there are only these."""
    unlabeled: str | None = None
    """The value that a row with an empty output cell stands for."""
    missing_columns: str = "The dataset has no column to label."

    def text(self, row: Row, columns: Columns) -> str:
        """Return the text that a person sees. Of a conversation, it is the turns before the last reply."""
        before, reply = _conversation(row, columns)
        if before or reply:
            return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in before)
        parts = [full_text(row.get(columns[purpose])) for purpose in self.texts if columns.get(purpose)]
        return "\n\n".join(part for part in parts if part)

    def clean(self, value: str) -> str:
        """Return the value as it is saved. Empty if it is not valid."""
        value = value.strip()
        is_valid = value in self.choices if self.choices else len(value) <= self.max_length
        return value if is_valid else ""

    def too_few(self, counts: Counter[str]) -> str:
        """Return why the rows with each value are too few to train on. Empty if they are enough."""
        done = counts.total() - counts[self.unlabeled or ""]
        needed = f"{MIN_ROWS} rows with {self.value}"
        so_far = f"{rows_words(done)} {'has' if done == 1 else 'have'} {self.value}"
        ready = sum(rows >= 2 for rows in counts.values())
        if done >= MIN_ROWS and ready >= self.min_values:
            return ""
        if self.min_values:
            needed += f", and {self.min_values} {self.name}s with 2 rows each"
            so_far += f", and {ready} {self.name}{' has' if ready == 1 else 's have'} 2 rows or more"
        return f"Training needs at least {needed}. So far, {so_far}."

    def outputs(self, columns: Columns) -> dict[str, str]:
        """Return role → column of the columns that the values are written to."""
        return {role: columns.get(role) or role for role in self.writes}

    def roles(self, columns: Columns) -> dict[str, str]:
        """Return column → role of the new version."""
        if _is_conversation(columns):
            return {columns["prompt"]: "messages"}
        read = {purpose: columns[purpose] for purpose in self.texts if columns.get(purpose)}
        return {column: role for role, column in (read | self.outputs(columns)).items()}

    def unavailable_reason(self, columns: Columns) -> str:
        """Return why these columns do not suffice. Empty if they do."""
        missing = any(purpose not in self.writes and not columns.get(purpose) for purpose in self.columns)
        return self.missing_columns if missing else ""


def label_task_for(task: str) -> LabelTask:
    """Return what rows are given for a training task."""
    return LABEL_TASKS.get(TASKS[task].labeling if task in TASKS else "", LABELS)


def written_by_hand(task: str) -> list[str]:
    """Return the roles of a training task that need no column, because a person can write the values."""
    label_task = LABEL_TASKS.get(TASKS[task].labeling) if task in TASKS else None
    return [role for role in label_task.writes if role in label_task.columns] if label_task else []


def _columns_by_role(table: Table, task: str) -> dict[str, str]:
    return {role: column for column, role in match(table, task_named(task), {}, partial=True).roles.items()}


# --- labels and replies: one column has the values. A conversation is the column of both the prompt and the reply. ---


def _guess_column(table: Table, task: str, text: str, second: str, value: str) -> dict[str, str]:
    """Return the columns that the training task would read for these roles."""
    by_role = _columns_by_role(table, task)
    if "messages" in by_role:
        return {text: by_role["messages"], value: by_role["messages"]}
    columns = {text: by_role.get(text) or longest_column(table, table.columns), value: by_role.get(value, "")}
    if columns[value] == columns[text]:
        columns[value] = ""
    return columns | ({second: by_role[second]} if by_role.get(second, columns[text]) != columns[text] else {})


def _reply(row: Row, columns: Columns) -> str | None:
    before, reply = _conversation(row, columns)
    if before or reply:
        return reply.get("content") or None
    return text_of(row.get(columns["reply"]))


def _cells(row: Row, columns: Columns, role: str, value: str) -> dict[str, Any]:
    """Return the cell with the value, or the conversation with this last reply."""
    before, reply = _conversation(row, columns)
    if before or reply:
        return {columns[role]: [*before, {"role": "assistant", **reply, "content": value}]}
    return {columns.get(role) or role: value}


def _is_conversation(columns: Columns) -> bool:
    return bool(columns.get("reply")) and columns["reply"] == columns.get("prompt")


def _conversation(row: Row, columns: Columns) -> tuple[Sequence[dict[str, Any]], dict[str, Any]]:
    """Return the turns before the last reply, and the last reply. Both are empty without a conversation."""
    turns = messages_of(row.get(columns["reply"])) if _is_conversation(columns) else None
    return split_last_reply(turns or ())


# --- preferences: the better one of two replies ---


def _guess_replies(table: Table) -> dict[str, str]:
    """Return the prompt, and two columns whose names differ in their ends only, like `answer a` and `answer b`."""
    twins = twin_columns(table.columns)
    if twins is None:
        return {}
    others = [column for column in table.columns if column not in twins]
    prompt = _columns_by_role(table, "chat").get("prompt", "")
    prompt = prompt if prompt in others else longest_column(table, others)
    return {"prompt": prompt, "first": twins[0], "second": twins[1]}


def _choice(row: Row, columns: Columns) -> str | None:
    """Return the choice of an earlier version."""
    chosen = row.get("chosen")
    return next((which for which in ("first", "second") if chosen and row.get(columns[which]) == chosen), None)


def _choice_cells(row: Row, columns: Columns, choice: str) -> dict[str, Any]:
    """Return the better reply as chosen and the other one as rejected. Both are None if neither is better."""
    if choice == "both":
        return {"chosen": None, "rejected": None}
    other = "second" if choice == "first" else "first"
    return {"chosen": row.get(columns[choice]), "rejected": row.get(columns[other])}


LABELS = LabelTask(
    name="label",
    title="Label texts",
    task="classification",
    columns={"text": "Column to read", "label": "Column with the labels"},
    texts=("text", "second"),
    writes=("label",),
    refusal="A label must be a short text, up to 200 characters.",
    note="{rows} labeled by hand in the column {label}.",
    guess=lambda table: _guess_column(table, "classification", "text", "second", "label"),
    initial=lambda row, columns: label_name(row.get(columns["label"])) or None,
    cells=lambda row, columns, label: _cells(row, columns, "label", label),
    value="a label",
    min_values=2,
)
REPLIES = LabelTask(
    name="reply",
    title="Write replies",
    task="chat",
    columns={"prompt": "Column to read", "reply": "Column with the replies"},
    texts=("prompt", "context"),
    writes=("reply",),
    refusal="A reply must be a text, up to 20,000 characters.",
    note="{rows} with a reply written by hand.",
    guess=lambda table: _guess_column(table, "chat", "prompt", "context", "reply"),
    initial=_reply,
    cells=lambda row, columns, reply: _cells(row, columns, "reply", reply),
    value="a reply",
    max_length=MAX_REPLY,
)
PREFERENCES = LabelTask(
    name="choice",
    title="Choose the better reply",
    task="preference",
    columns={"prompt": "Column with the prompts", "first": "First reply", "second": "Second reply"},
    texts=("prompt",),
    writes=("chosen", "rejected"),
    reads=("first", "second"),
    refusal="Choose which reply is better.",
    note="{rows} compared by hand. The better reply is in the column {chosen}.",
    guess=_guess_replies,
    initial=_choice,
    cells=_choice_cells,
    value="a better reply",
    choices=CHOICES,
    unlabeled="both",
    missing_columns="This needs two columns with replies, for example answer a and answer b.",
)
LABEL_TASKS: dict[str, LabelTask] = {each.name: each for each in (LABELS, REPLIES, PREFERENCES)}
