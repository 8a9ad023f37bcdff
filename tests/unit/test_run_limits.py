"""What a visitor of a demo may ask of runs: settings that are settings, and no more than the limits allow."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.machine.locks import try_lock
from studio.schema.errors import StudioError
from studio.schema.limits import DEMO, OWNER, Limits
from studio.schema.requests import RunRequest
from studio.schema.runs import RunRecord, RunSpec
from studio.services.planning.probe import LOCK, probe
from studio.services.runners import Runners
from studio.store import Home, Workspace
from studio.store.quota import Quota
from studio.store.removal import remove_workspace
from studio.store.run_rows import own_rows
from studio.worker.run import Worker

ROWS = "question,answer\n" + "".join(f"How is number {n}?,It is fine as number {n}.\n" for n in range(60))


class Starts:
    """A runner that only remembers what it was asked to start."""

    def __init__(self) -> None:
        self.started: list[tuple[str, str]] = []

    def start(self, workspace: str, run: str, log: Path) -> None:
        self.started.append((workspace, run))

    def watch(self, entries: object) -> None:
        pass

    def claim_prepared_run(self, workspace: str) -> str:
        return ""

    def close(self) -> None:
        pass


def visit(home: Home, address: str = "192.0.2.1") -> Studio:
    """A new visitor's studio, whose runs are not started."""
    name = home.visitor_workspace(home.new_secret())
    assert name
    home.workspace(name).visited(address)
    studio = Studio(home, name, demo=True)
    starts: Any = Starts()
    object.__setattr__(studio.shared, "processes", starts)
    object.__setattr__(studio.shared, "runners", Runners(home, starts))
    return studio


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.mark.slow
def test_a_page_s_settings_choose_no_model_task_method_or_name(home: Home, tmp_path: Path) -> None:
    for studio in (visit(home), Studio(tmp_path / "own")):
        data = studio.datasets.add_text(ROWS, "rows").id
        for name in ("model", "task", "method", "preset", "name"):
            with pytest.raises(StudioError) as refusal:
                studio.runs.start(RunRequest(dataset=data, model="starter-chat", settings={name: "/private/model"}))
            assert [(each.code, each.field) for each in refusal.value.all()] == [("unknown-setting", name)]
            assert any(
                each.field == name
                for each in studio.planning.problems(
                    RunRequest(dataset=data, model="starter-chat", settings={name: "/x"})
                )
            )
        assert (
            studio.planning.plan(
                RunRequest(dataset=data, model="starter-chat", settings={"epochs": 1})
            ).plan.config.model
            == "starter-chat"
        )
        studio.close()


def test_ten_million_steps_are_refused_with_all_else_that_is_wrong(home: Home) -> None:
    studio = visit(home)
    data = studio.datasets.add_text(ROWS, "rows").id
    wrong: dict[str, Any] = {"max_steps": 10_000_000, "max_minutes": 600, "learning_rate": 0}
    with pytest.raises(StudioError) as refusal:
        studio.runs.start(RunRequest(dataset=data, model="starter-chat", settings=wrong))
    assert {each.field for each in refusal.value.all()} == set(wrong)
    assert "at most 2,000 steps" in refusal.value.message
    with pytest.raises(StudioError) as refusal:
        studio.runs.start(RunRequest(dataset=data, model="starter-chat", settings={"epochs": 1000}))
    (problem,) = refusal.value.all()
    assert (problem.code, problem.field) == ("limit-reached", "epochs") and "steps" in str(problem.given)
    assert studio.runs.all() == []


def test_a_plan_of_which_nothing_is_set_by_hand_stays_within_the_limits_and_says_why(home: Home) -> None:
    home.keep_demo_limits(DEMO.model_copy(update={"run_steps": 12, "run_rows": 40}))
    studio = visit(home)
    data = studio.datasets.add_text(ROWS, "rows").id
    view = studio.planning.plan(RunRequest(dataset=data, model="starter-chat"))
    assert (view.plan.config.max_steps, view.plan.config.max_minutes, view.splits.train) == (12, 15, 40)
    assert view.estimate.steps == 12
    because = " ".join(view.plan.because)
    for words in ("after 12 steps", "40 of 51 training rows", "after 15 minutes"):
        assert words in because, because
    assert studio.runs.start(RunRequest(dataset=data, model="starter-chat")).status == "queued"
    owner = Studio(home)
    mine = owner.planning.plan(
        RunRequest(dataset=owner.datasets.add_text(ROWS, "rows").id, model="starter-chat")
    ).plan.config
    assert (mine.max_steps, mine.max_minutes) == (0, 0.0)


