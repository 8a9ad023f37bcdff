"""Rows of a run as a plain script reads them: cleaned values in JSON Lines files, with the splits of the run."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from studio.inference.base_and_tuned import encoding_of
from studio.inference.load import load_tokenizer
from studio.inference.rows import read_rows
from studio.schema.errors import StudioError
from studio.schema.host import RowsRef, RunRef
from studio.tasks import Encoding, Task, task_named
from studio.tasks.chat import Chat
from studio.tasks.classification import label_role
from studio.tasks.conversation import TOOLS, UNTRAINED, train_last_reply_only, without_reasoning
from studio.tasks.rendering import standalone_template, template_messages
from studio.tasks.text_to_text import split_pair

Encoded = list[tuple[list[int], Any]]
"""The examples of a row: token ids, and the label of each token or of the row."""
SPLITS = ("train", "validation", "test")


class ScriptRows:
    """The rows of a run, as files for a script."""

    def __init__(self, run: RunRef, splits: Mapping[str, RowsRef]) -> None:
        self.run, self.splits = run, splits
        self.task: Task = task_named(run.spec.config.task)
        self.encoding: Encoding = encoding_of(
            run.info, load_tokenizer(run.info, run.trusted), run.spec.data, run.spec.config
        )
        self.template = ""
        """The chat template that the rows are formatted with. Empty for tasks without one."""
        if run.spec.config.task == Chat.name:
            self.template = standalone_template(self.encoding.tokenizer, self.encoding.training_template)

    @property
    def marks_second_text(self) -> bool:
        """Whether the tokens of a pair of texts have different types."""
        return bool(self.task.types_of([self.encoding.tokenizer.sep_token_id or 0], self.encoding))

    def write(self, folder: Path) -> None:
        """Write a file for each split into a folder, also for an empty one."""
        folder.mkdir()
        for split in SPLITS:
            with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as file:
                for row in self.rows(split):
                    file.write(json.dumps(self.plain_row(row), ensure_ascii=False) + "\n")

    def rows(self, split: str) -> Iterable[Mapping[str, Any]]:
        """Return the rows of a split in the order of the file."""
        return [row for _, row in read_rows(self.splits[split])] if split in self.splits else []

    def plain_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return a row as the script reads it. Raise `StudioError` for a row that the chat template refuses."""
        make = {"chat": self._chat_row, "completion": self._text_row}.get(self.task.name, self._label_row)
        return make(row)

    def encoded(self, row: Mapping[str, Any]) -> Encoded:
        """Return the examples of a row as the run was trained on them."""
        return [(each.input_ids, each.labels) for each in self.task.examples(row, self.encoding) if each.has_targets]

    def _chat_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        config, task = self.run.spec.config, self.task
        assert isinstance(task, Chat)
        turns: Sequence[Mapping[str, Any]] = task.turns(row, self.encoding.roles, config.system_prompt)
        if config.thinking == "drop":
            turns = without_reasoning([dict(turn) for turn in turns])
        if config.learn_replies == "last":
            turns = train_last_reply_only([dict(turn) for turn in turns])
        messages, tools = template_messages(turns, self.template)
        if len(messages) == len(turns):
            messages = [
                {**message, UNTRAINED: turn[UNTRAINED]} if UNTRAINED in turn else message
                for message, turn in zip(messages, turns, strict=True)
            ]
        return {"messages": messages, **({TOOLS: tools} if tools else {})}

    def _text_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {"text": self.task.text_of(row, self.encoding.roles)}

    def _label_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        roles = self.encoding.roles
        values, role = self.task.values(row, roles), label_role(roles)
        text = self.task.text_in(values)
        texts = {"text": text}
        if self.encoding.kind == "encoder" and "second" in roles.values():
            first, second = split_pair(text)
            texts = {"text": first, "second": second}
        return {**texts, role: values[role]}


def check_encoding(rows: ScriptRows, encode: Any, script_rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> int:
    """Compare the script's `encode` with the run's own encoding, for all rows. Return the number of rows.

    Raises:
        StudioError: `format-unavailable` if a row has other tokens or labels.
    """
    count = 0
    for split in ("train", "validation"):
        for row, plain in zip(rows.rows(split), script_rows[split], strict=True):
            expected = [(list(ids), _as_list(labels)) for ids, labels in rows.encoded(row)]
            actual = [(list(ids), _as_list(labels)) for ids, labels in encode(plain) if _has_targets(labels)]
            count += 1
            if actual != expected:
                raise StudioError(
                    "format-unavailable",
                    "A plain script would give this model other tokens than the run. Its chat template marks the "
                    "replies in a way that the script can't repeat.",
                    given=f"row {count:,} of the training and validation rows",
                    hint="Export the rows with studio data export, and the model as an adapter.",
                    field="format",
                )
    return count


def _has_targets(labels: Any) -> bool:
    return (
        not isinstance(labels, list)
        or not labels
        or isinstance(labels[0], float)
        or any(label != -100 for label in labels[1:])
    )


def _as_list(labels: Any) -> Any:
    return list(labels) if isinstance(labels, list | tuple) else labels
