"""While it learns: when prompts are answered again, and what is told of a classifier's validation rows."""

from itertools import pairwise

import numpy as np

from studio.inference.heads import Head
from studio.training.loop.eval_predictions import MAX_ROWS, MAX_TEXT, row_predictions, with_texts, without_targets
from studio.training.loop.sample_schedule import SampleSchedule


def answered(share: float, cost: float, checks: list[float]) -> list[float]:
    """The times of checks at which prompts are answered."""
    schedule = SampleSchedule(share)
    schedule.record(cost)
    schedule.begin()
    times = []
    for now in checks:
        if schedule.allows(now):
            schedule.record(cost)
            times.append(now)
    return times


def test_replies_take_no_more_than_their_share_of_the_run() -> None:
    every = [float(second) for second in range(5, 301, 5)]
    times = answered(0.1, 3.0, every)
    assert len(times) * 3.0 <= 0.1 * 300
    assert len(times) >= 9, "the share is used"
    assert times[0] == 30.0


def test_they_are_spread_over_the_run_and_do_not_come_all_at_once() -> None:
    times = answered(0.1, 3.0, [float(second) for second in range(5, 301, 5)])
    assert min(later - earlier for earlier, later in pairwise(times)) >= 25


def test_a_new_best_is_answered_at_once_and_the_end_answers_with_what_is_kept() -> None:
    schedule = SampleSchedule(0.1)
    schedule.record(1000.0)  # there is no time at all
    schedule.begin()
    assert schedule.due(best=True, last=False, is_result=True) and not schedule.due(
        best=False, last=False, is_result=False
    )
    assert schedule.due(best=False, last=True, is_result=False) and not schedule.due(
        best=True, last=True, is_result=True
    )
    off = SampleSchedule(0.0)
    assert not any(off.due(best, last, is_result=False) for best in (True, False) for last in (True, False))


def test_a_share_of_nothing_switches_it_off() -> None:
    assert answered(0.0, 0.0, [10.0, 100.0]) == []


def test_what_the_base_took_is_known_and_not_counted() -> None:
    schedule = SampleSchedule(0.5)
    schedule.record(10.0)
    schedule.begin()
    assert not schedule.allows(19.0)
    assert schedule.allows(20.0)


def test_before_training_has_begun_nothing_is_answered() -> None:
    assert not SampleSchedule(1.0).has_time()


ONE = Head("labels", ("bug", "praise", "question"))


def test_a_row_tells_what_is_said_what_is_right_and_how_likely_both_are() -> None:
    logits = np.array([[0.0, 2.0, 0.0], [5.0, 0.0, 0.0]])
    wrong, right = row_predictions(logits, np.array([0, 0]), ONE)
    assert (wrong.row, wrong.said, wrong.right) == (1, "praise", "bug")
    assert wrong.share is not None and abs(wrong.share - 0.7870) < 1e-3
    assert wrong.right_share is not None and abs(wrong.right_share - 0.1065) < 1e-3
    assert abs(wrong.loss + np.log(0.1065)) < 1e-2
    assert right.said == right.right == "bug" and right.loss < wrong.loss


def test_of_several_labels_all_that_are_likely_are_told() -> None:
    head = Head("labels", ("late", "broken"), "multi_label_classification")
    both, none = row_predictions(np.array([[3.0, 2.0], [-3.0, -3.0]]), np.array([[1.0, 0.0], [0.0, 0.0]]), head)
    assert (both.said, both.right) == ("late, broken", "late")
    assert (none.said, none.right) == ("none", "none") and none.loss < both.loss


def test_a_score_is_told_as_a_number_and_far_off_is_hard() -> None:
    head = Head("labels", ("score",), "regression")
    near, far = row_predictions(np.array([[2.0], [4.5]]), np.array([2.1, 1.0]), head)
    assert (near.said, near.right, near.share) == ("2", "2.1", None)
    assert far.loss > near.loss


def test_texts_and_what_is_right_are_told_once_and_only_so_many_rows_at_all() -> None:
    rows = row_predictions(np.zeros((MAX_ROWS + 9, 3)), np.zeros(MAX_ROWS + 9, dtype=int), ONE)
    assert len(rows) == MAX_ROWS
    first = with_texts(rows, ["x" * 999] * MAX_ROWS)
    assert first[0].text == "x" * MAX_TEXT and first[0].right == "bug"
    assert {(row.text, row.right) for row in without_targets(rows)} == {("", "")}
