"""The Chat tab: what a person is told of a run before anything is asked."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.report import Metric, Report
from studio.schema.runs import RunRecord, RunSpec
from studio.ui.components.region import region
from studio.ui.http.uploads import Uploads
from studio.ui.selected import mark_tried
from studio.ui.shell import Shell
from studio.ui.tabs import chat
from studio.ui.visitors.session import Sessions, Visit


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Sessions]:
    made = Sessions(tmp_path / "home")
    yield made
    made.root.close()


def told(sessions: Sessions, **settings: Any) -> str:
    """What stands above the panes of a run with these settings."""
    visit, run = made(sessions, **settings)
    return str(chat.view_data(visit, run, [])["how"])


def made(sessions: Sessions, **settings: Any) -> tuple[Visit, RunRecord]:
    """A visit, and a run with these settings that has a model."""
    visit = sessions.visit({}, "page", {})
    config = TrainingConfig(task="chat", model="starter-chat", **settings)
    spec = RunSpec(
        config=config,
        dataset="data-1",
        dataset_version=1,
        data=DatasetSpec(task="chat", roles={"question": "prompt", "answer": "reply"}),
        splits=SplitSpec(),
    )
    runs = sessions.root.home.workspace().runs
    run = runs.create(spec)
    (runs.folder(run.id).adapter).mkdir(parents=True)
    runs.set_status(run.id, "finished", has_result=True)
    return visit, visit.studio.runs.get(run.id)


def test_a_run_that_learned_on_fewer_bits_says_on_which_base_it_answers(sessions: Sessions) -> None:
    assert "a 4-bit quantized copy of the base model" in told(sessions, method="qlora")
    eight = told(sessions, method="qlora", quantization="8-bit")
    assert "an 8-bit quantized copy of the base model" in eight and "without quantization" in eight
    assert told(sessions, method="lora") == ""


def test_the_next_step_is_named_with_its_reason_also_here(sessions: Sessions) -> None:
    visit, run = made(sessions)
    assert chat.following(visit, run)[1:] == ("Evaluate", "evaluate")
    report = Report(rows=200, split="test", metrics={"loss": Metric(base=2, tuned=1)}, verdict="", outcome="better")
    visit.studio.context.workspace.runs.folder(run.id).report.write_text(report.model_dump_json())
    assert chat.following(visit, run)[1:] == ("", ""), "a prompt is the next step"
    mark_tried(visit, run.id)
    assert chat.following(visit, run) == ("You have tried it. Export it to use it elsewhere.", "Export", "export")


def test_the_step_after_the_first_prompt_is_shown_at_once(sessions: Sessions, tmp_path: Path) -> None:
    visit, run = made(sessions)
    report = Report(rows=200, split="test", metrics={"loss": Metric(base=2, tuned=1)}, verdict="", outcome="better")
    visit.studio.context.workspace.runs.folder(run.id).report.write_text(report.model_dump_json())
    visit.choose(run=run.id)
    shell = Shell(sessions, Uploads(tmp_path / "uploads"))
    part = chat.build()
    chat.wire(part, shell.at("chat", region("notice-chat", "notice")))

    def told(act: str) -> dict[str, Any]:
        said = {"act": act, "run": run.id, "unasked": True}
        answer = asyncio.run(shell.act({"region": part.elem_id, "page": "page", "said": said}, {}))
        return dict(answer["regions"][part.elem_id])

    assert told("look")["next"][1:] == ("", "") and not told("look")["tried"]
    assert told("tried")["next"][1:] == ("Export", "export") and told("look")["tried"]
    visit.choose(reached=())  # as when another run was selected in the meantime
    assert told("look")["tried"] and "chat" in visit.choices.reached


def test_rows_that_need_a_look_are_one_click_away_from_the_chat(sessions: Sessions) -> None:
    visit, run = made(sessions)
    report = Report(rows=200, split="test", metrics={"loss": Metric(base=2, tuned=3)}, verdict="", outcome="worse")
    visit.studio.context.workspace.runs.folder(run.id).report.write_text(report.model_dump_json())
    assert chat.following(visit, run)[1:] == ("Check the rows", "data")