def test_rows_of_a_run_are_sampled_with_general_rows_counted() -> None:
    found = [own_rows(100, 0, 0.0), own_rows(100, 40, 0.0), own_rows(30, 40, 0.0), own_rows(100, 40, 0.25)]
    assert found == [100, 40, 30, 30]


def test_a_visitor_has_one_run_that_trains_and_one_that_waits_however_they_are_asked_for(home: Home) -> None:
    studio = visit(home)
    data = studio.datasets.add_text(ROWS, "rows").id
    first, second = (
        studio.runs.start(RunRequest(dataset=data, model="starter-chat", settings={"max_steps": 5})) for _ in range(2)
    )
    kept = [each.id for each in studio.runs.all()]
    for ask in (
        lambda: studio.runs.start(RunRequest(dataset=data, model="starter-chat")),
        lambda: studio.runs.rerun(first.id),
    ):
        with pytest.raises(StudioError) as refusal:
            ask()
        assert refusal.value.code == "limit-reached" and refusal.value.hint
    assert [each.id for each in studio.runs.all()] == kept, "nothing is left of a refused run"
    studio.runs.pause(second.id)
    third = studio.runs.start(RunRequest(dataset=data, model="starter-chat", settings={"max_steps": 5}))
    with pytest.raises(StudioError) as refusal:
        studio.runs.resume(second.id)
    assert refusal.value.code == "limit-reached" and studio.runs.get(second.id).status == "paused"
    assert {entry.run for entry in home.queue.listing()} == {first.id, third.id}


@pytest.mark.slow
def test_a_network_address_has_four_runs_over_all_its_workspaces(home: Home) -> None:
    asked = []
    for number in range(5):
        studio = visit(home, "192.0.2.7")
        data = studio.datasets.add_text(ROWS, "rows").id
        asked.append((studio, data))
        if number < 4:
            studio.runs.start(RunRequest(dataset=data, model="starter-chat", settings={"max_steps": 5}))
    with pytest.raises(StudioError) as refusal:
        asked[-1][0].runs.start(RunRequest(dataset=asked[-1][1], model="starter-chat"))
    assert refusal.value.code == "limit-reached" and "network address" in refusal.value.message
    other = visit(home, "192.0.2.8")
    assert (
        other.runs.start(
            RunRequest(
                dataset=other.datasets.add_text(ROWS, "rows").id, model="starter-chat", settings={"max_steps": 5}
            )
        ).status
        == "queued"
    )


def test_a_run_that_would_write_more_than_a_visitor_may_is_refused_before_it_starts(home: Home) -> None:
    studio = visit(home)
    data = studio.datasets.add_text(ROWS, "rows").id
    with pytest.raises(StudioError) as refusal:
        studio.runs.start(
            RunRequest(dataset=data, model="starter-chat", method="last-layers", settings={"max_steps": 5})
        )
    assert refusal.value.code == "limit-reached" and "MB needed" in str(refusal.value.given)
    assert studio.runs.all() == []
    studio.runs.start(RunRequest(dataset=data, model="starter-chat", method="lora", settings={"max_steps": 5}))


def test_all_visitors_together_have_a_limit_on_disk_space(home: Home) -> None:
    home.keep_demo_limits(DEMO.model_copy(update={"total_mb": 1}))
    studio = visit(home)
    with pytest.raises(StudioError) as refusal:
        Quota(studio.context.workspace).require(2_000_000)
    assert refusal.value.code == "limit-reached" and "all visitors" in refusal.value.message
    Quota(home.workspace()).require(10**15)


def test_a_file_with_two_names_counts_once(home: Home) -> None:
    place = visit(home).context.workspace
    place.root.mkdir(parents=True, exist_ok=True)
    before = Quota(place).used()
    (place.root / "one").write_bytes(b"x" * 1000)
    os.link(place.root / "one", place.root / "two")
    assert Quota(place).used() - before == 1000


def finished(studio: Studio) -> RunRecord:
    """A run that has ended, without a worker."""
    record = studio.runs.start(
        RunRequest(dataset=studio.datasets.add_text(ROWS, "rows").id, model="starter-chat", settings={"max_steps": 5})
    )
    studio.runs.stop(record.id)
    return studio.runs.get(record.id)


