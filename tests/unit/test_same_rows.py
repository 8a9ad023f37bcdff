"""What is tried again or side by side learns from the same rows, whatever has become of the datasets since."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from test_services_runs import Away, Starts

from studio.api import Shared, Studio
from studio.data.formats import read_text
from studio.schema.requests import RunRequest, SearchRequest
from studio.services.runners import RUNNERS, Runners
from studio.services.runners.worker_processes import WorkerProcesses
from studio.store import Home


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    home, starts = Home(tmp_path / "home"), cast(WorkerProcesses, Starts())
    shared = replace(Shared.of(home), processes=starts, runners=Runners(home, starts))
    made = Studio(home, shared=shared)
    yield made
    made.close()


def rows(studio: Studio, what: str) -> str:
    return studio.datasets.add_text(
        "question,answer\n" + "".join(f"How is {what} {n}?,It is fine.\n" for n in range(40))
    ).id


@pytest.mark.slow
def test_a_run_again_mixes_in_the_general_rows_that_it_was_given(studio: Studio) -> None:
    own, general = rows(studio, "it"), rows(studio, "that")
    mixed = {"replay": 0.2, "replay_from": general}
    run = studio.runs.start(
        RunRequest(dataset=own, model="starter-chat", task="chat", method="lora", settings=mixed)
    ).id
    before = studio.runs.spec(run)
    studio.editing.edit(general, 1, {"answer": "It is not."})
    again = studio.runs.spec(studio.runs.rerun(run, {"learning_rate": 1e-4}).id)
    assert before.replay and again.replay == before.replay and again.replay.version == 1
    assert studio.runs.spec(studio.runs.rerun(run, {"replay": 0.0}).id).replay is None


def test_all_trials_of_a_search_learn_from_the_rows_that_it_began_with(studio: Studio) -> None:
    own = rows(studio, "it")
    view = studio.search.start(
        SearchRequest(run=RunRequest(dataset=own, model="starter-chat", task="chat", method="lora"), trials=3)
    )
    first = view.trials[0].run
    studio.editing.edit(own, 1, {"answer": "It is not."})
    studio.context.workspace.runs.set_status(first, "failed")
    second = studio.search.advance(view.spec.id).trials[1].run
    assert second and second != first
    before, after = studio.runs.spec(first), studio.runs.spec(second)
    assert (after.dataset_version, after.data, after.splits) == (1, before.data, before.splits)
    assert studio.datasets.get(own).version == 2


def test_all_trials_of_a_search_train_where_and_validate_on_what_was_chosen(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RUNNERS, "_objects", {**RUNNERS, Away.name: Away})
    own, other = rows(studio, "it"), rows(studio, "that")
    chosen = {"method": "lora", "validation": other, "runner": Away.name}
    run = RunRequest(dataset=own, model="starter-chat", task="chat", **chosen)
    view = studio.search.start(SearchRequest(run=run, trials=3))
    studio.context.workspace.runs.set_status(view.trials[0].run, "failed")
    for trial in studio.search.advance(view.spec.id).trials[:2]:
        spec = studio.runs.spec(trial.run)
        assert (spec.runner, spec.validation_dataset) == (Away.name, other)


def test_a_run_again_is_planned_for_the_rows_that_it_was_given(studio: Studio) -> None:
    own = rows(studio, "it")
    run = studio.runs.start(RunRequest(dataset=own, model="starter-chat", task="chat", method="lora")).id
    before = studio.runs.spec(run)
    other = read_text("question\n" + "".join(f"How is it {n}?\n" for n in range(400)))
    studio.datasets.write(other, studio.datasets.get(own), "Read again without the answers.")
    again = studio.runs.spec(studio.runs.rerun(run).id)
    assert (again.dataset_version, again.data, again.splits) == (1, before.data, before.splits)
    same = {"name": "", "preset": ""}
    assert again.config.model_copy(update=same) == before.config.model_copy(update=same)
