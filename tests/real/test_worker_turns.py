"""The real worker gives its turn away and goes on as if nothing was; heeds its longest time; starts once."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_runs import add_run, log_of, record_of, start_worker, steps_of, wait_for

from studio.api import Studio
from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError
from studio.schema.events import EvaluationEvent
from studio.schema.report import ChatSettings
from studio.schema.requests import RunRequest
from studio.store import Home

TINY = {"precision": "float32", "learning_rate": 1e-2, "max_length": 96}
LONG = {**TINY, "epochs": 200, "eval_steps": 20, "early_stopping_patience": 0}
LOOKS = """
import sys
from tests import forked
forked.install()
from studio.api import Studio
studio = Studio(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
studio.reconcile()
print("looked", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def studio(home: Home) -> Iterator[Studio]:
    made = Studio(home.root)
    yield made
    made.close()


def test_a_paused_run_goes_on_to_the_very_result_of_one_that_never_was(
    home: Home, data: DatasetRecord, llama: str, studio: Studio
) -> None:
    settings = {**TINY, "epochs": 4, "eval_steps": 5, "lora_dropout": 0.1}
    plain = add_run(home, data, llama, **settings)
    assert start_worker(home, plain).wait(120) == 0, log_of(home, plain)
    run = add_run(home, data, llama, **settings)
    worker = start_worker(home, run)
    wait_for(lambda: len(steps_of(home, run)) >= 7)
    studio.runs.pause(run)
    assert worker.wait(60) == 0, log_of(home, run)
    paused = record_of(home, run)
    assert paused.status == "paused" and 7 <= paused.step < 36 and not paused.has_result
    assert home.queue.entries() == [] and f"after step {paused.step}" in paused.reason
    assert studio.runs.resume(run).status == "queued"
    wait_for(lambda: record_of(home, run).status == "finished")

    def said(of: str) -> tuple[list[float], list[tuple[int, float]]]:
        events = [each.event for each in home.workspace().events.after(of)]
        checks = [(each.step, each.eval_loss) for each in events if isinstance(each, EvaluationEvent)]
        return [each.loss for each in steps_of(home, of)], sorted(checks)

    assert said(run) == said(plain), "every step and every check, bit by bit"
    assert record_of(home, run).metrics == record_of(home, plain).metrics
    assert record_of(home, run).best_step == record_of(home, plain).best_step


def test_a_paused_run_lets_the_next_one_have_its_turn(
    home: Home, data: DatasetRecord, llama: str, studio: Studio
) -> None:
    first, second = add_run(home, data, llama, **LONG), add_run(home, data, llama, **TINY, max_steps=2)
    one = start_worker(home, first)
    wait_for(lambda: steps_of(home, first))
    studio.runs.pause(first)
    assert one.wait(180) == 0
    wait_for(lambda: record_of(home, second).status == "finished")
    assert record_of(home, first).status == "paused"


def test_a_run_stops_at_its_longest_time_keeps_the_best_and_has_as_long_again(
    home: Home, data: DatasetRecord, llama: str, studio: Studio
) -> None:
    run = add_run(home, data, llama, **LONG | {"epochs": 1000}, max_minutes=0.05)
    assert start_worker(home, run).wait(180) == 0, log_of(home, run)
    record = record_of(home, run)
    assert (record.status, record.has_result) == ("stopped", True), record.reason
    assert "after 0.05 minutes, its time limit" in record.reason and "is the result" in record.reason
    assert record.seconds is not None and 3 <= record.seconds < 60
    studio.runs.resume(run)
    wait_for(lambda: record_of(home, run).status == "training" and record_of(home, run).step > record.step + 3)
    studio.runs.stop(run)
    wait_for(lambda: record_of(home, run).status == "stopped")


def test_a_report_and_an_export_of_the_model_before_do_not_count_for_a_model_that_was_trained_further(
    home: Home, data: DatasetRecord, llama: str, studio: Studio
) -> None:
    run = add_run(home, data, llama, **LONG | {"keep_best": False})
    folder = home.workspace().runs.folder(run)
    worker = start_worker(home, run)
    for described in (False, True):
        before = len(steps_of(home, run))
        wait_for(lambda before=before: len(steps_of(home, run)) >= before + 3)
        studio.runs.stop(run)
        wait_for(lambda: record_of(home, run).status == "stopped")
        if described:
            break
        folder.exports.mkdir()
        for file in (folder.report, folder.exports / "onnx.json", folder.exports / "onnx.zip"):
            file.write_text("{}")
        studio.runs.resume(run)
    worker.wait(60)
    assert record_of(home, run).has_result and not folder.report.exists()
    assert [path.name for path in folder.exports.iterdir()] == ["onnx.zip"]


def test_a_run_that_does_not_fit_waits_and_says_why_while_another_trains(
    home: Home, data: DatasetRecord, llama: str, studio: Studio
) -> None:
    large, small = add_run(home, data, llama, **TINY), add_run(home, data, llama, **TINY, max_steps=2)
    home.queue.remove(large)
    home.queue.remove(small)
    home.queue.enqueue("default", large, 2**50)
    home.queue.enqueue("default", small, 2**20)
    waiting = start_worker(home, large)
    wait_for(lambda: "Waiting" in log_of(home, large))
    wait_for(lambda: record_of(home, small).status == "finished")  # the one that waits has started its worker
    assert "it needs about 1048576.0 GB" in studio.runs.progress(large).sentence
    studio.runs.stop(large)
    assert waiting.wait(30) == 0


def rivals(program: str, count: int, *arguments: str) -> list[str]:
    """Processes that get ready, and then act in the same moment; what each said."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
        for _ in range(count)
    ]
    said = []
    for rival in started:
        assert rival.stdout is not None and rival.stdout.readline() == "ready\n"
    for rival in started:
        assert rival.stdin is not None
        rival.stdin.write("\n")
        rival.stdin.flush()
    for rival in started:
        assert rival.stdout is not None
        said.append(rival.stdout.readline().strip())
    for rival in started:
        rival.communicate("\n")
    return said


def test_several_servers_that_find_a_run_without_a_worker_start_it_once(
    home: Home, data: DatasetRecord, llama: str
) -> None:
    run = add_run(home, data, llama, **TINY, max_steps=3)
    with home.queue.db.write() as connection:
        connection.execute("UPDATE entries SET called = ''")
    assert rivals(LOOKS, 2, str(home.root)) == ["looked"] * 2
    wait_for(lambda: record_of(home, run).status == "finished")
    time.sleep(1)
    states = [each.event.status for each in home.workspace().events.after(run, kinds=("state",))]  # type: ignore[union-attr]
    assert states == ["queued", "starting", "training", "finished"]
    assert [event.step for event in steps_of(home, run)] == [1, 2, 3]


def first_validation(home: Home, run: str) -> EvaluationEvent:
    """The one with the lowest step. On a busy machine, that of the base model is not the first event."""
    events = [each.event for each in home.workspace().events.after(run, kinds=("evaluation",))]
    return min((each for each in events if isinstance(each, EvaluationEvent)), key=lambda each: each.step)


def test_a_run_again_and_two_passes_more_learn_on_the_same_rows(
    home: Home, data: DatasetRecord, llama: str, studio: Studio
) -> None:
    first = studio.runs.start(
        RunRequest(
            dataset=data.id, model=llama, task="chat", settings={**TINY, "epochs": 2, "lora_rank": 4, "eval_steps": 5}
        )
    )
    wait_for(lambda: record_of(home, first.id).status == "finished")
    again = studio.runs.rerun(first.id, {"learning_rate": 5e-3}, "slower")
    before, after = studio.runs.spec(first.id), studio.runs.spec(again.id)
    differ = {name for name, value in before.config.model_dump().items() if getattr(after.config, name) != value}
    assert differ == {"learning_rate", "name"}
    assert (after.dataset_version, after.splits, after.data) == (before.dataset_version, before.splits, before.data)
    assert "learning rate 0.005 instead of 0.01" in after.because[0]
    more = studio.runs.extend(first.id, 1)
    spec = studio.runs.spec(more.id)
    assert (spec.config.start_from, spec.config.epochs, spec.config.lora_rank) == (first.id, 1, 4)
    assert "1 more epoch" in spec.because[0] and "starts again" in spec.because[0]
    wait_for(lambda: record_of(home, more.id).status == "finished")
    began = first_validation(home, more.id)
    assert began.step == 0
    assert began.eval_loss == pytest.approx(record_of(home, first.id).metrics["eval_loss"], abs=2e-3)
    with pytest.raises(StudioError) as refused:
        studio.runs.extend(studio.runs.rerun(first.id, {"max_steps": 1}).id)
    assert refused.value.code == "wrong-state" and "Resume" in refused.value.hint
    wait_for(lambda: not home.queue.entries())


def test_whole_models_go_on_from_what_they_learned_too(
    home: Home, data: DatasetRecord, llama: str, studio: Studio
) -> None:
    settings = {**TINY, "learning_rate": 1e-3, "epochs": 2}
    first = studio.runs.start(RunRequest(dataset=data.id, model=llama, task="chat", method="full", settings=settings))
    wait_for(lambda: record_of(home, first.id).status == "finished")
    more = studio.runs.extend(first.id, 1)
    wait_for(lambda: record_of(home, more.id).status == "finished")
    began = first_validation(home, more.id)
    assert began.eval_loss == pytest.approx(record_of(home, first.id).metrics["eval_loss"], abs=2e-3)


def test_a_run_that_was_taken_to_another_home_is_chatted_with_and_exported_there(
    home: Home, data: DatasetRecord, llama: str, studio: Studio, tmp_path: Path
) -> None:
    run = add_run(home, data, llama, **TINY, epochs=2)
    assert start_worker(home, run).wait(120) == 0, log_of(home, run)
    file = studio.saved.export_archive(run, tmp_path / "run.zip")
    copied, taken = Studio(tmp_path / "copied"), Studio(tmp_path / "taken")
    asked = [{"role": "user", "content": "Where is my parcel?"}]
    plain = ChatSettings(temperature=0.0, max_new_tokens=8)

    def reply(of: Studio) -> str:
        """The whole reply of the tuned model: each piece has all of it so far."""
        return [chunk.text for chunk in of.chat.stream(run, asked, plain) if chunk.who == "tuned"][-1]

    try:
        shutil.copytree(home.workspace().runs.folder(run).root, copied.context.workspace.runs.root / run)
        assert taken.saved.import_archive(file).id == run
        here = reply(studio)
        assert here
        for there in (copied, taken):
            there.reconcile()
            assert [each.status for each in there.runs.all()] == ["finished"]
            assert reply(there) == here
            assert there.exports.create(run, "adapter").tested
        assert [each.id for each in copied.datasets.all()] == [data.id], "a folder has its rows in it"
        assert copied.evaluation.evaluate(run)
        with pytest.raises(StudioError) as refused:
            taken.runs.rerun(run)
        assert refused.value.code == "no-such-dataset"
    finally:
        copied.close()
        taken.close()
