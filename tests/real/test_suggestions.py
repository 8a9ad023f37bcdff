"""Suggestions by the real starter: texts are read once, learned from in seconds, and better than chance by far."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.api import Studio
from studio.schema.views import Page
from tests.support_messages import FORMS

THINGS = ("kettle", "lamp", "blender", "chair", "radio", "mirror", "clock", "scarf", "toaster", "phone")
ROWS = [(form.format(thing), label) for thing in THINGS for label, forms in FORMS.items() for form in forms]


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    studio = Studio(tmp_path / "home")
    yield studio
    studio.close()


def labelled(studio: Studio, rows: int) -> str:
    order = sorted(range(len(ROWS)), key=lambda n: n * 37 % len(ROWS))
    data = studio.datasets.add_text("text\n" + "".join(f"{ROWS[n][0]}\n" for n in order)).id
    studio.labels.set_names(data, list(FORMS))
    for row in range(1, rows + 1):
        studio.labels.give(data, row, ROWS[order[row - 1]][1])
    return data


def truth(text: str) -> str:
    return next(label for each, label in ROWS if each == text)


def test_thirty_labels_suggest_the_others_far_better_than_chance(studio: Studio) -> None:
    data = labelled(studio, 30)
    told: list[tuple[int, int]] = []
    learned = studio.labels.suggest(data, lambda done, total, words: told.append((done, total)))
    assert learned is not None and learned.labelled == 30
    assert set(learned.rows) == set(range(31, 121)), "each row without a label gets a suggestion"
    texts = {each.row: each.text for each in studio.labels.rows(data, page=Page(1, 200)).rows}
    right = sum(said.best == truth(texts[row]) for row, said in learned.rows.items())
    assert right / 90 >= 0.8, "chance would be a third"
    assert all(abs(sum(share for _, share in said.labels) - 1) < 0.01 for said in learned.rows.values())
    assert told and told[-1][0] == told[-1][1]
    assert studio.labels.state(data).row == 31, "the row on the screen stays there"
    state = studio.labels.give(data, 31, truth(texts[31]))
    assert state.order == "least-sure"
    least = min(learned.rows.keys() - {31}, key=lambda row: learned.rows[row].sure)
    assert state.row == least and state.suggestion == learned.rows[least]


def test_what_was_read_is_not_read_again_and_what_was_learned_outlives_a_restart(
    studio: Studio, tmp_path: Path
) -> None:
    data = labelled(studio, 30)
    first = studio.labels.suggest(data)
    folder = studio.datasets.store.labelling_folder(data) / "starter-classify"
    before = {file: file.stat().st_mtime_ns for file in folder.glob("*.npz")}
    assert before
    again = Studio(studio.home.root)
    assert again.labels.state(data).suggesting.learned_from == 30
    state = again.labels.state(data)
    assert first is not None and state.suggestion == first.rows[state.row or 0]
    for row in range(31, 41):
        again.labels.give(data, row, truth(again.labels.rows(data, page=Page(row, 1)).rows[0].text))
    second = again.labels.suggest(data)
    again.close()
    assert second is not None and second.labelled == 40
    assert {file: file.stat().st_mtime_ns for file in folder.glob("*.npz")} == before
    studio.datasets.delete(data)
    assert not folder.exists()


def test_the_suggestion_on_the_screen_is_kept_with_the_key_press_and_makes_the_curve(studio: Studio) -> None:
    data = labelled(studio, 30)
    studio.labels.suggest(data)
    state = studio.labels.state(data, "Ann")
    right = 0
    for number in range(20):
        assert state.row is not None and state.suggestion is not None
        label = truth(state.text) if number else next(name for name in FORMS if name != state.suggestion.best)
        right += label == state.suggestion.best
        state = studio.labels.give(data, state.row, label, "Ann")
    assert (state.trust.shown, state.trust.right) == (20, right)
    assert state.trust.points[-1].share == pytest.approx(right / 20)
    facts = [fact for fact in studio.context.workspace.labels.after(data) if fact.suggested]
    assert len(facts) == 20 and {fact.labeller for fact in facts} == {"Ann"} and all(fact.time for fact in facts)
    assert state.recent[-1].was == "" or len(state.recent) == 8


def test_in_the_background_it_learns_by_itself_and_again_after_more_labels(studio: Studio) -> None:
    data = labelled(studio, 12)
    assert studio.labels.state(data).suggesting.due
    studio.labels.suggest_in_background(data)
    until(
        lambda: (
            studio.labels.state(data).suggesting.learned_from == 12 and not studio.labels.state(data).suggesting.busy
        )
    )
    assert not studio.labels.state(data).suggesting.due, "nothing is new"
    state = studio.labels.state(data)
    for _ in range(5):
        assert state.row is not None
        state = studio.labels.give(data, state.row, truth(state.text))
    assert state.suggesting.due
    began = time.monotonic()
    studio.labels.suggest_in_background(data)
    until(lambda: studio.labels.state(data).suggesting.learned_from == 17)
    assert time.monotonic() - began < 20
    studio.labels.rename(data, "refund", "money")
    state = studio.labels.state(data)
    assert state.suggestion is None, "a suggestion by the old name would bring it back"
    assert state.suggesting.due
    studio.labels.suggest_in_background(data)
    until(lambda: studio.labels.state(data).suggestion is not None)


def test_suggested_labels_can_be_taken_for_many_rows_at_once(studio: Studio) -> None:
    data = labelled(studio, 30)
    learned = studio.labels.suggest(data)
    assert learned is not None
    page = studio.labels.rows(data, show="sure", page=Page(1, 10))
    sure = [each.suggestion.sure for each in page.rows if each.suggestion]
    assert sure == sorted(sure, reverse=True) and len(sure) == 10
    assert studio.labels.give_many(data, [each.row for each in page.rows]) == 10
    assert studio.labels.state(data).done == 40


def until(condition, seconds: float = 60) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)
