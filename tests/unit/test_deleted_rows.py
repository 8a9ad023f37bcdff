"""What is said and offered when the dataset of a run was deleted, and while a run has no model yet."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_run_management import made, refusal

from studio.schema.report import Metric, Report
from studio.ui.components.basic import without_flags
from studio.ui.tabs import cross_validation, evaluate, export
from studio.ui.tabs.data import library
from studio.ui.visitors.session import Sessions, Visit

REPORT = Report(
    rows=6, split="test", metrics={"loss": Metric(base=2.0, tuned=1.0)}, verdict="Better.", outcome="unclear"
)


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Visit]:
    sessions = Sessions(tmp_path / "home")
    yield sessions.visit({}, "page", {})
    sessions.root.close()


def with_deleted_rows(visit: Visit, split: str = "test") -> str:
    """A finished run whose dataset is deleted on the page."""
    rows = "".join(f"question {n},answer {n}\n" for n in range(20))
    dataset = visit.studio.datasets.add_text(f"question,answer\n{rows}", "mails.csv").id
    run = made(visit.studio, "tone", rows=dataset)
    folder = visit.studio.context.workspace.runs.folder(run)
    folder.splits.write_text(json.dumps({"train": list(range(1, 15)), split: list(range(15, 21))}))
    folder.report.write_text(REPORT.model_dump_json())
    assert not visit.studio.evaluation.are_rows_deleted(run)
    visit.choose(run=run, reached=())
    visit.event = {"dataset": dataset}
    library.delete(visit)
    return run


def test_a_deletion_is_confirmed_by_name_and_its_question_says_that_it_is_final(visit: Visit) -> None:
    entry = visit.studio.datasets.add_text("question,answer\na,b\n", "mails.csv")
    drawn = str(library.drawn(visit)[0])
    assert "You lose 1 row. This can&#39;t be undone." in drawn
    visit.event = {"dataset": entry.id}
    library.delete(visit)
    assert visit.done_message == "The dataset “mails.csv” was deleted."


def test_a_run_without_its_rows_is_not_evaluated_and_its_rows_are_not_offered(visit: Visit) -> None:
    run = with_deleted_rows(visit)
    assert visit.studio.evaluation.are_rows_deleted(run)
    body, bar = evaluate.drawn(visit)
    again = str(bar).partition('data-act="evaluate"')[2].partition(">")[0]
    assert "disabled" in again and "Label more rows" not in bar and "Open Data" not in body
    assert "Its dataset was deleted" in bar
    record = visit.studio.runs.get(run)
    panel = str(cross_validation.panel(visit, record, REPORT, False))
    assert "The dataset of this run was deleted." in panel and record.dataset not in panel


def test_the_message_about_missing_rows_is_whole_on_the_page(visit: Visit) -> None:
    run = with_deleted_rows(visit)
    error = refusal(lambda: visit.studio.evaluation.evaluate(run))
    assert without_flags(error.hint or "") == "Import the rows again and start a new run."


def test_the_data_tab_warns_that_it_shows_other_rows(visit: Visit) -> None:
    with_deleted_rows(visit)
    other = visit.studio.datasets.add_text("question,answer\na,b\n", "other.csv")
    drawn = str(library.source(visit, other))
    assert 'class="note warn"' in drawn and "The dataset of the run “tone” was deleted." in drawn


@pytest.mark.parametrize("tab", [evaluate, export])
def test_a_tab_without_a_model_asks_again_until_the_run_has_ended(visit: Visit, tab: object) -> None:
    run = made(visit.studio, "tone", status="training")
    visit.choose(run=run, reached=())
    assert "data-again" in str(tab.drawn(visit)[0])  # type: ignore[attr-defined]
    visit.studio.context.workspace.runs.set_status(run, "failed")
    assert "data-again" not in str(tab.drawn(visit)[0])  # type: ignore[attr-defined]
