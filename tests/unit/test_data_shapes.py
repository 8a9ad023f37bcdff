"""The shapes that people really bring, as small files: each goes in with no mapping by hand, its task recognised."""

import json
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio

SUM = "Add up what {n} lamps cost when one is {n} euros and the post is free."
SAYS = "That makes {n} times {n}, so it is a sum that anybody can work out at home."


def alpaca() -> list[dict[str, str]]:
    return [
        {"instruction": SUM.format(n=n), "input": "" if n % 3 else f"A lamp {n}", "output": SAYS.format(n=n)}
        for n in range(24)
    ]


def identity() -> list[dict[str, str]]:
    asked = ["hi", "hello", "Who are you?", "What is your name?", "Who made you?", "Are you a person?"]
    return [
        {
            "instruction": f"{asked[n % 6]}{' ' * (n > 5)}{'again' * (n > 5)} {n}".strip(),
            "input": "",
            "output": f"Hello! I am {{{{name}}}}, made by {{{{author}}}}. It is my {n}th answer today.",
        }
        for n in range(24)
    ]


def turn(who: str, text: str) -> dict[str, str]:
    return {"from": who, "value": text}


def preferences() -> list[dict[str, Any]]:
    return [
        {
            "conversations": [turn("human", SUM.format(n=n))],
            "chosen": turn("gpt", SAYS.format(n=n)),
            "rejected": turn("gpt", f"I would not know about {n} of them."),
        }
        for n in range(24)
    ]


def thumbs() -> list[dict[str, Any]]:
    return [
        {
            "messages": [
                {"content": SUM.format(n=n), "role": "user"},
                {"content": SAYS.format(n=n), "role": "assistant"},
            ],
            "label": n % 3 != 0,
        }
        for n in range(24)
    ]


def tool_calls() -> list[dict[str, Any]]:
    tools = json.dumps([{"name": "price_of", "description": "A price", "parameters": {"type": "object"}}])
    return [
        {
            "conversations": [
                turn("human", SUM.format(n=n)),
                turn("function_call", json.dumps({"name": "price_of", "arguments": {"count": n}})),
                turn("observation", json.dumps({"euros": n * n})),
                turn("gpt", SAYS.format(n=n)),
            ],
            "tools": tools,
        }
        for n in range(24)
    ]


def intents() -> dict[str, list[list[str]]]:
    names = ["balance", "transfer", "card", "oos"]
    one = [[f"please see to my {names[n % 4]} number {n}", names[n % 4]] for n in range(60)]
    return {"oos_val": one[:4], "val": one[4:14], "train": one[14:50], "oos_test": one[50:52], "test": one[52:]}


def articles() -> str:
    return "\n".join(f"{' '.join([SUM.format(n=n), SAYS.format(n=n)] * 12)}" for n in range(12))


SHAPES: dict[str, tuple[Any, str, dict[str, str], int]] = {
    "alpaca.json": (alpaca(), "chat", {"instruction": "prompt", "input": "context", "output": "reply"}, 24),
    "identity.json": (identity(), "chat", {"instruction": "prompt", "input": "context", "output": "reply"}, 24),
    "dpo.json": (
        preferences(),
        "preference",
        {"conversations": "messages", "chosen": "chosen", "rejected": "rejected"},
        24,
    ),
    "kto.json": (thumbs(), "feedback", {"messages": "messages", "label": "thumb"}, 24),
    "toolcall.json": (tool_calls(), "chat", {"conversations": "messages", "tools": "tools"}, 24),
    "wiki.txt": (articles(), "completion", {"text": "text"}, 12),
    "clinc.json": (intents(), "classification", {"text": "text", "label": "label"}, 60),
}


@pytest.mark.parametrize("name", SHAPES)
def test_each_usual_shape_goes_in_with_no_mapping_by_hand(studio: Studio, tmp_path: Path, name: str) -> None:
    content, task, roles, rows = SHAPES[name]
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2), encoding="utf-8")
    record = studio.datasets.add_file(path)
    report = studio.checks.check(record.id)
    assert (report.task, {column: role for column, role in report.columns.items() if role}) == (task, roles)
    assert report.rows == report.usable == rows and not report.blocked and record.bad_line_count == 0
    found = {problem.kind: problem.count for problem in report.problems}
    assert found == ({"placeholder": 24} if name == "identity.json" else {})
    counts = studio.datasets.splits(record.id)
    assert counts.train + counts.validation + counts.test == rows
    if name == "clinc.json":
        assert (counts.train, counts.validation, counts.test) == (36, 14, 10), "the file's own parts"


def test_what_is_said_before_stands_before_the_prompt(studio: Studio) -> None:
    from studio.tasks import task_named

    rows = [{**row, "history": [["Hello there", f"Good day, {n}"]]} for n, row in enumerate(alpaca())]
    record = studio.datasets.add_text("\n".join(map(json.dumps, rows)))
    spec = studio.datasets.spec(record.id)
    assert spec.roles["history"] == "history"
    values = task_named("chat").values(studio.datasets.table(record.id).row(3), spec.roles)
    assert [turn["content"] for turn in values["history"]] == ["Hello there", "Good day, 2"]
