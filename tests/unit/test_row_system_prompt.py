"""A run whose rows have one system prompt uses it in the chat, for test prompts and in exports."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.models.starters.install import fetch_starter
from studio.schema.requests import RunRequest
from studio.services.planning.row_system_prompt import shared_system_prompt

PIRATE, POLITE = "You are a pirate.", "You are polite."


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with Studio(tmp_path / "home") as made:
        yield made


def conversation(system: str, number: int) -> dict[str, Any]:
    turns = [{"role": "user", "content": f"Where is {number}?"}, {"role": "assistant", "content": f"It is {number}."}]
    return {"messages": [{"role": "system", "content": system}, *turns] if system else turns}


def with_column(system: str, number: int) -> dict[str, Any]:
    return {"system": system, "prompt": f"Where is {number}?", "reply": f"It is {number}."}


def pair(system: str, number: int) -> dict[str, Any]:
    prompt = conversation(system, number)["messages"][:-1]
    answers = [[{"role": "assistant", "content": f"{word} {number}."}] for word in ("It is", "No")]
    return {"prompt": prompt, "chosen": answers[0], "rejected": answers[1]}


def add(studio: Studio, row: Callable[[str, int], dict[str, Any]], systems: list[str]) -> str:
    lines = "".join(json.dumps(row(system, number)) + "\n" for number, system in enumerate(systems))
    return studio.datasets.add_text(lines, "rows.jsonl").id


@pytest.mark.parametrize("row", [conversation, with_column, pair])
@pytest.mark.parametrize(
    ("systems", "shared"), [([PIRATE] * 20, PIRATE), ([PIRATE] * 19 + [POLITE], ""), ([PIRATE] * 19 + [""], "")]
)
def test_a_system_prompt_is_shared_when_every_conversation_has_the_same(
    studio: Studio, row: Callable[[str, int], dict[str, Any]], systems: list[str], shared: str
) -> None:
    record = studio.datasets.get(add(studio, row, systems))
    assert shared_system_prompt(studio.datasets, record, studio.datasets.spec(record.id)) == shared


def test_the_plan_takes_it_over_and_says_so_unless_the_person_has_set_another_one(studio: Studio) -> None:
    fetch_starter("starter-chat")
    dataset = add(studio, conversation, [PIRATE] * 40)

    def planned(**settings: Any) -> tuple[str, bool]:
        request = RunRequest(dataset=dataset, model="starter-chat", task="chat", settings=settings)
        plan = studio.planning.plan(request).plan
        return plan.config.system_prompt, any("same system prompt" in reason for reason in plan.because)

    assert planned() == (PIRATE, True)
    assert planned(system_prompt=POLITE) == (POLITE, False)
    assert planned(replay=0.1, replay_from="sample:support-tone") == ("", False), "these rows have no pirate"
