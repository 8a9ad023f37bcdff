"""Which rows are evaluated, and how other rows are read for a run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from studio.api import Studio
from studio.inference.classify import format_score
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.host import RowsRef
from studio.schema.runs import RunSpec

ROWS = "title,text,label,kinds\n" + "".join(f"short {n},A longer text {n}.,one,red\n" for n in range(8))


def test_the_columns_that_a_run_learned_are_taken_though_others_have_likelier_names(
    studio: Studio, tmp_path: Path
) -> None:
    path = tmp_path / "later.csv"
    path.write_text(ROWS, encoding="utf-8")
    data = studio.datasets.open(str(path))
    learned = DatasetSpec(task="classification", roles={"title": "text", "kinds": "labels"}, label_names=("red",))
    for inputs in (False, True):
        assert studio.evaluation.roles_for(learned, data, inputs) == learned.roles
    guessed = DatasetSpec(task="classification", roles={"words": "text", "sort": "label"}, label_names=("one",))
    assert studio.evaluation.roles_for(guessed, data) == {"text": "text", "label": "label"}


def test_rows_that_are_yet_to_be_labelled_are_read_by_the_runs_own_column(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("text,title\n" + "".join(f"A longer text {n}.,short {n}\n" for n in range(8)), encoding="utf-8")
    learned = DatasetSpec(task="classification", roles={"title": "text", "kinds": "labels"}, label_names=("red",))
    found = studio.evaluation.roles_for(learned, studio.datasets.open(str(path)), inputs=True)
    assert found["title"] == "text" and "text" not in found


def test_rows_of_an_earlier_version_are_read_by_the_columns_of_that_version(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(ROWS, encoding="utf-8")
    first = studio.datasets.open(str(path))
    second = studio.datasets.reread(first.id, header=False)
    assert second.version == 2 and "text" not in second.columns
    learned = DatasetSpec(task="classification", roles={"text": "text", "kinds": "label"}, label_names=("red",))
    assert studio.evaluation.roles_for(learned, first, inputs=True) == learned.roles
    other = learned.model_copy(update={"roles": {"text": "text", "sort": "label"}})
    found = studio.evaluation.roles_for(other, first, inputs=True)
    assert found["text"] == "text" and set(found) <= set(first.columns)


def test_a_score_is_written_with_its_digits() -> None:
    assert [format_score(score) for score in (3.25184, 2019.7312, 123456.75, -4, 0.0001234, 0)] == [
        "3.2518",
        "2019.7312",
        "123456.75",
        "-4",
        "0.0001234",
        "0",
    ]


class Splits:
    """A run's saved splits, as `FinishedRuns` gives them."""

    def __init__(self, config: TrainingConfig, **rows: int) -> None:
        self.config, self.numbers, start = config, {}, 1
        for name, count in rows.items():
            self.numbers[name], start = tuple(range(start, start + count)), start + count

    @property
    def store(self) -> Any:
        data = DatasetSpec(task="classification", roles={})
        spec = RunSpec(config=self.config, dataset="d", dataset_version=1, data=data, splits=SplitSpec())
        return SimpleNamespace(spec=lambda _: spec)

    def rows(self, record: object, folder: object, split: str) -> RowsRef | None:
        return RowsRef(path="rows", numbers=self.numbers[split]) if self.numbers.get(split) else None


CHOSEN = {"task": "classification", "model": "m"}
LAST = {**CHOSEN, "keep_best": False, "early_stopping_patience": 0}


@pytest.mark.parametrize(
    ("config", "rows", "split", "count"),
    [
        (CHOSEN, {"test": 23, "validation": 51}, "test", 23),
        (CHOSEN, {"validation": 51}, "validation", 51),
        (LAST, {"test": 23, "validation": 51}, "test+validation", 74),
        (LAST, {"test": 120, "validation": 51}, "test", 120),
        (LAST, {"test": 23}, "test", 23),
        ({**LAST, "early_stopping_patience": 3}, {"test": 23, "validation": 51}, "test", 23),
    ],
)
def test_validation_rows_are_added_to_few_test_rows_only_if_they_did_not_choose_the_checkpoint(
    studio: Studio, config: dict[str, Any], rows: dict[str, int], split: str, count: int
) -> None:
    evaluation = studio.evaluation
    evaluation.finished = Splits(TrainingConfig(**config), **rows)  # type: ignore[assignment]
    found = evaluation._own_rows(SimpleNamespace(id="run"), None)  # type: ignore[arg-type]
    assert (found[0], len(found[1].numbers or ())) == (split, count)


def test_without_test_and_validation_rows_it_is_said_how_to_evaluate(studio: Studio) -> None:
    evaluation = studio.evaluation
    evaluation.finished = Splits(TrainingConfig(**CHOSEN))  # type: ignore[assignment]
    with pytest.raises(StudioError, match="no test or validation rows"):
        evaluation._own_rows(SimpleNamespace(id="run"), None)  # type: ignore[arg-type]
