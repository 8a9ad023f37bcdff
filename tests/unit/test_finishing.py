"""A run without a result is ended with the best step that it holds; whether it can be, and which step that is."""

import json
from pathlib import Path

import pytest
from test_services_runs import Starts, lifecycle, spec

from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError
from studio.services.context import Context
from studio.services.runs.lifecycle import RunLifecycle
from studio.store import Home
from studio.store.datasets import ROWS
from studio.ui.http.run_updates import run_state
from studio.ui.tabs import train


@pytest.fixture
def runs(tmp_path: Path) -> RunLifecycle:
    home = Home(tmp_path)
    datasets = home.workspace().datasets
    folder = datasets.begin("data-1", 1)
    (folder / ROWS).write_bytes(b"rows")
    told = {"id": "data-1", "name": "support", "version": 1, "note": "", "source": "", "created": "", "rows": 1}
    datasets.add(DatasetRecord(**told, columns=(), bytes=0, format="csv"), folder)  # type: ignore[arg-type]
    return lifecycle(Context(home, home.workspace()), Starts())


def ended(runs: RunLifecycle, status: str = "interrupted", keep_best: bool = True) -> str:
    """A run that began, and has ended in some state."""
    asked = spec()
    asked = asked.model_copy(update={"config": asked.config.model_copy(update={"keep_best": keep_best})})
    run = runs.submit(asked).id
    runs.queue.remove(run)
    runs.store.set_status(run, status)  # type: ignore[arg-type]
    runs.processes.started.clear()  # type: ignore[attr-defined]
    return run


def saved(runs: RunLifecycle, run: str, step: int, best: int, optimizer: bool = True) -> Path:
    """A checkpoint, as far as can be told from outside; without the optimizer it can be loaded, not gone on from."""
    folder = runs.store.folder(run).checkpoints / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    for name in ("trainer_state.json", "weights", "optimizer.pt"):
        (folder / name).write_text("{}")
    files = {"weights": 2, "optimizer.pt": 2}
    (folder / "complete.json").write_text(json.dumps({"step": step, "best_step": best, "files": files}))
    if not optimizer:
        (folder / "optimizer.pt").unlink()
    return folder


def test_the_best_step_is_kept_and_where_its_weights_are_cut_the_last_one(runs: RunLifecycle) -> None:
    run = ended(runs)
    assert runs.progress(run).keeps is None, "nothing was saved"
    best = saved(runs, run, 4, best=4, optimizer=False)
    saved(runs, run, 8, best=4)
    assert runs.progress(run).keeps == 4
    (best / "weights").write_text("")
    assert runs.progress(run).keeps == 8


def test_a_checkpoint_that_can_be_loaded_is_enough_where_no_run_can_go_on(runs: RunLifecycle) -> None:
    run = ended(runs, "failed")
    saved(runs, run, 6, best=6, optimizer=False)
    assert runs.resume_point(run)[0] is None and runs.progress(run).keeps == 6


def test_a_run_that_is_to_keep_its_last_step_does(runs: RunLifecycle) -> None:
    run = ended(runs, keep_best=False)
    saved(runs, run, 4, best=4)
    saved(runs, run, 8, best=4)
    assert runs.progress(run).keeps == 8


def test_it_is_sent_to_a_worker_with_the_wish_to_keep_and_says_what_for(runs: RunLifecycle) -> None:
    run = ended(runs, "paused")
    saved(runs, run, 4, best=4)
    record = runs.finish(run)
    assert (record.status, record.stop_wish) == ("queued", "keep")
    assert runs.queue.position(run) == 0 and runs.processes.started == [("default", run)]  # type: ignore[attr-defined]
    assert runs.event_store.last(run, "state", 1)[0].event.message == "Finishes with the checkpoint from step 4."  # type: ignore[union-attr]
    assert runs.progress(run).keeps is None
    with pytest.raises(StudioError) as refusal:
        runs.finish(run)
    assert refusal.value.code == "wrong-state" and runs.get(run).status == "queued"


@pytest.mark.parametrize("state", ["finished", "queued"])
def test_a_run_that_has_finished_or_waits_is_refused(runs: RunLifecycle, state: str) -> None:
    run = ended(runs, state)
    saved(runs, run, 4, best=4)
    with pytest.raises(StudioError) as refusal:
        runs.finish(run)
    assert refusal.value.code == "wrong-state" and runs.get(run).status == state


def test_one_with_a_result_is_refused_and_one_whose_rows_are_gone_too(runs: RunLifecycle) -> None:
    run = ended(runs)
    saved(runs, run, 4, best=4)
    runs.store.update(run, has_result=True)
    with pytest.raises(StudioError, match="has a result already"):
        runs.finish(run)
    runs.store.update(run, has_result=False)
    runs.context.workspace.datasets.rows_path("data-1", 1).unlink()
    with pytest.raises(StudioError) as refusal:
        runs.finish(run)
    assert refusal.value.code == "no-such-dataset" and runs.get(run).status == "interrupted"


def test_the_page_offers_it_beside_going_on_and_only_where_there_is_a_step_to_keep(runs: RunLifecycle) -> None:
    progress = runs.progress(run := ended(runs))
    assert 'data-act="finish"' not in train.bar(progress) and "keeps" not in run_state(progress)
    saved(runs, run, 1200, best=1200)
    drawn = train.bar(progress := runs.progress(run))
    assert run_state(progress)["keeps"] == 1200
    assert "Finish with step 1,200" in drawn and 'data-act="finish"' in drawn and 'data-act="resume"' in drawn
