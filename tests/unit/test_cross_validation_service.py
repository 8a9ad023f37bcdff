"""Cross-validations before anything is trained: the runs that are queued, their states, and what is refused."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from studio.api import Studio
from studio.schema.errors import StudioError
from studio.schema.limits import DEMO
from studio.schema.report import Report
from studio.schema.requests import RunRequest
from studio.schema.runs import RunRecord
from studio.ui.tabs import cross_validation
from studio.ui.visitors.session import Sessions
from tests.said import caller
from tests.unit.test_cli_runs import ROLES, ROWS, NoHost, NoWorkers


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    """A studio whose runs wait without a worker."""
    monkeypatch.setattr("studio.api.WorkerProcesses", NoWorkers)
    monkeypatch.setattr("studio.api.LengthCache", NoHost)
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    made = Studio(tmp_path / "home")
    yield made
    made.close()


def trained(studio: Studio, rows: str = ROWS, **splits: object) -> RunRecord:
    """A run of 30 rows, of which 3 were for test, as its worker leaves it after 60 seconds."""
    what = {"dataset": studio.datasets.add_text(rows).id, "model": "starter-chat", "task": "chat", "roles": ROLES}
    run = studio.runs.start(RunRequest(**what, splits=splits, prompts=("How is it?",), name="answers"))
    runs, numbers = studio.runs.store, list(range(1, 31))
    folder = runs.folder(run.id)
    folder.adapter.mkdir(parents=True)
    (folder.adapter / "adapter_config.json").write_text("{}")
    folder.splits.write_text(json.dumps({"train": numbers[6:], "validation": numbers[3:6], "test": numbers[:3]}))
    ended(studio, run.id)
    return studio.runs.get(run.id)


def ended(studio: Studio, run: str, status: str = "finished", **changes: object) -> None:
    studio.runs.store.set_status(run, status, **{"has_result": status == "finished", **changes})
    studio.runs.queue.remove(run)


def test_a_run_for_each_fold_is_queued_with_the_same_settings(studio: Studio) -> None:
    run = trained(studio)
    view = studio.cross_validation.start(run.id, 5)
    assert [each.name for each in view.runs] == [f"answers · fold {number} of 5" for number in range(1, 6)]
    before = studio.runs.spec(run.id)
    for number, each in enumerate(view.runs, start=1):
        spec = studio.runs.spec(each.id)
        assert spec.fold is not None and (spec.fold.number, spec.fold.count) == (number, 5)
        same = {"config": spec.config, "fold": None, "because": (), "seconds": 0.0, "seconds_range": None}
        other = {**same, "config": before.config.model_copy(update={"name": spec.config.name, "test_prompts": ()})}
        assert spec.model_copy(update=same) == before.model_copy(update=other)
        assert spec.because == (f"Fold {number} of 5 of a cross-validation of answers, with the same settings.",)
    assert view.status == "training" and view.sentence == "0 of 5 folds are trained."
    assert studio.cross_validation.start(run.id, 5).runs == view.runs, "a second click starts nothing"
    with pytest.raises(StudioError, match="another number of folds is in progress"):
        studio.cross_validation.start(run.id, 3)


def test_a_fold_without_a_model_is_named_with_its_reason(studio: Studio) -> None:
    run = trained(studio)
    view = studio.cross_validation.start(run.id, 2)
    ended(studio, view.runs[0].id)
    ended(studio, view.runs[1].id, "failed", reason="The disk is full.")
    failed = studio.cross_validation.view(run.id)
    assert failed and failed.status == "failed"
    assert failed.sentence == "Fold 2 of 2 has no model. The disk is full."
    with pytest.raises(StudioError, match="is not complete"):
        studio.cross_validation.evaluate(run.id)
    studio.runs.delete(view.runs[1].id)
    deleted = studio.cross_validation.view(run.id)
    assert deleted and "was deleted" in deleted.sentence
    again = studio.cross_validation.start(run.id, 2)
    assert again.status == "training" and not {each.id for each in again.runs} & {each.id for each in view.runs}


def test_an_interrupted_fold_is_resumed_and_the_trained_ones_stay(studio: Studio) -> None:
    run = trained(studio)
    view = studio.cross_validation.start(run.id, 2)
    ended(studio, view.runs[0].id)
    ended(studio, view.runs[1].id, "interrupted", reason="The machine was restarted.")
    lost = studio.cross_validation.view(run.id)
    assert lost and lost.status == "paused"
    assert lost.sentence == "1 of 2 folds are trained. Fold 2 was interrupted. The machine was restarted."
    again = studio.cross_validation.start(run.id, 2)
    assert again.status == "training" and [each.id for each in again.runs] == [each.id for each in view.runs]
    assert [each.status for each in again.runs] == ["finished", "queued"]


def test_a_fold_that_is_run_again_or_extended_has_the_same_test_rows(studio: Studio) -> None:
    fold = studio.cross_validation.start(trained(studio).id, 5).runs[1].id
    adapter = studio.runs.store.folder(fold).adapter
    adapter.mkdir(parents=True)
    (adapter / "adapter_config.json").write_text("{}")
    ended(studio, fold)
    before = studio.runs.spec(fold)
    for record in (studio.runs.rerun(fold, {"learning_rate": 1e-4}), studio.runs.extend(fold)):
        after = studio.runs.spec(record.id)
        assert before.fold and after.fold == before.fold and after.splits == before.splits


def test_a_canceled_cross_validation_leaves_the_queue(studio: Studio) -> None:
    run = trained(studio)
    studio.cross_validation.start(run.id, 3)
    view = studio.cross_validation.stop(run.id)
    assert view.status == "stopped" and not studio.runs.queued()


def test_if_not_all_folds_can_be_queued_none_is(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained(studio)
    submit, number = studio.runs.submit, iter(range(9))

    def until_the_disk_is_full(*given: object) -> RunRecord:
        if next(number) == 2:
            raise StudioError("disk-full", "The disk is full.")
        return submit(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(studio.runs, "submit", until_the_disk_is_full)
    with pytest.raises(StudioError, match="disk is full"):
        studio.cross_validation.start(run.id, 5)
    assert [each.id for each in studio.runs.all()] == [run.id] and studio.cross_validation.view(run.id) is None


@pytest.mark.parametrize(
    ("column", "splits", "words"),
    [
        ("day", {"time_column": "day"}, "by time"),
        ("split", {}, "names the split of each row"),
    ],
)
def test_rows_for_which_folds_would_mislead_are_refused(
    studio: Studio, column: str, splits: dict[str, object], words: str
) -> None:
    cells = {"day": lambda number: f"2026-01-{number:02d}", "split": lambda number: "test" if number > 25 else "train"}
    lines = [f"{line},{cells[column](number)}" for number, line in enumerate(ROWS.splitlines()[1:], start=1)]
    rows = "\n".join([f"aa,bb,{column}", *lines])
    problem = studio.cross_validation.problem(trained(studio, rows, **splits).id)
    assert problem and words in problem.what and problem.hint


def folds_trained(studio: Studio, run: RunRecord) -> Path:
    """Two trained folds of a run. The file of the run's report."""
    for each in studio.cross_validation.start(run.id, 2).runs:
        folder = studio.runs.store.folder(each.id)
        folder.adapter.mkdir(parents=True)
        (folder.adapter / "adapter_config.json").write_text("{}")
        folder.splits.write_text(json.dumps({"train": [3, 4], "test": [1, 2]}))
        ended(studio, each.id)
    return studio.runs.store.folder(run.id).report


