"""What a text is given: one label, several, or a score; told by name and by what the column holds."""

from typing import Any

import pytest

from studio.data.checks import check, labels_of
from studio.data.formats import read_text
from studio.data.roles import infer
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.tasks import TASKS, task_named
from studio.tasks.classification import label_role, labels_in, score_in

TASK = task_named("classification")
WORDS = [f"This is a text of some length, number {n}, as people write them." for n in range(24)]


def read(head: str, cells: list[str]) -> Any:
    return read_text(
        "\n".join([f"text\t{head}", *(f"{text}\t{cell}" for text, cell in zip(WORDS, cells, strict=True))])
    )


@pytest.mark.parametrize(
    ("head", "cells", "told"),
    [
        ("label", ["good", "bad"] * 12, "label"),
        ("rating", ["1", "2", "3", "4"] * 6, "label"),
        ("tags", ["late, broken", "kind", "late"] * 8, "labels"),
        ("labels", ["late|broken", "kind"] * 12, "labels"),
        ("labels", ["late", "kind"] * 12, "label"),
        ("score", ["1.5", "2.25", "4.0", "3.75"] * 6, "score"),
        ("similarity", ["0.1", "0.93", "0.5", "1.0"] * 6, "score"),
    ],
)
def test_one_label_several_and_scores_are_told_apart(head: str, cells: list[str], told: str) -> None:
    found = infer(read(head, cells), list(TASKS.values()))
    assert found.task.name == "classification"
    assert label_role(found.matched.roles) == told and found.matched.roles[head] == told


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("a, b", ["a", "b"]),
        ("a;b;a", ["a", "b"]),
        (["a", 1.0], ["a", "1"]),
        ('["a", "b"]', ["a", "b"]),
        ("a", ["a"]),
        ([], []),
        ("", None),
        (None, None),
    ],
)
def test_several_labels_come_as_lists_and_as_text(cell: Any, names: list[str] | None) -> None:
    assert labels_in(cell) == names


@pytest.mark.parametrize(
    ("cell", "number"), [("1.5", 1.5), ("1,5", 1.5), (3, 3.0), ("x", None), (True, None), (None, None)]
)
def test_a_score_is_a_number(cell: Any, number: float | None) -> None:
    assert score_in(cell) == number


def test_of_several_labels_each_is_counted_and_a_row_without_any_is_one_to_learn_from() -> None:
    table = read("tags", ["late, broken", "kind", "late"] * 8)
    roles = {"text": "text", "tags": "labels"}
    assert labels_of(table, TASK, roles) == {"broken": 8, "kind": 8, "late": 16}
    report = check(table, TASK, roles)
    assert report.usable == 24 and not report.blocked
    assert TASK.missing({"text": "x", "tags": []}, roles) == ""
    assert TASK.missing({"text": "x", "tags": None}, roles) == "labels"


def test_scores_have_no_labels_to_count() -> None:
    table = read("score", ["1.5", "2.25", "4.0", "3.75"] * 6)
    roles = {"text": "text", "score": "score"}
    report = check(table, TASK, roles)
    assert report.usable == 24 and report.labels == {} and not report.blocked
    assert TASK.expected({"text": "x", "score": "2,50"}, roles) == "2.5"
    assert TASK.variant("encoder", roles).metrics == ("pearson", "spearman", "mse")


def test_a_model_that_reads_and_writes_is_refused_for_chat_with_the_reason() -> None:
    t5 = ModelInfo(name="t5", title="T5", source="folder", kind="seq2seq")
    assert "can't write replies" in task_named("chat").unavailable_reason(t5)
    assert task_named("summarization").unavailable_reason(t5) == ""


def test_a_label_that_training_did_not_see_is_refused() -> None:
    from studio.tasks.classification import _target

    with pytest.raises(StudioError, match="wow does not exist"):
        _target("labels", {"labels": ["late", "wow"]}, ["late", "kind"])


def test_names_with_an_apostrophe_are_read_out_of_a_list_in_a_cell() -> None:
    assert labels_in('["children\'s", "fiction"]') == ["children's", "fiction"]
    assert labels_in("[\"children's\", 'fiction']") == ["children's", "fiction"]
    assert labels_in("[broken") is None
