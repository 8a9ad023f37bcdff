"""How labelling is judged: the curve of right suggestions and what it advises, kappa in words, and even samples."""

from itertools import pairwise

import pytest

from studio.data.table import even_sample
from studio.metrics.agreement import MAX_PEOPLE, agreements, in_words, kappa
from studio.metrics.suggestion_accuracy import trust
from studio.schema.labeling import Fact
from studio.services.labeling.active_learning import missing_labels
from studio.services.labeling.state import LabelingState


def presses(right: list[bool]) -> list[Fact]:
    return [
        Fact(version=1, row=n, value="a", suggested="a" if each else "b", sure=0.9) for n, each in enumerate(right, 1)
    ]


def test_the_curve_counts_the_last_fifty_suggestions() -> None:
    found = trust(presses([False] * 50 + [True] * 50))
    assert (found.shown, found.right, found.last, found.last_right) == (100, 50, 50, 50)
    assert found.points[0].labelled == 5 and found.points[-1].share == 1.0
    assert [point.labelled for point in found.points] == sorted({point.labelled for point in found.points})
    assert len(trust(presses([True] * 5000)).points) <= 62


def test_what_follows_from_the_curve_is_said() -> None:
    assert "still improve" in trust(presses([False] * 50 + [True] * 50)).sentence
    assert "You can stop labeling" in trust(presses([True] * 100)).sentence
    assert "no longer improve" in trust(presses([True, False] * 50)).sentence
    assert trust(presses([True] * 5)).sentence == ""
    assert trust([Fact(version=1, row=1, value="a")]).shown == 0


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [("aabb", "aabb", 1.0), ("aabb", "bbaa", -1.0), ("aabb", "abab", 0.0), ("aaaa", "aaaa", None), ("", "", None)],
)
def test_kappa_is_agreement_beyond_chance(first: str, second: str, expected: float | None) -> None:
    found = kappa(list(first), list(second))
    assert found == (expected if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (0.9, "almost perfect"),
        (0.7, "substantial"),
        (0.5, "moderate"),
        (0.3, "fair"),
        (0.1, "slight"),
        (-0.4, "not better than chance"),
    ],
)
def test_kappa_is_said_in_words(found: float, word: str) -> None:
    words = in_words(40, 30, found)
    assert word in words and f"{found:.2f}" in words and "few" not in words
    assert "few" in in_words(5, 5, found)
    assert "only one label" in in_words(40, 40, None)


def state_of(*facts: Fact, rows: int = 30) -> LabelingState:
    state = LabelingState(rows)
    state.apply(fact.model_copy(update={"id": number}) for number, fact in enumerate(facts, 1))
    return state


def test_of_three_people_every_two_are_compared_the_pair_with_most_rows_first() -> None:
    facts = [Fact(version=1, row=row, value="a", labeller="Ann") for row in range(1, 11)]
    facts += [Fact(version=1, row=row, value="b" if row == 1 else "a", labeller="Ben") for row in range(1, 9)]
    facts += [Fact(version=1, row=row, value="a", labeller="Cem") for row in range(8, 11)]
    found = agreements(state_of(*facts).marks["given"])
    assert [(each.first, each.second, each.rows) for each in found] == [
        ("Ann", "Ben", 8),
        ("Ann", "Cem", 3),
        ("Ben", "Cem", 1),
    ]
    assert found[0].differ == (1,)


def test_of_thousands_of_people_those_with_the_most_rows_are_compared() -> None:
    given = {f"p{n}": {row: Fact(version=1, row=row, value="a") for row in range(1, n % 25 + 2)} for n in range(2000)}
    found = agreements(given)
    assert len(found) == MAX_PEOPLE * (MAX_PEOPLE - 1) // 2 and {each.rows for each in found} == {25}


def test_what_was_taken_back_agrees_with_nobody() -> None:
    facts = [
        Fact(version=1, row=1, value="a", labeller="Ann"),
        Fact(version=1, row=1, value="a", labeller="Ben"),
        Fact(version=1, what="undo", labeller="Ben", undoes=2),
    ]
    state = state_of(*facts)
    assert agreements(state.marks["given"]) == () and state.values == {1: "a"}


def test_an_even_sample_spreads_over_all_rows() -> None:
    assert even_sample(range(1, 11), 20) == list(range(1, 11))
    spread = even_sample(range(1, 1_000_001), 20_000)
    assert len(spread) == 20_000 and spread[0] == 1 and spread[-1] > 999_900
    assert {b - a for a, b in pairwise(spread)} == {50}


def test_suggestions_wait_for_two_rows_of_each_label() -> None:
    facts = [Fact(version=1, what="names", value='["' + '", "'.join(f"l{n}" for n in range(10)) + '"]')]
    facts += [Fact(version=1, row=row, value=f"l{row % 10}") for row in range(1, 20)]
    reason = missing_labels(state_of(*facts))
    assert "after 20 labeled rows" in reason and "1 to go" in reason
    assert missing_labels(state_of(*facts, Fact(version=1, row=20, value="l0"))) == ""
