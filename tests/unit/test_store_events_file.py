"""events.jsonl: what a run said, appended in its folder, whole after any end."""

import json
import time
from pathlib import Path

import pytest

from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.events import StepEvent
from studio.schema.runs import RunSpec
from studio.store import Home, Workspace


def a_run(space: Workspace, steps: int) -> str:
    spec = RunSpec(
        config=TrainingConfig(task="chat", model="starter-chat"),
        dataset="d1",
        dataset_version=1,
        data=DatasetSpec(task="chat", roles={"q": "prompt", "a": "reply"}),
        splits=SplitSpec(),
    )
    run = space.runs.create(spec).id
    more(space, run, 1, steps)
    return run


def more(space: Workspace, run: str, first: int, last: int) -> None:
    for step in range(first, last + 1):
        event = StepEvent(step=step, loss=1.0, learning_rate=1e-4, rows_per_second=1, memory_bytes=1)
        space.events.append(run, event)


def told(path: Path) -> list[int]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def known(space: Workspace, run: str) -> list[int]:
    return [each.id for each in space.events.after(run)]


def test_what_is_new_is_appended_and_what_is_there_is_not_written_again(tmp_path: Path) -> None:
    space = Home(tmp_path).workspace()
    run = a_run(space, 300)
    path = space.runs.folder(run).events
    space.runs.describe(run)
    before, inode = path.read_bytes(), path.stat().st_ino
    more(space, run, 301, 320)
    space.runs.describe(run)
    space.runs.describe(run)
    assert path.read_bytes().startswith(before) and path.stat().st_ino == inode, "the same file, and longer"
    assert told(path) == known(space, run)


@pytest.mark.parametrize("torn", [b'{"id":7', b"\x00\xff", b'{"id":7,"time":"x","event":{}}'])
def test_a_line_that_was_cut_short_is_replaced_by_the_whole_one(tmp_path: Path, torn: bytes) -> None:
    space = Home(tmp_path).workspace()
    run = a_run(space, 5)
    path = space.runs.folder(run).events
    space.runs.describe(run)
    path.write_bytes(path.read_bytes() + torn)
    more(space, run, 6, 9)
    space.runs.describe(run)
    assert told(path) == known(space, run)


def test_a_file_of_another_database_is_written_anew(tmp_path: Path) -> None:
    space = Home(tmp_path / "here").workspace()
    run = a_run(space, 5)
    path = space.runs.folder(run).events
    for other in ('{"id":3,"time":"2020-01-01T00:00:00.000Z","event":{}}\n', "no JSON\n", "[]\n", "", "\n"):
        path.write_text(other)
        space.runs.describe(run)
        assert told(path) == known(space, run), other


def test_a_last_line_of_many_megabytes_is_read_in_time_in_proportion_to_its_length(tmp_path: Path) -> None:
    space = Home(tmp_path).workspace()
    run = a_run(space, 3)
    path = space.runs.folder(run).root / "events.jsonl"
    path.write_bytes(b" " * 50_000_000)
    began = time.process_time()
    space.runs.describe(run)
    assert time.process_time() - began < 4
    assert told(path) == known(space, run)
