"""The server's thread looks at searches: at once, at those of all workspaces, and one that is broken stops no other."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from studio.api import Studio
from studio.machine import load
from studio.schema.config import TrainingConfig
from studio.schema.search import SearchSpec
from studio.services.runs.search_engine import SearchEngine
from studio.store import Home
from studio.store.searches import SearchStore, at_work
from studio.ui.monitor import Monitor

CONFIG = TrainingConfig(task="chat", model="m", learning_rate=1e-3, epochs=4, batch_size=4, lora_rank=8)
SPEC = SearchSpec(id="", name="looking", dataset="d", model="m", trials=1)


class Runs:
    """Runs that are at work as long as somebody knows them."""

    def has_room(self) -> bool:
        return True

    def start(self, *_: Any) -> Any:
        return self.get("of another studio")

    def get(self, run: str) -> Any:
        return SimpleNamespace(id=run, status="queued")

    def events(self, run: str, kinds: tuple[str, ...]) -> list[Any]:
        return []


def begun(home: Home, workspace: str) -> str:
    """A search whose one trial has lost its run, so that whoever looks finds that it is over."""
    runs: Any = Runs()
    return SearchEngine(SearchStore(home.workspace(workspace)), runs, runs.start).begin(SPEC, CONFIG, 100).spec.id


def soon(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_searches_of_all_workspaces_are_looked_at_again_and_again_until_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = Home(tmp_path)
    broken = begun(home, "a" * 48)
    (home.root / "workspaces" / ("a" * 48) / "searches" / broken / "search.json").write_text("{}")
    begun(home, "b" * 48)
    studio = Studio(home, demo=True)
    with caplog.at_level(logging.ERROR, "studio.ui"), Monitor(studio, seconds=0.02, search_seconds=0.02):
        soon(lambda: at_work(home) == [("a" * 48, broken)])
        begun(home, "c" * 48)
        soon(lambda: at_work(home) == [("a" * 48, broken)])
    assert [record.getMessage() for record in caplog.records] == [f"The search {broken} can't continue."], "said once"
    later = begun(home, "b" * 48)
    time.sleep(0.2)
    assert ("b" * 48, later) in at_work(home), "nobody looks any more"
    studio.close()


@pytest.mark.parametrize("opened", [["default"], []], ids=["a page is open", "no page is open"])
def test_the_load_is_measured_while_a_page_is_open_so_that_no_plan_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> None:
    meter = load.LoadMeter()
    monkeypatch.setattr(load, "_METER", meter)
    studio = Studio(Home(tmp_path))
    with Monitor(studio, lambda: opened, seconds=0.02, search_seconds=0.02):
        if opened:
            soon(lambda: meter._last is not None)
        else:
            time.sleep(0.5)
    studio.close()
    assert (meter._last is not None) == bool(opened)
