"""What a person gives a row: a label, a reply, or a preference between two replies. Registry of `LabelTask` objects.

Each object knows the columns that it reads and writes, the text that a person sees, the value that a row already has,
and the cells of the new version of the dataset.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from studio.data.roles import match
from studio.data.table import Row, Table
from studio.data.values import label_name, text_of
from studio.schema.labeling import CHOICES, Replies, Work
from studio.tasks import TASKS, task_named
from studio.tasks.conversation import messages_of

Columns = Mapping[str, str]
"""Purpose (`text`, `label`, `prompt`, …) → column name. Empty: no such column yet."""
CHOSEN, REJECTED = "chosen", "rejected"
MAX_LABEL, MAX_REPLY = 200, 20_000
"""Characters."""
MIN_ROWS, MIN_LABELS = 8, 2


class LabelTask:
    """Base class. By default one column has the values, and its purpose and its default name are the task's name."""

    name: Work
    title: str
    task: str
    """The training task that learns from the rows."""
    columns: tuple[tuple[str, str, bool], ...]
    """(purpose, title, required) of the columns that a person can choose."""
    texts: tuple[str, ...] = ("text", "second")
    """Purposes of the columns with the text that a person sees."""
    unlabeled: str | None = None
    """The value that a row with an empty output cell stands for."""
    refusal: str
    """The message for a value that is not valid."""
    missing_columns = "The dataset has no column to label."

    def guess(self, table: Table) -> dict[str, str]:
        """Return the columns that the names and the values of a table suggest."""
        raise NotImplementedError

    def text(self, row: Row, columns: Columns) -> str:
        """Return the text that a person sees."""
        parts = [_as_text(row.get(columns[purpose])) for purpose in self.texts if columns.get(purpose)]
        return "\n\n".join(part for part in parts if part)

    def value_columns(self, columns: Columns) -> tuple[str, ...]:
        """Return the columns that `initial` reads. None if rows can't have a value yet."""
        return (columns[self.name],) if columns.get(self.name) else ()

    def initial(self, row: Row, columns: Columns) -> str | None:
        """Return the value that the dataset has for a row."""
        raise NotImplementedError

    def cells(self, row: Row, columns: Columns, value: str) -> dict[str, Any]:
        """Return column → new cell of a row with this value."""
        return {self.output(columns): value}

    def clean(self, value: str) -> str:
        """Return the value as it is saved. Empty if it is not valid."""
        raise NotImplementedError

    def too_few(self, counts: Counter[str], done: int) -> str:
        """Return why the rows are too few to train on. Empty if they are enough."""
        raise NotImplementedError

    def note(self, rows: int, columns: Columns) -> str:
        """Return the note of the new version."""
        raise NotImplementedError

    def roles(self, columns: Columns) -> dict[str, str]:
        """Return column → role of the new version."""
        raise NotImplementedError

    def output(self, columns: Columns) -> str:
        """Return the column that the values are written to."""
        return columns.get(self.name) or self.name

    def outputs(self, columns: Columns) -> dict[str, str]:
        """Return purpose → column of the columns that the new version has and the one before may not have had."""
        return {self.name: self.output(columns)}

    def unavailable_reason(self, columns: Columns) -> str:
        """Return why these columns do not suffice. Empty if they do."""
        missing = any(required and not columns.get(purpose) for purpose, _, required in self.columns)
        return self.missing_columns if missing else ""


class ClassLabels(LabelTask):
    """A label from a small set, for one text or two."""

    name = "label"
    title = "Label texts"
    task = "classification"
    columns = (("text", "Column to read", True), ("label", "Column with the labels", False))
    refusal = "A label must be a short text, up to 200 characters."

    def guess(self, table: Table) -> dict[str, str]:
        """Return the text, a second text, and the column of labels if there are such columns."""
        by_role = _columns_by_role(table, "classification")
        text, label = by_role.get("text") or longest_column(table), by_role.get("label", "")
        columns = {"text": text, "label": label if label != text else ""}
        return columns | ({"second": by_role["second"]} if by_role.get("second", text) != text else {})

    def initial(self, row: Row, columns: Columns) -> str | None:
        """Return the label of a row."""
        return label_name(row.get(columns["label"])) or None

    def clean(self, value: str) -> str:
        """Strip white space. A label has at most 200 characters."""
        return value.strip() if len(value.strip()) <= MAX_LABEL else ""

    def too_few(self, counts: Counter[str], done: int) -> str:
        """Require eight rows, and two labels with two rows each."""
        ready = sum(rows >= 2 for rows in counts.values())
        if ready >= MIN_LABELS and done >= MIN_ROWS:
            return ""
        return (
            f"Training needs at least {MIN_ROWS} labeled rows, and {MIN_LABELS} labels with 2 rows each. So far, "
            f"{done} {'row has' if done == 1 else 'rows have'} a label and {ready} "
            f"{'label has' if ready == 1 else 'labels have'} 2 rows or more."
        )

    def note(self, rows: int, columns: Columns) -> str:
        """Return the number of labeled rows and the column."""
        return f"{_rows(rows)} labeled by hand in the column {self.output(columns)}."

    def roles(self, columns: Columns) -> dict[str, str]:
        """Return the roles text, second and label."""
        roles = {columns["text"]: "text", self.output(columns): "label"}
        return roles | ({columns["second"]: "second"} if columns.get("second") else {})


