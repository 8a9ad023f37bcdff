"""A search of six trials: its best is no worse than the preset; a killed trial and a restart are survived, and a bad
trial is given up, though nobody looks but the server."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from made_runs import tiny_llama
from worker_runs import wait_for

from studio.api import Studio
from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError
from studio.schema.requests import RunRequest, SearchRequest
from studio.schema.search import SearchSpec, SearchView
from studio.services.runs.search_engine import SearchEngine
from studio.store import Home
from studio.store.searches import SearchStore, at_work
from studio.ui.monitor import Monitor
from tests.browser.served import Served

FEW: dict[str, Any] = {"max_length": 64, "max_steps": 6, "precision": "float32", "early_stopping_patience": 0}


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    made = Studio(tmp_path / "home")
    yield made
    made.close()


def through(studio: Studio, view: SearchView) -> SearchView:
    """Until it is over."""
    wait_for(lambda: studio.search.advance(view.spec.id).status != "running", 240, studio)
    return studio.search.get(view.spec.id)


def test_a_search_of_six_trials_is_no_worse_than_the_preset_and_survives_a_killed_trial(
    studio: Studio, tmp_path: Path
) -> None:
    tiny_llama(tmp_path / "tiny")
    model, data = str(tmp_path / "tiny"), studio.datasets.add_sample("support-tone").id
    begun = studio.search.start(
        SearchRequest(run=RunRequest(dataset=data, model=model, task="chat", settings=FEW), trials=6)
    )
    assert begun.status == "running" and begun.trials[0].settings == begun.spec.first
    wait_for(lambda: len(studio.search.advance(begun.spec.id).trials) >= 2, studio=studio)
    second = wait_for(lambda: studio.search.advance(begun.spec.id).trials[1].run, studio=studio)
    worker = wait_for(lambda: studio.context.workspace.runs.worker(second).pid)
    os.kill(worker, signal.SIGKILL)
    again = Studio(tmp_path / "home")  # the server was started anew
    try:
        done = through(again, begun)
    finally:
        again.close()
    assert done.status == "finished" and len(done.trials) == 6
    assert done.trials[1].state == "failed"
    values = {trial.number: trial.value for trial in done.trials if trial.value is not None}
    assert values[done.best] <= values[0]  # type: ignore[index]
    assert len({tuple(trial.settings.values()) for trial in done.trials}) > 3
    best = studio.search.best_settings(done.spec.id)
    assert best["max_steps"] == 6 and "learning_rate" in best
    assert (
        studio.planning.plan(
            RunRequest(dataset=data, model=model, task="chat", settings=best)
        ).plan.config.learning_rate
        == best["learning_rate"]
    )


def test_a_search_is_stopped_and_can_not_do_without_validation_rows(studio: Studio, tmp_path: Path) -> None:
    tiny_llama(tmp_path / "tiny")
    model, data = str(tmp_path / "tiny"), studio.datasets.add_sample("support-tone").id
    with pytest.raises(StudioError, match="needs validation rows"):
        studio.search.start(
            SearchRequest(run=RunRequest(dataset=data, model=model, task="chat", settings={"validation_share": 0}))
        )
    with pytest.raises(StudioError) as caught:
        studio.search.start(
            SearchRequest(
                run=RunRequest(dataset=data, model=model, task="chat", settings={"validation_share": 0}), trials=0
            )
        )
    assert [each.field for each in caught.value.all()] == ["trials", "validation_share"], "all at once"
    with pytest.raises(StudioError, match=r"no trial of this search|There is no search"):
        studio.search.best_settings("none")
    begun = studio.search.start(
        SearchRequest(
            run=RunRequest(dataset=data, model=model, task="chat", settings={"max_length": 64, "epochs": 200}), trials=3
        )
    )
    wait_for(lambda: studio.runs.get(begun.trials[0].run).step > 1, studio=studio)
    studio.search.stop(begun.spec.id)
    done = through(studio, begun)
    assert done.status == "stopped" and len(done.trials) == 1


@pytest.mark.filterwarnings("ignore:Fixed parameter")
def test_a_new_server_goes_on_with_a_search_and_gives_up_a_bad_trial_though_nobody_looks(tmp_path: Path) -> None:
    tiny_llama(tmp_path / "tiny")
    gone = Studio(tmp_path / "home")
    data = gone.datasets.add_text(
        "question,answer\n" + "".join(f"Where is number {n}?,Under stone {n}.\n" for n in range(12))
    )
    alike = {
        "batch_size": 4,
        "lora_rank": 8,
        "max_length": 64,
        "eval_steps": 1,
        "early_stopping_patience": 0,
        "precision": "float32",
        "validation_share": 0.2,
    }
    begun = gone.search.start(
        SearchRequest(
            run=RunRequest(dataset=data.id, model=str(tmp_path / "tiny"), task="chat", preset="quick", settings=alike),
            trials=3,
        )
    )
    study = gone.search._study(begun.spec)
    study.enqueue_trial(begun.spec.first)
    study.enqueue_trial({"learning_rate": 1e-12, "epochs": 1000})  # learns nothing, for very long
    # A server that is gone hears nothing of the trial's end.
    gone.shared.processes.on_run_end("default", lambda run: None)
    gone.close()
    again = Studio(tmp_path / "home")
    try:
        wait_for(lambda: again.runs.get(begun.trials[0].run).status == "finished", 240, again)
        assert len(again.runs.all()) == 1 and again.search.running() == [("default", begun.spec.id)]
        with Monitor(again, seconds=0.2, search_seconds=0.2):
            wait_for(lambda: not again.search.running(), 240)
        bad, *good = again.runs.all()
        done = again.search.get(begun.spec.id)
    finally:
        again.close()
    assert [trial.state for trial in done.trials] == ["finished", "finished", "pruned"]
    assert [run.status for run in good] == ["finished"] * 2
    assert bad.status == "stopped" and bad.step < bad.steps, "it was given up early"


def test_a_server_that_starts_goes_on_with_a_visitors_search_though_no_page_is_open(tmp_path: Path) -> None:
    home, visitor = Home(tmp_path / "home"), "v" * 48
    runs: Any = SimpleNamespace(
        get=lambda run: SimpleNamespace(id=run, status="queued"),
        events=lambda run, kinds: [],
        has_room=lambda: True,
    )
    spec = SearchSpec(id="", name="of a run that is lost", dataset="d", model="m", trials=1)
    begun = SearchEngine(SearchStore(home.workspace(visitor)), runs, lambda *_: runs.get("lost"))
    begun.begin(spec, TrainingConfig(task="chat", model="m"), 100)
    assert [workspace for workspace, _ in at_work(home)] == [visitor]
    served = Served(home.root, "--demo")
    try:
        wait_for(lambda: not at_work(home))
    finally:
        served.stop()
