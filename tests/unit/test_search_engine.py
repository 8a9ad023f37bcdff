"""How a search moves on: with runs of a small stand-in, and Optuna itself."""

from pathlib import Path
from queue import Queue
from types import SimpleNamespace
from typing import Any

import pytest

from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError
from studio.schema.events import EvaluationEvent
from studio.schema.search import SearchSpec, SearchView
from studio.services.runners.worker_processes import WorkerProcesses
from studio.services.runs.search_engine import SearchEngine, budget_problems, search_problems, space
from studio.store import Home
from studio.store.searches import SearchStore, at_work
from tests.visitors import new_visitor

CONFIG = TrainingConfig(task="chat", model="m", learning_rate=1e-3, epochs=4, batch_size=4, lora_rank=8)
SPEC = SearchSpec(id="", name="looking", dataset="d", model="m", trials=6)


class Runs:
    """Runs that end when they are told to, with a loss that is least at a rate of 0.002."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}
        self.store = self
        self.has_room = lambda: True

    def start(self, spec: SearchSpec, settings: dict[str, Any], name: str) -> Any:
        run = SimpleNamespace(id=f"r{len(self.known)}", status="training", seconds=60.0, losses=[], settings=settings)
        self.known[run.id] = run
        return run

    def get(self, run: str) -> Any:
        if run not in self.known:
            raise StudioError("no-such-run", f"There is no run {run}.")
        return self.known[run]

    def events(self, run: str, kinds: tuple[str, ...]) -> list[Any]:
        losses = self.known[run].losses
        return [SimpleNamespace(event=EvaluationEvent(step=n + 1, eval_loss=x)) for n, x in enumerate(losses)]

    def stop(self, run: str, wish: str) -> None:
        self.known[run].status, self.known[run].wish = "stopped", wish

    def end(self, run: str, status: str = "finished") -> None:
        """A run ends with the loss of its rate."""
        found = self.known[run]
        found.losses = [3.0, 2.0 + 100 * abs(found.settings["learning_rate"] - 2e-3)]
        found.status = status


@pytest.fixture
def runs() -> Runs:
    return Runs()


def searches(runs: Any, folder: Path) -> SearchEngine:
    return SearchEngine(SearchStore(Home(folder).workspace()), runs, runs.start)


def through(runs: Runs, folder: Path, view: SearchView) -> SearchView:
    """End each trial as it comes; each look is by somebody who knows nothing but the folder."""
    for _ in range(40):
        view = searches(runs, folder).advance(view.spec.id)
        if view.status != "running":
            return view
        searches(runs, folder).advance(view.spec.id)
        runs.end(view.trials[-1].run)
    raise AssertionError("the search does not end")


def test_six_trials_one_after_the_other_the_preset_first_and_the_best_no_worse(runs: Runs, tmp_path: Path) -> None:
    view = searches(runs, tmp_path).begin(SPEC, CONFIG, 100)
    assert (
        view.trials[0].settings
        == view.spec.first
        == {
            "learning_rate": 1e-3,
            "epochs": 4,
            "batch_size": 4,
            "lora_rank": 8,
        }
    )
    assert len(view.trials) == 1, "one at a time"
    done = through(runs, tmp_path, view)
    assert (done.status, len(done.trials), len(runs.known)) == ("finished", 6, 6)
    assert len({tuple(trial.settings.values()) for trial in done.trials}) == 6, "no set is tried twice"
    values = {trial.number: trial.value for trial in done.trials}
    assert values[done.best] == min(values.values()) <= values[0]  # type: ignore[index,type-var,operator]
    best = searches(runs, tmp_path).best_settings(done.spec.id)
    assert best == next(trial.settings for trial in done.trials if trial.number == done.best)


def test_looking_at_a_search_writes_nothing(runs: Runs, tmp_path: Path) -> None:
    view = searches(runs, tmp_path).begin(SPEC, CONFIG, 100)
    file = SearchStore(Home(tmp_path).workspace()).trials_file(view.spec.id)
    before = file.read_bytes()
    searches(runs, tmp_path).get(view.spec.id)
    searches(runs, tmp_path).advance(view.spec.id)
    assert file.read_bytes() == before


def test_a_search_whose_file_is_damaged_says_so(runs: Runs, tmp_path: Path) -> None:
    view = searches(runs, tmp_path).begin(SPEC, CONFIG, 100)
    file = SearchStore(Home(tmp_path).workspace()).trials_file(view.spec.id)
    file.write_bytes(file.read_bytes()[:-20] + b"\n{}\n")
    with pytest.raises(StudioError, match="can't be read") as refused:
        searches(runs, tmp_path).get(view.spec.id)
    assert refused.value.code == "unreadable-file"


def test_a_trial_that_was_killed_or_deleted_has_failed_and_the_search_goes_on(runs: Runs, tmp_path: Path) -> None:
    view = searches(runs, tmp_path).begin(SPEC, CONFIG, 100)
    runs.end(view.trials[0].run)
    view = searches(runs, tmp_path).advance(view.spec.id)
    runs.end(view.trials[1].run, "interrupted")
    view = searches(runs, tmp_path).advance(view.spec.id)
    del runs.known[view.trials[2].run]
    done = through(runs, tmp_path, view)
    assert [trial.state for trial in done.trials[:3]] == ["finished", "failed", "failed"]
    assert done.status == "finished" and done.best is not None


def test_a_trial_that_does_badly_is_given_up_early(runs: Runs, tmp_path: Path) -> None:
    view = searches(runs, tmp_path).begin(SPEC, CONFIG, 100)
    for _ in range(3):
        runs.end(view.trials[-1].run)
        view = searches(runs, tmp_path).advance(view.spec.id)
    bad = runs.known[view.trials[-1].run]
    bad.losses = [9.0, 9.5]
    searches(runs, tmp_path).advance(view.spec.id)
    assert bad.status == "stopped"
    view = searches(runs, tmp_path).advance(view.spec.id)
    assert view.trials[3].state == "pruned" and len(view.trials) == 5


def test_a_bad_trial_that_is_first_looked_at_after_the_last_value_of_the_others_is_given_up_too(
    runs: Runs, tmp_path: Path
) -> None:
    view = searches(runs, tmp_path).begin(SPEC, CONFIG, 100)
    for _ in range(3):
        runs.end(view.trials[-1].run)
        view = searches(runs, tmp_path).advance(view.spec.id)
    bad = runs.known[view.trials[-1].run]
    bad.losses = [9.0, 9.5, 9.4, 9.3, 9.2]
    searches(runs, tmp_path).advance(view.spec.id)
    assert bad.status == "stopped"


def test_when_the_minutes_are_over_the_trial_at_work_ends_with_its_best_kept_and_counts(
    runs: Runs, tmp_path: Path
) -> None:
    view = searches(runs, tmp_path).begin(SPEC.model_copy(update={"minutes": 1.5}), CONFIG, 100)
    runs.end("r0")
    searches(runs, tmp_path).advance(view.spec.id)
    second = runs.known["r1"]
    second.seconds, second.losses = 20.0, [1.5]
    searches(runs, tmp_path).advance(view.spec.id)
    assert second.status == "training", "80 seconds of 90"
    second.seconds = 30.0
    searches(runs, tmp_path).advance(view.spec.id)
    assert (second.status, second.wish) == ("stopped", "keep")
    done = searches(runs, tmp_path).advance(view.spec.id)
    assert (done.status, done.best, done.trials[1].value, len(runs.known)) == ("finished", 1, 1.5, 2)


def test_the_minutes_of_a_trial_count_when_its_run_has_been_deleted(runs: Runs, tmp_path: Path) -> None:
    view = searches(runs, tmp_path).begin(SPEC.model_copy(update={"minutes": 1.5}), CONFIG, 100)
    runs.end("r0")
    runs.known["r0"].seconds = 100.0
    searches(runs, tmp_path).advance(view.spec.id)
    del runs.known["r0"]
    assert (searches(runs, tmp_path).advance(view.spec.id).status, len(runs.known)) == ("finished", 0)


def test_a_trial_that_the_minutes_end_before_its_first_check_was_given_up(runs: Runs, tmp_path: Path) -> None:
    view = searches(runs, tmp_path).begin(SPEC.model_copy(update={"minutes": 1}), CONFIG, 100)
    searches(runs, tmp_path).advance(view.spec.id)
    done = searches(runs, tmp_path).advance(view.spec.id)
    assert (done.status, [trial.state for trial in done.trials], done.best) == ("finished", ["pruned"], None)


def test_minutes_alone_allow_as_many_trials_as_they_hold(runs: Runs, tmp_path: Path) -> None:
    alone = SPEC.model_copy(update={"trials": 0, "minutes": 7.5})
    view = searches(runs, tmp_path).begin(alone, CONFIG, 100)
    assert view.sentence.startswith("Trials done: 0. The search ends after 7.5 minutes of training.")
    assert len(through(runs, tmp_path, view).trials) == 8


def test_a_search_whose_trials_fail_one_after_the_other_ends_and_says_so(runs: Runs, tmp_path: Path) -> None:
    view = searches(runs, tmp_path).begin(SPEC.model_copy(update={"trials": 0, "minutes": 9}), CONFIG, 100)
    for _ in range(10):
        if view.status != "running":
            break
        runs.known.clear()  # each is deleted
        view = searches(runs, tmp_path).advance(view.spec.id)
    assert (view.status, {trial.state for trial in view.trials}, len(view.trials)) == ("finished", {"failed"}, 5)
    assert "The last 5 have failed" in view.sentence


def test_the_preset_is_not_called_the_best_if_its_trial_has_failed(runs: Runs, tmp_path: Path) -> None:
    view = searches(runs, tmp_path).begin(SPEC, CONFIG, 100)
    runs.end(view.trials[0].run, "interrupted")
    view = searches(runs, tmp_path).advance(view.spec.id)
    runs.end(view.trials[1].run)
    view = searches(runs, tmp_path).advance(view.spec.id)
    assert view.best == 1
    assert view.sentence.endswith(f"Trial 2 has the best result so far: validation loss {view.trials[1].value:.4f}.")


def test_the_home_knows_which_searches_are_at_work(runs: Runs, tmp_path: Path) -> None:
    view = searches(runs, tmp_path).begin(SPEC.model_copy(update={"trials": 1}), CONFIG, 100)
    assert at_work(Home(tmp_path)) == [("default", view.spec.id)]
    runs.end("r0")
    assert searches(runs, tmp_path).advance(view.spec.id).status == "finished"
    assert at_work(Home(tmp_path)) == []


def test_no_trial_begins_after_a_stop(runs: Runs, tmp_path: Path) -> None:
    other = searches(runs, tmp_path).begin(SPEC, CONFIG, 100)
    stopped = searches(runs, tmp_path).stop(other.spec.id)
    assert (stopped.status, len(stopped.trials)) == ("stopped", 1)


def test_a_search_whose_trial_is_paused_can_be_stopped(runs: Runs, tmp_path: Path) -> None:
    view = searches(runs, tmp_path).begin(SPEC, CONFIG, 100)
    runs.known["r0"].status = "paused"
    assert searches(runs, tmp_path).advance(view.spec.id).status == "running"
    assert searches(runs, tmp_path).stop(view.spec.id).status == "stopped"
    assert runs.known["r0"].status == "stopped" and at_work(Home(tmp_path)) == []


def test_the_end_of_a_trials_run_begins_the_next_one_and_of_another_run_nothing(runs: Runs, tmp_path: Path) -> None:
    view = searches(runs, tmp_path).begin(SPEC, CONFIG, 100)
    (first,) = runs.known
    other = runs.start(SPEC, {"learning_rate": 1e-3}, "of no search")
    runs.end(first)
    runs.end(other.id)
    searches(runs, tmp_path).run_ended(other.id)
    assert len(runs.known) == 2, "nobody has looked"
    searches(runs, tmp_path).run_ended(first)
    assert len(runs.known) == 3
    assert [trial.state for trial in searches(runs, tmp_path).advance(view.spec.id).trials] == ["finished", "running"]


@pytest.mark.slow
def test_who_started_a_run_is_told_when_its_worker_has_ended(tmp_path: Path) -> None:
    runner, told = WorkerProcesses(tmp_path), Queue[str]()
    runner.on_run_end("mine", told.put)
    runner.start("other", "r1", tmp_path / "r1.log")  # neither is known to the worker, which ends at once
    runner.start("mine", "r2", tmp_path / "r2.log")
    assert told.get(timeout=60) == "r2" and told.empty()


def test_the_budget_in_minutes_is_said(runs: Runs, tmp_path: Path) -> None:
    view = searches(runs, tmp_path).begin(SPEC.model_copy(update={"minutes": 90}), CONFIG, 100)
    assert "0 of 6 trials done. The search ends after 90 minutes of training" in view.sentence


def test_what_was_set_by_hand_is_not_varied(runs: Runs, tmp_path: Path) -> None:
    by_hand = {"learning_rate": 1e-3, "epochs": 2, "batch_size": 4}
    view = searches(runs, tmp_path).begin(SPEC.model_copy(update={"settings": by_hand}), CONFIG, 100)
    assert set(view.trials[0].settings) == {"lora_rank"}


def test_a_search_with_nothing_to_vary_and_no_rows_to_judge_by_is_told_both() -> None:
    assert search_problems(CONFIG, {"learning_rate": 1e-3}, 100, 10) == []
    by_hand = {"learning_rate": 1e-3, "epochs": 2, "batch_size": 4, "lora_rank": 8}
    found = search_problems(CONFIG, by_hand, 100, 0)
    assert [each.field for each in found] == ["validation_share", "learning_rate"]
    assert "validation rows" in found[0].message and "all settings that a search would vary" in found[1].message


@pytest.mark.parametrize(
    ("trials", "minutes", "field"),
    [(0, 0, "trials"), (501, 5, "trials"), (3, -1, "minutes"), (None, float("inf"), "minutes")],
)
def test_a_budget_that_can_t_be_is_told_at_its_field(trials: int | None, minutes: float, field: str) -> None:
    assert [each.field for each in budget_problems(trials, minutes)] == [field]
    assert budget_problems(3, 0) == budget_problems(None, 5) == []


def test_the_space_holds_the_preset_and_stays_within_the_rows() -> None:
    found = space(CONFIG, 5)
    assert found["batch_size"] == (2, 4) and 8 in found["lora_rank"]
    assert found["learning_rate"][0] < 1e-3 < found["learning_rate"][1] <= 0.1
    assert "lora_rank" not in space(CONFIG.model_copy(update={"method": "full"}), 100)


def test_a_visitor_of_a_demo_has_one_running_search_and_the_newest_ones_are_kept(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.store.searches.KEPT", 2)
    home = Home(tmp_path)
    store = SearchStore(new_visitor(home))
    engine = SearchEngine(store, runs, runs.start)  # type: ignore[arg-type]
    begun = []
    for _ in range(3):
        begun.append(engine.begin(SPEC, CONFIG, 100).spec.id)
        for _ in range(2):
            with pytest.raises(StudioError, match="still running") as refused:
                engine.begin(SPEC, CONFIG, 100)
            assert refused.value.code == "limit-reached"
        SearchEngine(SearchStore(new_visitor(home)), runs, runs.start).begin(SPEC, CONFIG, 100)  # type: ignore[arg-type]
        assert engine.stop(begun[-1]).status == "stopped"
    assert {each.id for each in store.all()} == set(begun[1:])
    assert len(at_work(home)) == 3, "only those of the others"
