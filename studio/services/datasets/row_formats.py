"""Rows of a dataset in the formats of other tools: OpenAI, ShareGPT, and columns for the trainers of TRL.

Only rows that can be trained on are written, with cleaned values.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studio.schema.errors import StudioError
from studio.tasks import Row, Task
from studio.tasks.chat import Chat
from studio.tasks.classification import label_role
from studio.tasks.conversation import CALLS, TOOLS
from studio.tasks.feedback import Feedback
from studio.tasks.preference import Preference

Turns = Sequence[Mapping[str, Any]]
SPEAKERS = {"user": "human", "assistant": "gpt", "system": "system", "tool": "observation"}
"""Role → name of the speaker in ShareGPT's format."""


@dataclass(frozen=True)
class RowFormat:
    """A format of other tools."""

    name: str
    title: str
    sentence: str
    convert: Callable[[Task, Row, Mapping[str, str]], dict[str, Any]]
    """The row as one object, from its task, its cells and its roles."""
    tasks: tuple[str, ...]
    """Tasks whose rows it can hold."""
    suffix: str = ".jsonl"

    def require_task(self, task: Task) -> None:
        """Raise `StudioError` if the format can't hold rows of this task."""
        if task.name not in self.tasks:
            raise StudioError(
                "bad-setting",
                f"The format {self.title} can't hold rows of this task.",
                given=task.name,
                valid=f"one of these tasks: {', '.join(self.tasks)}",
                hint="Choose parquet, hub, jsonl or csv.",
                field="format",
            )


def conversation(task: Task, row: Row, roles: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a row as messages. Rows without messages become a prompt and a reply. The first message can have tools."""
    if isinstance(task, Chat):
        return task.turns(row, roles)
    prompt, reply = task.text_of(row, roles), task.expected(row, roles)
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": reply}]


def openai_row(task: Task, row: Row, roles: Mapping[str, str]) -> dict[str, Any]:
    """Return a row as OpenAI's API for fine-tuning takes it: messages, or the input with both outputs of a pair."""
    if isinstance(task, Preference):
        values = task.values(row, roles)
        before = _openai_messages(_before_reply(task, row, roles))
        outputs = {
            key: [{"role": "assistant", "content": values[role]}]
            for key, role in (("preferred_output", "chosen"), ("non_preferred_output", "rejected"))
        }
        return {"input": {"messages": before}, **outputs}
    turns = conversation(task, row, roles)
    tools = turns[0].get(TOOLS)
    return {"messages": _openai_messages(turns), **({TOOLS: tools} if tools else {})}


def sharegpt_row(task: Task, row: Row, roles: Mapping[str, str]) -> dict[str, Any]:
    """Return a row in ShareGPT's format, as LLaMA-Factory and Axolotl read it."""
    if isinstance(task, Preference):
        values = task.values(row, roles)
        replies = {name: {"from": "gpt", "value": values[name]} for name in ("chosen", "rejected")}
        return {**_sharegpt(_before_reply(task, row, roles)), **replies}
    converted = _sharegpt(conversation(task, row, roles))
    return {**converted, "kto_tag": task.liked(row, roles)} if isinstance(task, Feedback) else converted


def column_row(task: Task, row: Row, roles: Mapping[str, str]) -> dict[str, Any]:
    """Return a row with the column names and types that TRL and transformers use."""
    if isinstance(task, Preference):
        values, before = task.values(row, roles), _openai_messages(_before_reply(task, row, roles))
        replies = {name: [{"role": "assistant", "content": values[name]}] for name in ("chosen", "rejected")}
        return {"prompt": before, **replies}
    if isinstance(task, Chat):
        turns = task.turns(row, roles)
        columns: dict[str, Any] = {"messages": _openai_messages(turns)}
        if TOOLS in roles.values():
            columns[TOOLS] = json.dumps(turns[0].get(TOOLS) or [], ensure_ascii=False)
        if isinstance(task, Feedback):
            columns["kto_tag"] = task.liked(row, roles)
        return columns
    values = task.values(row, roles)
    if task.has_labels:
        role = label_role(roles)
        texts: dict[str, Any] = {name: values[name] for name in ("text", "second") if name in values}
        return {**texts, role: values[role]}
    if "answer" in values:
        answers = values.pop("answer")
        values["answers"] = {"text": answers["texts"], "answer_start": answers["starts"]}
    return dict(values)


OPENAI = RowFormat(
    "openai",
    "OpenAI JSONL",
    "Messages, or preference pairs, as the fine-tuning API of OpenAI takes them.",
    openai_row,
    ("chat", "preference", "classification", "summarization", "question-answering"),
)
SHAREGPT = RowFormat(
    "sharegpt",
    "ShareGPT",
    "Conversations as LLaMA-Factory, Axolotl and Unsloth read them.",
    sharegpt_row,
    ("chat", "preference", "feedback", "classification", "summarization", "question-answering"),
)
ALL_TASKS = ("chat", "completion", "classification", "question-answering", "summarization", "preference", "feedback")
PARQUET = RowFormat(
    "parquet",
    "Parquet",
    "One file with a column for each role, for datasets, pandas and TRL.",
    column_row,
    ALL_TASKS,
    ".parquet",
)
HUB = RowFormat(
    "hub",
    "Hub dataset",
    "A folder with a Parquet file for each split and a card, to push to the Hub.",
    column_row,
    ALL_TASKS,
    "",
)
ROW_FORMATS = {each.name: each for each in (OPENAI, SHAREGPT, PARQUET, HUB)}
"""Formats of other tools, by name."""


def _before_reply(task: Preference, row: Row, roles: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the messages before the two replies of a pair."""
    return task.turns(row, roles)[:-1]


def _openai_messages(turns: Turns) -> list[dict[str, Any]]:
    """Return messages in OpenAI's format: without tools, with the arguments of calls as JSON text."""
    messages = []
    for turn in turns:
        message = {key: value for key, value in turn.items() if key != TOOLS}
        if turn.get(CALLS):
            message[CALLS] = [
                {
                    "id": call.get("id", f"call_{number}"),
                    "type": "function",
                    "function": {
                        "name": call["function"]["name"],
                        "arguments": json.dumps(call["function"]["arguments"], ensure_ascii=False),
                    },
                }
                for number, call in enumerate(turn[CALLS])
            ]
        messages.append(message)
    return messages


def _sharegpt(turns: Turns) -> dict[str, Any]:
    """Return messages in ShareGPT's format. The system prompt and the tools are columns of their own."""
    system = turns[0]["content"] if turns and turns[0]["role"] == "system" else ""
    tools = turns[0].get(TOOLS) if turns else None
    conversation = []
    for turn in turns[1 if system else 0 :]:
        if turn["content"] or not turn.get(CALLS):
            conversation.append({"from": SPEAKERS[turn["role"]], "value": turn["content"]})
        for call in turn.get(CALLS) or ():
            conversation.append({"from": "function_call", "value": json.dumps(call["function"], ensure_ascii=False)})
    columns: dict[str, Any] = {"conversations": conversation}
    if system:
        columns["system"] = system
    if tools:
        columns[TOOLS] = json.dumps(tools, ensure_ascii=False)
    return columns