def test_a_run_archive_counts_as_disk_space(home: Home) -> None:
    studio = visit(home)
    run = finished(studio).id
    folder = studio.context.workspace.runs.folder(run)
    folder.adapter.mkdir()
    with (folder.adapter / "adapter_model.safetensors").open("wb") as file:
        file.truncate(300_000_000)
    with pytest.raises(StudioError) as refusal:
        studio.saved.export_archive(run)
    assert refusal.value.code == "limit-reached"


def test_the_rows_in_a_run_archive_count_as_disk_space(home: Home) -> None:
    studio = visit(home)
    run, place = finished(studio), studio.context.workspace
    with place.datasets.rows_path(run.dataset, run.dataset_version).open("r+b") as file:
        file.truncate(20_000_000)
    home.keep_demo_limits(DEMO.model_copy(update={"workspace_mb": 30}))
    with pytest.raises(StudioError) as refusal:
        Studio(home, place.name, demo=True).saved.export_archive(run.id, rows=True)
    assert refusal.value.code == "limit-reached" and "20 MB needed" in str(refusal.value.given)


def test_visitors_do_not_measure_runs_all_at_once(home: Home) -> None:
    studio = visit(home)
    spec = studio.runs.spec(finished(studio).id)
    with (home.root / LOCK).open("w") as file:
        assert try_lock(file)
        with pytest.raises(StudioError, match="Another run is being measured") as refusal:
            probe(studio.context, spec)
    assert refusal.value.code == "wrong-state"


def test_a_run_that_has_had_its_minutes_is_not_resumed(home: Home) -> None:
    studio = visit(home)
    run = finished(studio).id
    studio.context.workspace.runs.update(run, seconds=15 * 60.0)
    with pytest.raises(StudioError) as refusal:
        studio.runs.resume(run)
    assert refusal.value.code == "limit-reached" and "15 minutes" in refusal.value.message


def test_what_a_visitor_s_run_may_not_use_is_refused_when_it_is_started(home: Home) -> None:
    studio = visit(home)
    run = finished(studio).id
    spec = studio.runs.spec(run)
    asks = {"model": "/private/model"}, {"processes": 2}, {"offload": "cpu", "zero": 2}, {"start_from": "../x"}
    for changes in (*asks, {"batch_size": 64, "gradient_accumulation": 64}):
        asked = changed(spec, **changes)
        with pytest.raises(StudioError) as refusal:
            studio.runs.submit(asked)
        assert refusal.value.code in ("not-allowed", "no-such-run", "limit-reached")


def changed(spec: RunSpec, **settings: Any) -> RunSpec:
    return spec.model_copy(update={"config": spec.config.model_copy(update=settings)})


def test_a_process_that_takes_a_visitor_s_run_forgets_the_secrets_of_the_server(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_TOKEN", "WANDB_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "secret")
    studio = visit(home)
    Worker(home, "default", "20200101-other")
    assert os.environ["HF_TOKEN"] == "secret"
    Worker(home, studio.context.workspace.name, "20200101-other")
    assert not {"HF_TOKEN", "WANDB_API_KEY", "OPENAI_API_KEY"} & set(os.environ)


def test_a_worker_that_begins_again_brings_no_secrets_back(tmp_path: Path) -> None:
    shows = tmp_path / "python"
    shows.write_text("#!/bin/sh\nenv\n")
    shows.chmod(0o755)
    program = (
        "import sys; from pathlib import Path; from studio.worker import restart\n"
        "sys.executable = sys.argv[1]\n"
        "restart.restart_worker(Path('/home'), 'visitor', 'run', sys.argv[2] == 'visitor')"
    )
    for whose, there in (("owner", True), ("visitor", False)):
        done = subprocess.run(
            [sys.executable, "-c", program, str(shows), whose],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "HF_TOKEN": "secret"},
        )
        assert ("HF_TOKEN=secret" in done.stdout) is there


def test_a_workspace_is_removed_with_its_runs_out_of_the_queue_and_their_workers_ended(home: Home) -> None:
    studio = visit(home)
    place: Workspace = studio.context.workspace
    run = studio.runs.start(
        RunRequest(dataset=studio.datasets.add_text(ROWS, "rows").id, model="starter-chat", settings={"max_steps": 5})
    ).id
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    assert home.queue.claim(run, worker.pid) and home.queue.entries()
    remove_workspace(home, place.name)
    assert worker.wait(10) < 0 and not place.root.exists() and not (home.root / "removed").exists()
    assert home.queue.entries() == []
    remove_workspace(home, place.name)


def test_an_owner_has_no_limits() -> None:
    assert OWNER == Limits.model_validate(dict.fromkeys(Limits.model_fields, 0))
