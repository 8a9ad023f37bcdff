"""Other rows are read for a run as the run read its own."""

from pathlib import Path

from studio.api import Studio
from studio.inference.classify import format_score
from studio.schema.dataset import DatasetSpec

ROWS = "title,text,label,kinds\n" + "".join(f"short {n},A longer text {n}.,one,red\n" for n in range(8))


def test_the_columns_that_a_run_learned_are_taken_though_others_have_likelier_names(
    studio: Studio, tmp_path: Path
) -> None:
    path = tmp_path / "later.csv"
    path.write_text(ROWS, encoding="utf-8")
    data = studio.datasets.open(str(path)).id
    learned = DatasetSpec(task="classification", roles={"title": "text", "kinds": "labels"}, label_names=("red",))
    for inputs in (False, True):
        assert studio.evaluation.roles_for(learned, data, inputs) == learned.roles
    guessed = DatasetSpec(task="classification", roles={"words": "text", "sort": "label"}, label_names=("one",))
    assert studio.evaluation.roles_for(guessed, data) == {"text": "text", "label": "label"}


def test_rows_that_are_yet_to_be_labelled_are_read_by_the_runs_own_column(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("text,title\n" + "".join(f"A longer text {n}.,short {n}\n" for n in range(8)), encoding="utf-8")
    learned = DatasetSpec(task="classification", roles={"title": "text", "kinds": "labels"}, label_names=("red",))
    found = studio.evaluation.roles_for(learned, studio.datasets.open(str(path)).id, inputs=True)
    assert found["title"] == "text" and "text" not in found


def test_a_score_is_written_with_its_digits() -> None:
    assert [format_score(score) for score in (3.25184, 2019.7312, 123456.75, -4, 0.0001234, 0)] == [
        "3.2518",
        "2019.7312",
        "123456.75",
        "-4",
        "0.0001234",
        "0",
    ]
