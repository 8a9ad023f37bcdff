"""Made rows wait for a person's word, survive a restart, and become a version only when they are used."""

import csv
import json
from pathlib import Path

import pytest

from studio.api import Studio
from studio.data.dataset_size import describe_learning_curve, what_rows_allow, what_training_rows_allow
from studio.schema.augmentation import AugmentationRequest
from studio.schema.errors import StudioError
from studio.schema.label_quality import CurvePoint, LearningCurve


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(tmp_path / "home")


def test_made_rows_come_from_rows_that_are_learned_from_and_wait(studio: Studio, tmp_path: Path) -> None:
    data = studio.datasets.add_sample("support-tone")
    made = studio.augmentation.propose(data.id, AugmentationRequest(way="spelling", count=30))
    assert len(made.rows) == 30 and made.count("waiting") == 30
    assert studio.augmentation.propose(data.id, AugmentationRequest(way="spelling", count=30)) == made
    assert studio.augmentation.propose(data.id, AugmentationRequest(way="spelling", count=30, seed=1)) != made
    assert studio.datasets.get(data.id).version == 1
    parts = studio.datasets.splits(data.id)
    studio.augmentation.decide(data.id, "kept")
    new = studio.augmentation.use(data.id)
    after = studio.datasets.splits(data.id)
    assert (after.train, after.validation, after.test) == (parts.train + 30, parts.validation, parts.test)
    assert new.note == "30 rows added by augmentation: spelling noise."
    assert studio.checks.check(data.id).problems == ()
    assert studio.datasets.spec(data.id).roles == {"question": "prompt", "answer": "reply"}


def test_of_a_conversation_that_is_a_text_only_the_first_question_changes(studio: Studio, tmp_path: Path) -> None:
    file, rows = tmp_path / "chats.csv", []
    for number in range(40):
        turns = [
            {"role": "user", "content": f"Where can parcel number {number} be collected tomorrow?"},
            {"role": "assistant", "content": f"Parcel {number} waits behind the counter downstairs."},
        ]
        rows.append([json.dumps(turns)])
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([["messages"], *rows])
    data = studio.datasets.add_file(file)
    made = studio.augmentation.propose(data.id, AugmentationRequest(way="spelling", count=10))
    assert made.rows and all(row.before.startswith("Where can parcel") for row in made.rows)
    studio.augmentation.decide(data.id, "kept")
    table = studio.datasets.table(studio.augmentation.use(data.id).id)
    for row, after in zip(made.rows, table.rows(41), strict=True):
        before = json.loads(table.row(row.source)["messages"])
        assert json.loads(after["messages"]) == [{**before[0], "content": row.after}, before[1]]


def test_a_word_on_a_made_row_outlives_the_server(studio: Studio, tmp_path: Path) -> None:
    data = studio.datasets.add_sample("intent-routing")
    studio.augmentation.propose(data.id, AugmentationRequest(way="spelling", count=10))
    studio.augmentation.decide(data.id, "refused", [2, 3])
    again = Studio(tmp_path / "home")
    assert again.augmentation.proposals(data.id).count("refused") == 2
    again.augmentation.decide(data.id, "kept")
    assert (
        again.augmentation.proposals(data.id).count("refused") == 2
        and again.augmentation.proposals(data.id).count("kept") == 8
    )
    assert again.augmentation.use(data.id).rows == data.rows + 8
    assert again.augmentation.proposals(data.id).rows == ()


def test_no_row_is_made_from_a_made_one(studio: Studio) -> None:
    data = studio.datasets.add_sample("support-tone")
    studio.augmentation.propose(data.id, AugmentationRequest(way="spelling", count=200))
    studio.augmentation.decide(data.id, "kept")
    studio.augmentation.use(data.id)
    sources = {
        row.source for row in studio.augmentation.propose(data.id, AugmentationRequest(way="spelling", count=300)).rows
    }
    assert sources and max(sources) <= data.rows


def test_what_can_not_be_made_is_refused_in_words(studio: Studio, tmp_path: Path) -> None:
    data = studio.datasets.add_sample("support-tone")
    with pytest.raises(StudioError, match="number of synthetic rows is not possible"):
        studio.augmentation.propose(data.id, AugmentationRequest(way="spelling", count=100_000))
    with pytest.raises(StudioError, match="needs a generative model"):
        studio.augmentation.propose(data.id, AugmentationRequest(way="paraphrase", count=5))
    with pytest.raises(StudioError, match="No synthetic row is kept yet"):
        studio.augmentation.use(data.id)
    studio.augmentation.propose(data.id, AugmentationRequest(way="spelling", count=3))
    with pytest.raises(StudioError, match="no synthetic row with this number"):
        studio.augmentation.decide(data.id, "kept", [4])
    book = tmp_path / "book.txt"
    book.write_text("\n".join(f"This is line {number} of a book that is learned as it stands." for number in range(60)))
    with pytest.raises(StudioError, match="does not work for this task"):
        studio.augmentation.propose(studio.datasets.add_file(book).id, AugmentationRequest(way="spelling", count=5))
    ways = {way.name: way.unavailable_reason for way in studio.augmentation.ways(data.id, "starter-classify")}
    assert ways["spelling"] == "" and "model" in ways["paraphrase"]


def test_the_number_of_rows_says_what_to_expect() -> None:
    assert "no new knowledge" in what_rows_allow(30)
    assert "tone and a form" in what_rows_allow(120)
    assert "plenty" in what_rows_allow(5_000)
    few = what_rows_allow(20, {"a": 17, "b": 3})
    assert "The rarest label is b, with 3 rows" in few and "2 labels" in few
    assert what_training_rows_allow(900, 3).startswith(
        "900 training rows for 3 labels, about 300 for each: enough for most labels."
    )
    assert "too few for reliable results" in what_rows_allow(9, {"a": 3, "b": 3, "c": 3})


def curve(*scores: float, held: int = 500) -> LearningCurve:
    points = [CurvePoint(rows=50 * 2**at, score=score, low=score, high=score) for at, score in enumerate(scores)]
    return LearningCurve(points=tuple(points), held=held, labels=4)


def test_a_curve_that_still_rises_asks_for_more_rows_and_a_flat_one_does_not() -> None:
    assert "add about" in describe_learning_curve(curve(0.5, 0.62, 0.72, 0.80))
    assert "would add little" in describe_learning_curve(curve(0.90, 0.901, 0.90, 0.901))
    assert "would add little" in describe_learning_curve(curve(0.78, 0.80, 0.80, 0.81, held=40))
    assert "too few rows" in describe_learning_curve(curve(0.5, 0.6))
