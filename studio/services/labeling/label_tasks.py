"""What can be given to a row: a label, a reply, or which of two replies is better. One class each, and a registry.

Each says which columns it reads and writes, what a person is shown of a row, what a row came with, and what is written
into the cells of a new version.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from studio.data.roles import match
from studio.data.table import Row, Table
from studio.data.values import label_name, text_of
from studio.schema.labeling import CHOICES, Replies, Work
from studio.tasks import TASKS, task_named
from studio.tasks.conversation import messages_of

Columns = Mapping[str, str]
"""What the work reads and writes → column."""
NEW_LABEL, NEW_REPLY, CHOSEN, REJECTED = "label", "reply", "chosen", "rejected"
LONGEST_LABEL, LONGEST_REPLY = 200, 20_000
LEAST_ROWS, LEAST_LABELS = 8, 2


class WorkKind(Protocol):
    """One kind of work."""

    name: Work
    title: str
    task: str
    """The task that its rows are for."""
    empty: str | None
    """What is said of a row whose cells stay empty."""
    columns: tuple[tuple[str, str, bool], ...]
    """(what, its name for people, needed) of the columns that a person can choose."""

    def guess(self, table: Table) -> dict[str, str]:
        """Which columns it would read and write."""
        ...

    def text(self, row: Row, columns: Columns) -> str:
        """What a person is shown."""
        ...

    def brought(self, row: Row, columns: Columns) -> str | None:
        """What the row came with."""
        ...

    def cells(self, row: Row, columns: Columns, value: str) -> dict[str, Any]:
        """Column → value of a row that was given something."""
        ...

    def checked(self, value: str) -> str:
        """What was given, cleaned; empty when it can't be."""
        ...

    def too_few(self, counts: Counter[str], done: int) -> str:
        """Why that can't be trained on yet."""
        ...

    def note(self, rows: int, columns: Columns) -> str:
        """The sentence of the new version."""
        ...

    def roles(self, columns: Columns) -> dict[str, str]:
        """Column → role in the new version."""
        ...

    def written(self, columns: Columns) -> dict[str, str]:
        """What the new version holds that the one before may not have had → its column."""
        ...


class Labels:
    """A label from a small set."""

    name: Work = "label"
    title = "Label texts"
    task = "classification"
    empty: str | None = None
    columns: tuple[tuple[str, str, bool], ...] = (
        ("text", "Column to read", True),
        ("label", "Column of the labels", False),
    )

    def guess(self, table: Table) -> dict[str, str]:
        """The text, one that is read beside it, and the column of labels if the file brought one."""
        by_role = _by_role(table, "classification")
        text = by_role.get("text") or longest_column(table)
        label = by_role.get("label", "")
        found = {"text": text, "label": label if label != text else ""}
        return found | ({"second": by_role["second"]} if by_role.get("second", text) != text else {})

    def text(self, row: Row, columns: Columns) -> str:
        """The text as it is, and below it the second."""
        parts = [_words(row.get(columns[what])) for what in ("text", "second") if columns.get(what)]
        return "\n\n".join(part for part in parts if part)

    def brought(self, row: Row, columns: Columns) -> str | None:
        """The label that came with the row."""
        return label_name(row.get(columns["label"])) or None if columns.get("label") else None

    def cells(self, row: Row, columns: Columns, value: str) -> dict[str, Any]:
        """The label's cell."""
        return {columns.get("label") or NEW_LABEL: value}

    def checked(self, value: str) -> str:
        """A short text without space around it."""
        value = value.strip()
        return value if len(value) <= LONGEST_LABEL else ""

    def too_few(self, counts: Counter[str], done: int) -> str:
        """At least eight rows, and two labels with two rows each."""
        ready = [label for label, rows in counts.items() if rows >= 2]
        if len(ready) >= LEAST_LABELS and done >= LEAST_ROWS:
            return ""
        return (
            f"To train, at least {LEAST_ROWS} rows and {LEAST_LABELS} labels with 2 rows each are needed; so far "
            f"{done} {'row has' if done == 1 else 'rows have'} a label and {len(ready)} "
            f"{'label has' if len(ready) == 1 else 'labels have'} 2 rows or more."
        )

    def note(self, rows: int, columns: Columns) -> str:
        """What was labelled."""
        return f"{_rows(rows)} labelled by hand in the column {columns.get('label') or NEW_LABEL}."

    def roles(self, columns: Columns) -> dict[str, str]:
        """Text, second text and label."""
        found = {columns["text"]: "text", columns.get("label") or NEW_LABEL: "label"}
        return found | ({columns["second"]: "second"} if columns.get("second") else {})

    def written(self, columns: Columns) -> dict[str, str]:
        """The column of the labels."""
        return {"label": columns.get("label") or NEW_LABEL}