def report_of(rows: int) -> Report:
    return Report(rows=rows, split="test", metrics={}, verdict="")


class Host:
    """A model host that knows the report over all folds."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.meanwhile = meanwhile

    def result(self, op: str, *_: object, **request: object) -> dict[str, object]:
        assert op == "evaluate_folds"
        self.meanwhile()
        return {"report": report_of(30).model_dump()}


def test_an_evaluation_of_the_run_that_ends_meanwhile_is_kept(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained(studio)
    saved = folds_trained(studio, run)
    saved.write_text(report_of(3).model_dump_json())
    host = Host(lambda: saved.write_text(report_of(5).model_dump_json()))
    monkeypatch.setattr(studio.cross_validation.evaluation, "host", host)
    studio.cross_validation.evaluate(run.id)
    kept = studio.evaluation.report(run.id)
    assert kept and kept.rows == 5 and kept.cross_validation and kept.cross_validation.rows == 30


def test_a_run_without_rows_of_its_own_to_evaluate_has_the_report_over_the_folds(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(studio)
    folds_trained(studio, run)
    studio.runs.store.folder(run.id).splits.write_text(json.dumps({"train": list(range(1, 31))}))
    monkeypatch.setattr(studio.cross_validation.evaluation, "host", Host())
    assert studio.cross_validation.evaluate(run.id).rows == 30
    kept = studio.evaluation.report(run.id)
    assert kept and kept.cross_validation and kept.cross_validation.rows == 30


def test_the_time_of_all_folds_follows_from_that_of_the_run(studio: Studio) -> None:
    run = trained(studio)
    studio.runs.store.update(run.id, seconds=60.0)
    # each fold trains on four fifths of 30 rows; the run had 27 of them
    assert studio.cross_validation.seconds(run.id, 5) == pytest.approx(60 * 4 * 30 / 27)
    assert studio.cross_validation.rows(run.id) == 30


def test_the_command_says_what_is_missing(studio: Studio, capfd: pytest.CaptureFixture[str]) -> None:
    run, call = trained(studio), caller(capfd)
    for given in (("--stop",), ("--folds", "5", "--data", "more.csv")):
        said = call("evaluate", run.id, *given)
        assert said.status and f"studio evaluate {run.id} --folds 5" in said.err
    said = call("evaluate", run.id, "--folds", "3", "--stop")
    assert said.status and "no cross-validation of answers" in said.err


def test_a_demo_that_allows_fewer_runs_than_folds_starts_none_of_them(tmp_path: Path, studio: Studio) -> None:
    name = studio.home.visitor_workspace(studio.home.new_secret())
    visitor = Studio(studio.home, name, demo=True)
    run = trained(visitor)
    problem = visitor.cross_validation.problem(run.id, 5)
    assert problem is not None and problem.what == "Cross-validation is not available in a public demo."
    with pytest.raises(StudioError, match="not available in a public demo"):
        visitor.cross_validation.start(run.id, 5)
    assert [each.id for each in visitor.runs.all()] == [run.id] and not studio.home.queue.listing()
    assert visitor.cross_validation.problem(run.id, 2) is None, "two runs are allowed at a time"
    studio.home.keep_demo_limits(DEMO.model_copy(update={"waiting_runs": 0, "runs_per_address": 5}))
    assert visitor.cross_validation.problem(run.id, 5) is None
    visitor.close()


def test_one_that_fails_again_says_so_beside_the_earlier_result_and_its_folds_make_room(
    studio: Studio, tmp_path: Path
) -> None:
    run = trained(studio)
    report = report_of(3).model_copy(update={"cross_validation": report_of(30)})
    studio.runs.store.folder(run.id).report.write_text(report.model_dump_json())
    first = studio.cross_validation.start(run.id, 5)
    ended(studio, first.runs[0].id, "failed", reason="The disk is full.")
    sessions = Sessions(tmp_path / "home")
    shown = cross_validation.panel(sessions.visit({}, "page", {}), run, report, False)
    sessions.root.close()
    assert "Fold 1 of 5 has no model. The disk is full." in shown and "Cross-validate again" in shown
    again = {each.id for each in studio.cross_validation.start(run.id, 5).runs}
    assert {each.id for each in studio.runs.queued()} == again, "the other folds of the first one are withdrawn"
