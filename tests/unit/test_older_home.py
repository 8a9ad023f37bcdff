"""A data folder made by an earlier commit still opens: datasets, labels, runs, curves, reports and drafts.

tests/fixtures/home-COMMIT.zip was made by that commit: 40 rows in two versions, 20 texts of which Ada labeled 12, a
finished run with a report, a paused run, and the choices of an open page. Tokenizers are left out.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.api import Studio
from studio.ui.visitors.session import Sessions

FIXTURES = sorted((Path(__file__).parents[1] / "fixtures").glob("home-*.zip"))


@pytest.fixture(params=FIXTURES, ids=lambda path: path.stem)
def studio(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Studio]:
    with zipfile.ZipFile(request.param) as packed:
        packed.extractall(tmp_path / "home")
    with Studio(tmp_path / "home") as opened:
        opened.reconcile()
        yield opened


def test_datasets_open_with_versions_roles_splits_and_rows(studio: Studio) -> None:
    messages, orders = studio.datasets.all()
    assert (orders.name, orders.version, orders.rows) == ("orders", 2, 40)
    assert [each.version for each in studio.versions.all(orders.id)] == [1, 2]
    assert studio.datasets.spec(orders.id).roles == {"question": "prompt", "answer": "reply"}
    assert studio.datasets.splits(orders.id).validation == 8
    assert studio.datasets.rows(orders.id, count=1).rows[0][1]["answer"] == "It left this morning."
    assert studio.versions.compare(orders.id, 1, 2).changed == 1
    assert messages.name == "messages"


def test_labels_open_and_labeling_goes_on(studio: Studio) -> None:
    dataset = studio.datasets.find("messages").id
    state = studio.labels.state(dataset, "Ada")
    assert (state.done, state.total) == (12, 20) and dict(state.counts) == {"money": 6, "travel": 6}
    after = studio.labels.give(dataset, 14, "money", "Ada")
    assert after.done == 13 and studio.labels.undo(dataset, "Ada").done == 12


def test_runs_open_with_their_curves_settings_reports_and_notes(studio: Studio) -> None:
    paused, finished = studio.runs.all()
    assert (finished.name, finished.status, finished.step, finished.has_result) == ("orders run", "finished", 3, True)
    assert (paused.status, paused.step) == ("paused", 5)
    assert (finished.note, finished.tags) == ("the first one", ("kept",))
    steps = [each.event.step for each in studio.runs.events(finished.id, kinds=("step",))]  # type: ignore[union-attr]
    assert steps == [1, 2, 3]
    assert studio.runs.spec(finished.id).config.lora_rank > 0 and studio.runs.spec(finished.id).runner == "local"
    report = studio.evaluation.report(finished.id)
    assert report is not None and report.rows == 8
    assert studio.curves.csv(finished.id).count("\n") == 5
    assert studio.runs.progress(paused.id).sentence.startswith("Paused")
    assert studio.saved.annotate(finished.id, name="renamed").name == "renamed"
    assert studio.saved.export_archive(finished.id, rows=True).is_file()


def test_an_open_page_begins_with_the_choices_of_before(studio: Studio) -> None:
    sessions = Sessions(studio.home.root)
    choices = sessions.visit({}, "page").choices
    assert (choices.tab, choices.task, choices.prompts) == ("data", "chat", ("a",))