class WrittenReplies:
    """A reply that is written, or repaired."""

    name: Work = "reply"
    title = "Write replies"
    task = "chat"
    empty: str | None = None
    columns: tuple[tuple[str, str, bool], ...] = (
        ("prompt", "Column to read", True),
        ("reply", "Column of the replies", False),
    )

    def guess(self, table: Table) -> dict[str, str]:
        """As chat would read the columns; whole conversations have their last reply repaired."""
        by_role = _by_role(table, "chat")
        if "messages" in by_role:
            return {"prompt": by_role["messages"], "reply": by_role["messages"]}
        prompt = by_role.get("prompt") or longest_column(table)
        found = {"prompt": prompt, "reply": by_role.get("reply", "")}
        return found | ({"context": by_role["context"]} if by_role.get("context", prompt) != prompt else {})

    def text(self, row: Row, columns: Columns) -> str:
        """The prompt and its context; of a conversation all turns before the last reply."""
        if turns := self._turns(row, columns):
            return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in turns[: self._last(turns)])
        parts = [_words(row.get(columns[what])) for what in ("prompt", "context") if columns.get(what)]
        return "\n\n".join(part for part in parts if part)

    def brought(self, row: Row, columns: Columns) -> str | None:
        """The reply that came with the row."""
        if turns := self._turns(row, columns):
            last = self._last(turns)
            return turns[last]["content"] or None if last < len(turns) else None
        return text_of(row.get(columns["reply"])) if columns.get("reply") else None

    def cells(self, row: Row, columns: Columns, value: str) -> dict[str, Any]:
        """The reply's cell, or the conversation with it."""
        if turns := self._turns(row, columns):
            last = self._last(turns)
            turns[last:last] = [] if last < len(turns) else [{"role": "assistant", "content": value}]
            turns[last]["content"] = value
            return {columns["reply"]: turns}
        return {columns.get("reply") or NEW_REPLY: value}

    def checked(self, value: str) -> str:
        """A text, not without end."""
        return value.strip() if len(value) <= LONGEST_REPLY else ""

    def too_few(self, counts: Counter[str], done: int) -> str:
        """At least eight rows with a reply."""
        if done >= LEAST_ROWS:
            return ""
        return f"To train, at least {LEAST_ROWS} rows with a reply are needed; so far {_have(done)} one."

    def note(self, rows: int, columns: Columns) -> str:
        """What was written."""
        return f"{_rows(rows)} given a reply by hand."

    def roles(self, columns: Columns) -> dict[str, str]:
        """Prompt and reply, or the conversation."""
        if columns["prompt"] == columns.get("reply"):
            return {columns["prompt"]: "messages"}
        found = {columns["prompt"]: "prompt", columns.get("reply") or NEW_REPLY: "reply"}
        return found | ({columns["context"]: "context"} if columns.get("context") else {})

    def written(self, columns: Columns) -> dict[str, str]:
        """The column of the replies."""
        return {"reply": columns.get("reply") or NEW_REPLY}

    def _turns(self, row: Row, columns: Columns) -> list[dict[str, Any]]:
        """A copy of the turns of a conversation; none where the columns hold no conversations."""
        if columns["prompt"] != columns.get("reply"):
            return []
        return [dict(turn) for turn in messages_of(row.get(columns["reply"])) or ()]

    def _last(self, turns: Sequence[Mapping[str, Any]]) -> int:
        """Where the last reply stands, or would stand."""
        places = [place for place, turn in enumerate(turns) if turn["role"] == "assistant"]
        return places[-1] if places and places[-1] == len(turns) - 1 else len(turns)


