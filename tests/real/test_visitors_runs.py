"""Real workers on runs of a demo's visitors: what they may not use they don't, and limits hold whatever a spec says."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from made_runs import tiny_llama
from small_trainings import chat_job
from worker_runs import add_run, add_sample, log_of, record_of, steps_of, wait_for

from studio.api import Studio
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetRecord, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.limits import DEMO
from studio.schema.runs import RunSpec
from studio.services.runners.worker_processes import WorkerProcesses
from studio.store import Home, Workspace
from studio.training.loop.checkpoints import Checkpoints
from studio.training.loop.run import train

SHORT: dict[str, Any] = {
    "precision": "float32",
    "max_length": 64,
    "batch_size": 1,
    "lora_rank": 2,
    "keep_best": False,
    "epochs": 50,
    "watch_share": 0.0,
}


pytestmark = pytest.mark.usefixtures("tiny_starters")


@pytest.fixture
def visitors(home: Home) -> Workspace:
    name = home.visitor_workspace(home.new_secret())
    assert name
    return home.workspace(name)


def queue_run(place: Workspace, model: str, **settings: Any) -> str:
    """A visitor's run that no page and no service has looked at, in the queue."""
    data = add_sample(SimpleNamespace(workspace=lambda: place), "support-tone", 12)  # type: ignore[arg-type]
    assert data.spec is not None
    config = TrainingConfig(task=data.spec.task, model=model, **settings)
    spec = RunSpec(config=config, dataset=data.id, dataset_version=1, data=data.spec, splits=SplitSpec())
    run = place.runs.create(spec).id
    place.home.queue.enqueue(place.name, run)
    return run


def start(place: Workspace, run: str) -> None:
    WorkerProcesses(place.home.root).start(place.name, run, place.runs.folder(run).log)


def ended(place: Workspace, run: str) -> Any:
    wait_for(lambda: place.runs.get(run).status in ("failed", "stopped", "finished", "interrupted"), 240)
    return place.runs.get(run)


def test_a_visitor_s_spec_that_names_a_private_model_never_trains_and_tells_nothing_of_its_folder(
    visitors: Workspace, llama: str, tmp_path: Path
) -> None:
    private = shutil.copytree(llama, tmp_path / "private")
    said = []
    for folder in (private, tmp_path / "no such folder"):
        run = queue_run(visitors, str(folder), **SHORT)
        start(visitors, run)
        record = ended(visitors, run)
        assert record.status == "failed" and not record.has_result and record.step == 0
        said.append(record.reason)
        (error,) = visitors.events.after(run, kinds=("error",))
        assert error.event.code == "not-allowed"  # type: ignore[union-attr]
        assert str(tmp_path) not in record.reason
    assert said[0] == said[1]


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "WANDB_API_KEY"):
        monkeypatch.setenv(name, "hf_ownersecret")


def test_no_secret_of_the_owner_is_in_the_environment_or_the_arguments_of_a_visitor_s_worker(
    visitors: Workspace, secrets: None, afresh: None
) -> None:
    visitors.home.queue.enqueue("default", "another")
    assert visitors.home.queue.claim("another", os.getpid()) and visitors.home.queue.try_start("another")
    run = queue_run(visitors, "starter-chat", **SHORT)
    start(visitors, run)
    pid = wait_for(lambda: visitors.home.queue.worker(run))
    worker = psutil.Process(pid)
    found = worker.environ()
    assert not {"HF_TOKEN", "WANDB_API_KEY"} & set(found) and found["HF_HUB_DISABLE_IMPLICIT_TOKEN"] == "1"
    assert "hf_ownersecret" not in " ".join(worker.cmdline())
    visitors.home.queue.remove(run)
    worker.wait(20)


def test_a_worker_takes_no_more_steps_rows_and_minutes_than_the_limits_allow(visitors: Workspace) -> None:
    visitors.home.keep_demo_limits(DEMO.model_copy(update={"run_steps": 3, "run_rows": 4}))
    run = queue_run(visitors, "starter-chat", **SHORT, max_steps=10_000_000)
    start(visitors, run)
    record = ended(visitors, run)
    assert (record.status, record.step, record.steps) == ("finished", 3, 3), visitors.runs.folder(run).log.read_text()
    assert len(json.loads(visitors.runs.folder(run).splits.read_text())["train"]) == 4