class WrittenReplies(LabelTask):
    """A reply to a prompt, or the last reply of a conversation."""

    name = "reply"
    title = "Write replies"
    task = "chat"
    columns = (("prompt", "Column to read", True), ("reply", "Column with the replies", False))
    texts = ("prompt", "context")
    refusal = "A reply must be a text, up to 20,000 characters."

    def guess(self, table: Table) -> dict[str, str]:
        """Return the columns that the chat task would read. A column of conversations is both prompt and reply."""
        by_role = _columns_by_role(table, "chat")
        if "messages" in by_role:
            return {"prompt": by_role["messages"], "reply": by_role["messages"]}
        prompt = by_role.get("prompt") or longest_column(table)
        columns = {"prompt": prompt, "reply": by_role.get("reply", "")}
        return columns | ({"context": by_role["context"]} if by_role.get("context", prompt) != prompt else {})

    def text(self, row: Row, columns: Columns) -> str:
        """Return the prompt and its context, or the turns of a conversation before the last reply."""
        if turns := self._turns(row, columns):
            return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in turns[: self._last(turns)])
        return super().text(row, columns)

    def initial(self, row: Row, columns: Columns) -> str | None:
        """Return the reply of a row."""
        if turns := self._turns(row, columns):
            last = self._last(turns)
            return turns[last]["content"] or None if last < len(turns) else None
        return text_of(row.get(columns["reply"]))

    def cells(self, row: Row, columns: Columns, value: str) -> dict[str, Any]:
        """Return the cell of the reply, or the conversation with this last reply."""
        if turns := self._turns(row, columns):
            last = self._last(turns)
            turns[last:] = [{**(turns[last] if last < len(turns) else {"role": "assistant"}), "content": value}]
            return {columns["reply"]: turns}
        return super().cells(row, columns, value)

    def clean(self, value: str) -> str:
        """Strip white space. A reply has at most 20,000 characters."""
        return value.strip() if len(value) <= MAX_REPLY else ""

    def too_few(self, counts: Counter[str], done: int) -> str:
        """Require eight rows with a reply."""
        return "" if done >= MIN_ROWS else _need("a reply", done)

    def note(self, rows: int, columns: Columns) -> str:
        """Return the number of rows with a new reply."""
        return f"{_rows(rows)} with a reply written by hand."

    def roles(self, columns: Columns) -> dict[str, str]:
        """Return the roles prompt and reply, or messages."""
        if columns["prompt"] == columns.get("reply"):
            return {columns["prompt"]: "messages"}
        roles = {columns["prompt"]: "prompt", self.output(columns): "reply"}
        return roles | ({columns["context"]: "context"} if columns.get("context") else {})

    def _turns(self, row: Row, columns: Columns) -> list[dict[str, Any]]:
        """Return a copy of the turns of a conversation. Empty if the column has no conversations."""
        if columns["prompt"] != columns.get("reply"):
            return []
        return [dict(turn) for turn in messages_of(row.get(columns["reply"])) or ()]

    def _last(self, turns: Sequence[Mapping[str, Any]]) -> int:
        """Return the index of the last reply. After a turn of the user it is the number of turns."""
        return len(turns) - (turns[-1]["role"] == "assistant")