class BetterReplies:
    """Which of two replies is better."""

    name: Work = "choice"
    title = "Choose the better reply"
    task = "preference"
    empty: str | None = "both"
    columns: tuple[tuple[str, str, bool], ...] = (
        ("prompt", "Column of the prompts", True),
        ("first", "One reply", True),
        ("second", "The other", True),
    )

    def guess(self, table: Table) -> dict[str, str]:
        """Two columns whose names differ in a last letter or number (`answer a`, `answer b`), and the prompt."""
        pair = _pair(table.columns)
        if pair is None:
            return {}
        rest = [column for column in table.columns if column not in pair]
        by_role = _by_role(table, "chat")
        prompt = by_role.get("prompt", "")
        if prompt not in rest:
            prompt = longest_column(table, rest) if rest else ""
        return {"prompt": prompt, "first": pair[0], "second": pair[1]}

    def text(self, row: Row, columns: Columns) -> str:
        """The prompt."""
        return _words(row.get(columns.get("prompt", "")))

    def replies(self, row: Row, columns: Columns, swapped: bool) -> Replies:
        """Both replies, left and right."""
        pair = [_words(row.get(columns[what])) for what in ("first", "second")]
        left, right = reversed(pair) if swapped else pair
        return Replies(left=left, right=right, swapped=swapped)

    def brought(self, row: Row, columns: Columns) -> str | None:
        """What was chosen in an earlier version."""
        chosen = row.get(CHOSEN)
        if not chosen or REJECTED not in row:
            return None
        return next((what for what in ("first", "second") if row.get(columns[what]) == chosen), None)

    def cells(self, row: Row, columns: Columns, value: str) -> dict[str, Any]:
        """The better reply as chosen, the other as rejected; neither when both are as good."""
        if value == "both":
            return {CHOSEN: None, REJECTED: None}
        better, other = ("first", "second") if value == "first" else ("second", "first")
        return {CHOSEN: row.get(columns[better]), REJECTED: row.get(columns[other])}

    def checked(self, value: str) -> str:
        """One of the three that can be said."""
        return value if value in CHOICES else ""

    def too_few(self, counts: Counter[str], done: int) -> str:
        """At least eight rows with a better reply."""
        ready = counts["first"] + counts["second"]
        if ready >= LEAST_ROWS:
            return ""
        return f"To train, at least {LEAST_ROWS} rows with a better reply are needed; so far {_have(ready)} one."

    def note(self, rows: int, columns: Columns) -> str:
        """What was chosen."""
        return f"{_rows(rows)} compared by hand: the better reply is in the column {CHOSEN}."

    def roles(self, columns: Columns) -> dict[str, str]:
        """Prompt, chosen and rejected, once there is a task that reads them."""
        return {columns["prompt"]: "prompt", CHOSEN: "chosen", REJECTED: "rejected"}

    def written(self, columns: Columns) -> dict[str, str]:
        """Nothing that is read again here: the two replies stay where they are."""
        return {}


LABELS, REPLIES, BETTER = Labels(), WrittenReplies(), BetterReplies()
WORKS: dict[str, WorkKind] = {work.name: work for work in (LABELS, REPLIES, BETTER)}


def unavailable_reason(work: WorkKind, columns: Columns) -> str:
    """Why it can't be done with these columns; empty when it can."""
    lacking = [words for what, words, needed in work.columns if needed and not columns.get(what)]
    if not lacking:
        return ""
    if work is BETTER:
        return "It needs two columns with a reply each, answer a and answer b say."
    return "There is no column to read."


def work_for(task: str) -> str:
    """The kind of work whose rows are for a task."""
    known = TASKS.get(task)
    return known.labeling if known is not None and known.labeling in WORKS else LABELS.name


def written_by_hand(task: str) -> list[str]:
    """Roles of a task that no column needs to have, since a person can write them in."""
    known = TASKS.get(task)
    return list(WORKS[known.labeling].written({})) if known is not None and known.labeling in WORKS else []


def trained_as(work: WorkKind) -> str | None:
    """The task that can learn from the rows, when the studio has it."""
    return work.task if work.task in TASKS else None


def longest_column(table: Table, among: Sequence[str] = ()) -> str:
    """The column with the most text."""
    rows = table.sample()
    return max(among or table.columns, key=lambda column: sum(len(str(row.get(column) or "")) for row in rows))


def _words(value: Any) -> str:
    """A cell as a person reads it."""
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


def _by_role(table: Table, task: str) -> dict[str, str]:
    return {role: column for column, role in match(table, task_named(task), {}, partial=True).roles.items()}


_ENDS = (("a", "b"), ("1", "2"), ("left", "right"), ("first", "second"), ("base", "tuned"), ("chosen", "rejected"))


def _pair(columns: Sequence[str]) -> tuple[str, str] | None:
    """Two columns that hold a reply each, by their names."""
    by_name = {re.sub(r"[\W_]+", " ", column).strip().lower(): column for column in columns}
    for one, other in _ENDS:
        for name, column in by_name.items():
            if re.search(rf"(^|\b| ){one}$", name) or re.search(rf"[a-z]{one}$" if one == "1" else r"$^", name):
                twin = name[: len(name) - len(one)] + other
                if twin in by_name and twin != name:
                    return column, by_name[twin]
    return None


def _rows(count: int) -> str:
    return f"{count:,} {'row' if count == 1 else 'rows'}"


def _have(count: int) -> str:
    return f"{count:,} {'row has' if count == 1 else 'rows have'}"
