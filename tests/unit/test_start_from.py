"""A run begins with an earlier run's result only where that result ends in the layers that it needs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.requests import RunRequest
from studio.schema.runs import RunSpec
from studio.schema.settings_check import config_from
from studio.worker.job import training_job

CHAT = {"question": "prompt", "answer": "reply"}
LABEL = {"text": "text", "label": "label"}
ONE_FITS = DatasetSpec(task="classification", roles=LABEL, label_names=("bad", "good"))
SEVERAL_FIT = DatasetSpec(task="classification", roles={"text": "text", "label": "labels"}, label_names=("bad", "good"))
A_SCORE = DatasetSpec(task="classification", roles={"text": "text", "label": "score"})


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    made = Studio(tmp_path / "home")
    yield made
    made.close()


def learned(studio: Studio, model: str, data: DatasetSpec, method: str = "lora") -> str:
    """A run that has ended, and left a result."""
    config = config_from({"task": data.task, "model": model, "name": "earlier", "method": method})
    runs = studio.context.workspace.runs
    run = runs.create(RunSpec(config=config, dataset="data-1", dataset_version=1, data=data, splits=SplitSpec())).id
    folder = runs.folder(run)
    left = folder.model / "config.json" if method == "full" else folder.adapter / "adapter_config.json"
    left.parent.mkdir(parents=True)
    left.write_text("{}")
    runs.set_status(run, "finished", has_result=True)
    return run


def rows(studio: Studio, task: str) -> str:
    """Thirty rows for a task."""
    lines = {
        "classification": ["text,label", *(f"Parcel {n} came.,{('good', 'bad')[n % 2]}" for n in range(30))],
        "chat": ["question,answer", *(f"How is number {n}?,It is fine as number {n}." for n in range(30))],
        "question-answering": [
            "question,context,answer",
            *(f"When does shop {n} open?,Shop {n} opens at {n} in the morning.,{n}" for n in range(30)),
        ],
    }
    return studio.datasets.add_text("\n".join(lines[task])).id


def begun(studio: Studio, run: str, task: str, model: str, method: str = "lora") -> str:
    """With what a run for this task is planned to begin."""
    settings = {"start_from": run}
    return studio.planning.plan(
        RunRequest(dataset=rows(studio, task), model=model, task=task, method=method, settings=settings)
    ).plan.config.start_from


def refused(*asked: Any) -> StudioError:
    """The one thing that is said against it."""
    with pytest.raises(StudioError) as caught:
        begun(*asked)
    (problem,) = caught.value.all()
    assert (problem.code, problem.field) == ("bad-setting", "start_from") and problem.hint
    return problem


@pytest.mark.parametrize(
    ("model", "data", "task"),
    [
        ("starter-classify", ONE_FITS, "question-answering"),
        ("starter-chat", ONE_FITS, "chat"),
        ("starter-chat", DatasetSpec(task="chat", roles=CHAT), "classification"),
    ],
)
def test_an_adapter_of_a_task_that_ends_in_other_layers_is_refused(
    studio: Studio, model: str, data: DatasetSpec, task: str
) -> None:
    problem = refused(studio, learned(studio, model, data), task, model)
    assert "another task" in problem.what
    assert problem.given and str(problem.valid).startswith("a run for")


@pytest.mark.parametrize(
    ("data", "given"),
    [
        (ONE_FITS.model_copy(update={"label_names": ("bad", "fair", "good")}), "one label of bad, fair and good"),
        (ONE_FITS.model_copy(update={"label_names": ("no", "yes")}), "one label of no and yes"),
        (SEVERAL_FIT, "several labels of bad and good"),
        (A_SCORE, "a score"),
    ],
)
def test_a_result_that_tells_other_labels_apart_is_refused(studio: Studio, data: DatasetSpec, given: str) -> None:
    for method in ("lora", "full"):
        run = learned(studio, "starter-classify", data, method)
        problem = refused(studio, run, "classification", "starter-classify", method)
        assert "other labels" in problem.what
        assert (problem.given, problem.valid) == (given, "one label of bad and good")


def test_results_that_end_alike_are_begun_with_also_across_tasks(studio: Studio) -> None:
    """Pairs after a chat, a chat after plain text; a whole model gets new layers for labels or answers."""
    plain = learned(studio, "starter-chat", DatasetSpec(task="completion", roles={"text": "text"}))
    same = learned(studio, "starter-classify", ONE_FITS)
    whole = learned(studio, "starter-classify", ONE_FITS, "full")
    assert begun(studio, plain, "chat", "starter-chat") == plain
    assert begun(studio, same, "classification", "starter-classify") == same
    assert begun(studio, whole, "question-answering", "starter-classify", "full") == whole


def test_without_rows_only_the_tasks_are_compared(studio: Studio) -> None:
    run = learned(studio, "starter-classify", ONE_FITS)
    asked: dict[str, Any] = {"method": "lora", "settings": {"start_from": run}}
    assert (
        studio.planning.plan(
            RunRequest(dataset=None, model="starter-classify", task="classification", **asked)
        ).plan.config.start_from
        == run
    )
    with pytest.raises(StudioError, match="another task"):
        studio.planning.plan(RunRequest(dataset=None, model="starter-classify", task="question-answering", **asked))


def test_a_run_whose_beginning_was_deleted_while_it_waited_is_refused_and_does_not_begin_with_the_base(
    studio: Studio,
) -> None:
    earlier, place = learned(studio, "starter-chat", DatasetSpec(task="chat", roles=CHAT)), studio.context.workspace
    data = rows(studio, "chat")
    reading = studio.datasets.spec(data)
    config = config_from({"task": "chat", "model": "starter-chat", "method": "lora", "start_from": earlier})
    spec = RunSpec(config=config, dataset=data, dataset_version=1, data=reading, splits=SplitSpec())
    run = place.runs.create(spec).id
    assert training_job(place, run, spec)[0].start_weights == place.runs.folder(earlier).adapter
    studio.runs.delete(earlier)
    with pytest.raises(StudioError) as refusal:
        training_job(place, run, spec)
    assert (refusal.value.code, refusal.value.field, refusal.value.given) == ("no-such-run", "start_from", earlier)
    saved = place.runs.folder(run).checkpoints / "checkpoint-4"
    saved.mkdir(parents=True)
    for name in ("trainer_state.json", "optimizer.pt"):
        (saved / name).write_text("{}")
    (saved / "complete.json").write_text('{"step": 4, "files": {}}')
    assert training_job(place, run, spec)[0].start_weights is None, "it goes on from its own checkpoint"