class Preferences(LabelTask):
    """The better one of two replies."""

    name = "choice"
    title = "Choose the better reply"
    task = "preference"
    columns = (
        ("prompt", "Column with the prompts", True),
        ("first", "First reply", True),
        ("second", "Second reply", True),
    )
    texts = ("prompt",)
    unlabeled = "both"
    refusal = "Choose which reply is better."
    missing_columns = "This needs two columns with replies, for example answer a and answer b."

    def guess(self, table: Table) -> dict[str, str]:
        """Return the prompt, and two columns whose names differ in their ends, like `answer a` and `answer b`."""
        pair = _reply_columns(table.columns)
        if pair is None:
            return {}
        others = [column for column in table.columns if column not in pair]
        prompt = _columns_by_role(table, "chat").get("prompt", "")
        if prompt not in others:
            prompt = longest_column(table, others) if others else ""
        return {"prompt": prompt, "first": pair[0], "second": pair[1]}

    def replies(self, row: Row, columns: Columns, swapped: bool) -> Replies:
        """Return both replies, left and right."""
        first, second = _as_text(row.get(columns["first"])), _as_text(row.get(columns["second"]))
        left, right = (second, first) if swapped else (first, second)
        return Replies(left=left, right=right, swapped=swapped)

    def value_columns(self, columns: Columns) -> tuple[str, ...]:
        """Return the columns of an earlier version's result, and of both replies."""
        return CHOSEN, REJECTED, columns["first"], columns["second"]

    def initial(self, row: Row, columns: Columns) -> str | None:
        """Return the choice of an earlier version."""
        chosen = row.get(CHOSEN)
        return next((which for which in ("first", "second") if chosen and row.get(columns[which]) == chosen), None)

    def cells(self, row: Row, columns: Columns, value: str) -> dict[str, Any]:
        """Return the better reply as chosen and the other one as rejected. Both are None if neither is better."""
        if value == "both":
            return {CHOSEN: None, REJECTED: None}
        other = "second" if value == "first" else "first"
        return {CHOSEN: row.get(columns[value]), REJECTED: row.get(columns[other])}

    def clean(self, value: str) -> str:
        """Accept first, second and both."""
        return value if value in CHOICES else ""

    def too_few(self, counts: Counter[str], done: int) -> str:
        """Require eight rows with a better reply."""
        ready = counts["first"] + counts["second"]
        return "" if ready >= MIN_ROWS else _need("a better reply", ready)

    def note(self, rows: int, columns: Columns) -> str:
        """Return the number of compared rows and the column."""
        return f"{_rows(rows)} compared by hand. The better reply is in the column {CHOSEN}."

    def roles(self, columns: Columns) -> dict[str, str]:
        """Return the roles prompt, chosen and rejected."""
        return {columns["prompt"]: "prompt", CHOSEN: "chosen", REJECTED: "rejected"}

    def outputs(self, columns: Columns) -> dict[str, str]:
        """Return nothing: the columns that are read stay the same."""
        return {}


LABELS, REPLIES, PREFERENCES = ClassLabels(), WrittenReplies(), Preferences()
LABEL_TASKS: dict[str, LabelTask] = {each.name: each for each in (LABELS, REPLIES, PREFERENCES)}


def label_task_for(task: str) -> LabelTask:
    """Return what rows are given for a training task."""
    return LABEL_TASKS.get(TASKS[task].labeling if task in TASKS else "", LABELS)


def written_by_hand(task: str) -> list[str]:
    """Return the roles of a training task that need no column, because a person can write the values."""
    label_task = LABEL_TASKS.get(TASKS[task].labeling) if task in TASKS else None
    return list(label_task.outputs({})) if label_task else []


def longest_column(table: Table, among: Sequence[str] = ()) -> str:
    """Return the column with the most text."""
    rows = table.sample()
    return max(among or table.columns, key=lambda column: sum(len(str(row.get(column) or "")) for row in rows))


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


def _columns_by_role(table: Table, task: str) -> dict[str, str]:
    return {role: column for column, role in match(table, task_named(task), {}, partial=True).roles.items()}


_ENDS = (("a", "b"), ("1", "2"), ("left", "right"), ("first", "second"), ("base", "tuned"), ("chosen", "rejected"))


def _reply_columns(columns: Sequence[str]) -> tuple[str, str] | None:
    """Return two columns whose names differ in their ends only, like `answer a` and `answer b`."""
    by_name = {re.sub(r"[\W_]+", " ", column).strip().lower(): column for column in columns}
    for one, other in _ENDS:
        for name, column in by_name.items():
            if re.search(rf"(^|\b| ){one}$", name) or (one == "1" and re.search(r"[a-z]1$", name)):
                twin = name.removesuffix(one) + other
                if twin in by_name:
                    return column, by_name[twin]
    return None


def _rows(count: int) -> str:
    return f"{count:,} {'row' if count == 1 else 'rows'}"


def _need(value: str, done: int) -> str:
    have = f"{_rows(done)} {'has' if done == 1 else 'have'} one"
    return f"Training needs at least {MIN_ROWS} rows with {value}. So far, {have}."
