"""A file with texts but no labels is recognized, and what a test on few labels can show is said in numbers."""

import pytest

from studio.api import Studio
from studio.metrics.sample_size import rows_for_margin, share_interval
from studio.schema.errors import StudioError
from studio.services.labeling.unlabeled import held_out_size

TEXTS = [
    f"The parcel number {n} came late and one of its corners was open, please send another one." for n in range(60)
]


def add(studio: Studio, header: str, *columns: list[str]) -> str:
    lines = (",".join(f'"{cell}"' for cell in row) for row in zip(*columns, strict=True))
    return studio.datasets.add_text("\n".join([header, *lines]) + "\n").id


@pytest.mark.parametrize("task", ["classification", ""])
def test_a_column_of_texts_alone_has_no_labels_yet_and_the_first_forty_take_minutes(studio: Studio, task: str) -> None:
    needed = studio.labels.unlabeled(add(studio, "comment", TEXTS), task)
    assert needed is not None
    assert (needed.column, needed.rows, needed.first) == ("comment", 60, 40)
    assert needed.minutes == 4, "40 texts of 85 characters: 3.6 s to read and 3 s to decide for each"


def test_ids_and_dates_beside_the_texts_are_no_labels(studio: Studio) -> None:
    numbers = [str(n) for n in range(60)]
    needed = studio.labels.unlabeled(add(studio, "id,comment,date", numbers, TEXTS, ["2026-01-02"] * 60), "")
    assert needed is not None and needed.column == "comment"


def test_two_columns_of_texts_may_be_prompts_and_replies_until_a_task_is_chosen(studio: Studio) -> None:
    numbers = [str(1001 + n) for n in range(60)]
    dataset = add(studio, "ticket,from them,from us", numbers, TEXTS, [f"{text} Ella" for text in TEXTS])
    assert studio.labels.unlabeled(dataset) is None
    needed = studio.labels.unlabeled(dataset, "classification")
    assert needed is not None and needed.column == "from us"


def test_an_empty_label_column_counts_as_no_labels(studio: Studio) -> None:
    needed = studio.labels.unlabeled(add(studio, "text,label", TEXTS, [""] * 60), "classification")
    assert needed is not None and needed.column == "text"


def test_fewer_rows_than_forty_are_all_labeled(studio: Studio) -> None:
    needed = studio.labels.unlabeled(add(studio, "text", TEXTS[:12]))
    assert needed is not None and needed.first == 12


@pytest.mark.parametrize("other", ["team", "label"])
def test_a_column_that_may_have_the_labels_is_not_passed_over(studio: Studio, other: str) -> None:
    assert (
        studio.labels.unlabeled(add(studio, f"text,{other}", TEXTS, ["north", "south"] * 30), "classification") is None
    )


def test_a_task_without_labels_needs_none(studio: Studio) -> None:
    assert studio.labels.unlabeled(add(studio, "text", TEXTS), "chat") is None


def test_the_error_of_the_command_line_leads_to_labeling(studio: Studio) -> None:
    dataset = add(studio, "comment", TEXTS)
    for task in (None, "classification"):
        with pytest.raises(StudioError, match="studio label"):
            studio.checks.check(dataset, task)


def test_an_interval_of_a_share_is_that_of_wilson() -> None:
    low, high = share_interval(0.8, 60)
    assert (round(low, 4), round(high, 4)) == (0.6822, 0.8817)
    assert share_interval(1.0, 6)[1] == 1.0 and share_interval(1.0, 6)[0] == pytest.approx(0.6097, abs=1e-4)
    assert share_interval(0.5, 0) == (0.0, 1.0)
    assert rows_for_margin(0.8, 0.1) == 60


@pytest.mark.parametrize(("labeled", "held_out"), [(40, 6), (100, 15), (400, 60)])
def test_few_labels_say_what_their_test_can_show(labeled: int, held_out: int) -> None:
    size = held_out_size(labeled)
    assert (size.held_out, size.useful) == (held_out, 400)
    assert ("label about 400 rows" in " ".join(size.sentences)) == (labeled < 400)


def test_no_held_out_rows_measure_nothing() -> None:
    assert held_out_size(40, 0).sentences == ("No labeled row is held out, so nothing measures the model.",)
