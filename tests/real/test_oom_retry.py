"""A run that goes wrong: out of memory it is tried once more; with a loss that is no number it keeps the good."""

import gc
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from made_runs import tiny_llama
from safetensors.torch import load_file
from small_trainings import chat_job, losses
from worker_runs import add_run, add_sample, log_of, record_of, start_worker, steps_of, wait_for

from studio.schema.errors import StudioError
from studio.schema.events import AdviceEvent, CheckpointEvent, StepEvent
from studio.schema.runs import RunSpec
from studio.services.context import Context
from studio.services.planning.probe import probe
from studio.store import Home
from studio.training.loop.callbacks import diverged
from studio.training.loop.checkpoints import Checkpoints
from studio.training.loop.run import train
from studio.worker.run import Worker


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    yield Home(tmp_path / "home")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets one narrow a process that runs")
def test_a_run_out_of_memory_is_tried_once_more_at_half_the_batch_and_says_so(home: Home, tmp_path: Path) -> None:
    tiny_llama(tmp_path / "tiny")
    data = add_sample(home, "support-tone", 80)
    run = add_run(
        home, data, str(tmp_path / "tiny"), epochs=200, eval_steps=20, early_stopping_patience=0, max_length=64
    )
    worker = start_worker(home, run)
    wait_for(lambda: len(steps_of(home, run)) > 7)
    process = psutil.Process(worker.pid)
    process.rlimit(psutil.RLIMIT_AS, (process.memory_info().vms, process.rlimit(psutil.RLIMIT_AS)[1]))
    events = home.workspace().events
    wait_for(lambda: events.after(run, kinds=("advice",)) or worker.poll() is not None)
    told = [each.event for each in events.after(run, kinds=("advice",))]
    assert any(isinstance(each, AdviceEvent) and "tried once more with 2" in each.message for each in told)
    spec = home.workspace().runs.spec(run)
    assert (spec.config.batch_size, spec.config.gradient_accumulation, spec.tried_again) == (2, 2, True)
    assert psutil.Process(worker.pid).is_running(), "the same process goes on, with an empty memory"
    wait_for(lambda: record_of(home, run).status in ("training", "failed"))
    home.workspace().runs.request_stop(run, "discard")
    worker.wait(120)
    assert "tried once more" in log_of(home, run)
    assert home.queue.entries() == []


def test_a_loss_that_is_no_number_ends_the_run_at_once_and_keeps_what_was_good(tmp_path: Path) -> None:
    job = chat_job(tmp_path / "run", tiny_llama(tmp_path / "base"), epochs=3, eval_steps=3)
    said: list[Any] = []

    def emit(event: Any) -> None:
        said.append(event)
        if isinstance(event, StepEvent) and event.step == 7:  # training diverges
            trainer = next(each for each in gc.get_objects() if type(each).__name__ == "SupervisedTrainer")
            with torch.no_grad():
                next(weight for weight in trainer.model.parameters() if weight.requires_grad).fill_(float("nan"))

    with pytest.raises(StudioError, match=r"not a number \(NaN\) at step 8") as refused:
        train(job, emit, lambda: None)
    assert "learning rate" in refused.value.message and "tenth" in refused.value.hint
    assert len(losses(said)) == 7
    saved = [event.step for event in said if isinstance(event, CheckpointEvent)]
    assert saved == [3, 6]
    kept = load_file(job.folder / "adapter" / "adapter_model.safetensors")
    assert all(weight.isfinite().all() for weight in kept.values())
    best = max(event.step for event in said if isinstance(event, CheckpointEvent) and event.best)
    checkpoint = load_file(job.folder / "checkpoints" / f"checkpoint-{best}" / "adapter_model.safetensors")
    assert all(torch.equal(weight, checkpoint[name]) for name, weight in kept.items())


def test_a_resumed_run_whose_loss_is_no_number_says_which_checkpoint_is_its_result_now(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_llama(tmp_path / "tiny")
    data = add_sample(home, "support-tone", 60)
    settings: dict[str, Any] = {"epochs": 200, "eval_steps": 10, "early_stopping_patience": 0, "max_length": 64}
    run = add_run(home, data, str(tmp_path / "tiny"), **settings, precision="float32", learning_rate=1e-2)
    worker, runs = start_worker(home, run), home.workspace().runs
    wait_for(lambda: len(steps_of(home, run)) > 11)
    runs.request_stop(run, "keep")
    assert worker.wait(60) == 0, log_of(home, run)
    runs.folder(run).report.write_text("{}")  # the evaluation of that model
    runs.set_status(run, "queued", stop_wish=None)
    home.queue.enqueue("default", run)

    def train_until_it_diverges(job: Any, emit: Any, should_stop: Any) -> Any:
        def told(event: Any) -> None:
            emit(event)
            if isinstance(event, StepEvent) and event.step > 50:
                raise diverged(event.step, 1e-2)

        return train(job, told, should_stop)

    monkeypatch.setattr("studio.worker.run.train_function", lambda processes: train_until_it_diverges)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # the signals of this process stay as they are
    assert Worker(home, "default", run).work() == 1
    record, kept = record_of(home, run), Checkpoints(runs.folder(run).checkpoints).to_keep()
    assert (record.status, record.has_result) == ("failed", True) and "diverged" in record.reason
    assert kept is not None and record.best_step == kept[0] > 11
    assert record.metrics["eval_loss"] == kept[1].best_loss and record.metrics["base_eval_loss"]
    assert not runs.folder(run).report.exists(), "it was about another model"


def test_a_probe_measures_and_leaves_nothing_behind(home: Home, tmp_path: Path) -> None:
    tiny_llama(tmp_path / "tiny")
    data = add_sample(home, "support-tone", 60)
    run = add_run(home, data, str(tmp_path / "tiny"), max_length=64, batch_size=2)
    home.queue.remove(run)
    spec: RunSpec = home.workspace().runs.spec(run)
    found = probe(Context(home, home.workspace(), False), spec)
    assert found.steps == 4 and found.tokens_per_second > 0
    assert 200 * 2**20 < found.memory_bytes < 4 * 2**30
    assert not home.workspace().runs.folder(run).checkpoints.exists()
    broken = spec.model_copy(update={"config": spec.config.model_copy(update={"model": str(tmp_path / "none")})})
    with pytest.raises(StudioError, match="The measurement failed"):
        probe(Context(home, home.workspace(), False), broken)


def test_a_probe_reports_to_no_experiment_tracker(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "curves"))
    tiny_llama(tmp_path / "tiny")
    data = add_sample(home, "support-tone", 60)
    run = add_run(home, data, str(tmp_path / "tiny"), max_length=64, batch_size=2, mirror="tensorboard")
    home.queue.remove(run)
    assert probe(Context(home, home.workspace(), False), home.workspace().runs.spec(run)).steps == 4
    assert not (tmp_path / "curves").exists()


def test_a_probe_waits_for_no_run_at_work(home: Home, tmp_path: Path) -> None:
    tiny_llama(tmp_path / "tiny")
    data = add_sample(home, "support-tone", 60)
    run = add_run(home, data, str(tmp_path / "tiny"), max_length=64, epochs=100, early_stopping_patience=0)
    worker = start_worker(home, run)
    wait_for(lambda: len(steps_of(home, run)) > 1)
    with pytest.raises(StudioError, match="A run is training"):
        probe(Context(home, home.workspace(), False), home.workspace().runs.spec(run))
    home.workspace().runs.request_stop(run, "discard")
    assert worker.wait(60) == 0
