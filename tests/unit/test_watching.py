"""While it learns: when prompts are answered again, and what is told of a classifier's validation rows."""

from itertools import pairwise

import numpy as np

from studio.inference.heads import Head
from studio.training.loop.eval_predictions import LONGEST, MOST, held_rows, silent, told_once
from studio.training.loop.sample_schedule import Watching


def answered(share: float, cost: float, checks: list[float]) -> list[float]:
    """The times of checks at which prompts are answered."""
    watching = Watching(share)
    watching.took(cost)
    watching.begin()
    times = []
    for now in checks:
        if watching.allows(now):
            watching.took(cost)
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
    watching = Watching(0.1)
    watching.took(1000.0)  # there is no time at all
    watching.begin()
    assert watching.due(best=True, last=False, kept=True) and not watching.due(best=False, last=False, kept=False)
    assert watching.due(best=False, last=True, kept=False) and not watching.due(best=True, last=True, kept=True)
    off = Watching(0.0)
    assert not any(off.due(best, last, kept=False) for best in (True, False) for last in (True, False))


def test_a_share_of_nothing_switches_it_off() -> None:
    assert answered(0.0, 0.0, [10.0, 100.0]) == []


def test_what_the_base_took_is_known_and_not_counted() -> None:
    watching = Watching(0.5)
    watching.took(10.0)
    watching.begin()
    assert not watching.allows(19.0)
    assert watching.allows(20.0)


def test_before_training_has_begun_nothing_is_answered() -> None:
    assert not Watching(1.0).may()


ONE = Head("labels", ("bug", "praise", "question"))


def test_a_row_tells_what_is_said_what_is_right_and_how_likely_both_are() -> None:
    logits = np.array([[0.0, 2.0, 0.0], [5.0, 0.0, 0.0]])
    wrong, right = held_rows(logits, np.array([0, 0]), ONE)
    assert (wrong.row, wrong.said, wrong.right) == (1, "praise", "bug")
    assert wrong.share is not None and abs(wrong.share - 0.7870) < 1e-3
    assert wrong.right_share is not None and abs(wrong.right_share - 0.1065) < 1e-3
    assert abs(wrong.loss + np.log(0.1065)) < 1e-2
    assert right.said == right.right == "bug" and right.loss < wrong.loss


def test_of_several_labels_all_that_are_likely_are_told() -> None:
    head = Head("labels", ("late", "broken"), "multi_label_classification")
    both, none = held_rows(np.array([[3.0, 2.0], [-3.0, -3.0]]), np.array([[1.0, 0.0], [0.0, 0.0]]), head)
    assert (both.said, both.right) == ("late, broken", "late")
    assert (none.said, none.right) == ("none", "none") and none.loss < both.loss


def test_a_score_is_told_as_a_number_and_far_off_is_hard() -> None:
    head = Head("labels", ("score",), "regression")
    near, far = held_rows(np.array([[2.0], [4.5]]), np.array([2.1, 1.0]), head)
    assert (near.said, near.right, near.share) == ("2", "2.1", None)
    assert far.loss > near.loss


def test_texts_and_what_is_right_are_told_once_and_only_so_many_rows_at_all() -> None:
    rows = held_rows(np.zeros((MOST + 9, 3)), np.zeros(MOST + 9, dtype=int), ONE)
    assert len(rows) == MOST
    first = told_once(rows, ["x" * 999] * MOST)
    assert first[0].text == "x" * LONGEST and first[0].right == "bug"
    assert {(row.text, row.right) for row in silent(rows)} == {("", "")}