def test_a_run_stops_after_the_minutes_of_the_demo_and_keeps_what_it_learned(visitors: Workspace) -> None:
    visitors.home.keep_demo_limits(DEMO.model_copy(update={"run_minutes": 0.05}))
    run = queue_run(visitors, "starter-chat", **{**SHORT, "epochs": 1000}, max_minutes=600)
    start(visitors, run)
    record = ended(visitors, run)
    assert record.status == "stopped" and "after 0.05 minutes" in record.reason, record


def test_a_run_whose_disk_space_is_used_up_stops_and_keeps_what_it_learned(tmp_path: Path) -> None:
    info = tiny_llama(tmp_path / "tiny")
    whole = train(chat_job(tmp_path / "whole", info), lambda event: None, lambda: None)
    assert whole.path is not None and not whole.no_room
    size = (whole.path / "adapter_model.safetensors").stat().st_size
    job = replace(chat_job(tmp_path / "run", info), disk_left=lambda: 2 * size)  # of a checkpoint it is a half
    outcome = train(job, lambda event: None, lambda: None)
    assert outcome.no_room and outcome.stopped == "keep" and outcome.path is not None
    told = json.loads((outcome.path / "adapter_config.json").read_text())
    assert told["base_model_name_or_path"] == str(info.path), "a base that is a folder is found by its path alone"
    assert Checkpoints(tmp_path / "run" / "checkpoints").complete() == []
    with pytest.raises(StudioError) as refusal:
        train(replace(chat_job(tmp_path / "none", info), disk_left=lambda: 0), lambda event: None, lambda: None)
    assert refusal.value.code == "limit-reached"


def test_only_the_next_run_has_a_process_and_each_worker_starts_the_next_one(
    home: Home, data: DatasetRecord, llama: str
) -> None:
    studio = Studio(home.root)
    tiny = {"precision": "float32", "learning_rate": 1e-2, "max_length": 64, "eval_rows": 2}
    long = {"epochs": 1000, "early_stopping_patience": 0}
    runs = [add_run(home, data, llama, **tiny, **(long if number == 0 else {"max_steps": 2})) for number in range(3)]
    studio.reconcile()  # starts the first one's worker
    wait_for(lambda: len(steps_of(home, runs[0])) >= 2, 240)
    wait_for(lambda: home.queue.worker(runs[1]), 60)
    time.sleep(2)
    assert [home.queue.worker(run) is not None for run in runs] == [True, True, False]
    studio.runs.stop(runs[0], "keep")  # the first run is long enough that it cannot end before this line
    # neither a server nor a command looks at the runs from here on
    wait_for(lambda: record_of(home, runs[0]).status == "stopped", 120)
    wait_for(lambda: all(record_of(home, run).status == "finished" for run in runs[1:]), 400)
    gaps = []
    for before, after in pairwise(runs):
        done = home.workspace().events.last(before, "state")[-1].time
        began = next(
            each.time
            for each in home.workspace().events.after(after, kinds=("state",))
            if each.event.status == "starting"
        )  # type: ignore[union-attr]
        gaps.append(seconds(began) - seconds(done))
    print("seconds between runs:", [round(gap, 2) for gap in gaps])
    assert max(gaps) < 20
    wait_for(lambda: home.queue.entries() == [])
    studio.close()


def test_a_turn_survives_the_death_of_the_worker_at_work_and_of_the_next_one(
    home: Home, data: DatasetRecord, llama: str
) -> None:
    studio = Studio(home.root)
    tiny = {"precision": "float32", "learning_rate": 1e-2, "max_length": 64, "eval_rows": 2}
    first, second, third = (add_run(home, data, llama, **tiny, max_steps=200 if n == 0 else 2) for n in range(3))
    studio.reconcile()
    wait_for(lambda: steps_of(home, first), 240)
    workers = [psutil.Process(wait_for(lambda run=run: home.queue.worker(run))) for run in (first, second)]
    for worker in reversed(workers):
        worker.kill()
    with home.queue.db.write() as connection:
        connection.execute("UPDATE entries SET called = ''")
    both = (second, third)
    wait_for(lambda: all(studio.runs.get(run).status == "finished" for run in both), 400, studio)
    assert studio.runs.get(first).status == "interrupted", log_of(home, first)
    studio.close()


def seconds(moment: str) -> float:
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()


@pytest.fixture(autouse=True)
def no_worker_left(home: Home) -> Iterator[None]:
    yield
    for entry in home.queue.listing():
        if entry.pid and entry.pid != os.getpid():
            psutil.Process(entry.pid).kill()
