"""Pages ask less often the more of them there are, and none is far behind."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from studio.schema.errors import StudioError
from studio.ui.http import poll_throttle
from studio.ui.http.poll_throttle import CROWD, LONGEST, ResponseCache, Watchers


def test_a_few_pages_ask_every_second_and_two_hundred_every_four() -> None:
    crowd = Watchers()
    waits = [crowd.wait(f"page {number}") for number in range(300)]
    assert waits[:50] == [1.0] * 50
    assert waits[99] == pytest.approx(2.0) and waits[199] == waits[299] == LONGEST < 5


def test_a_page_counts_once_however_often_it_asks_and_not_when_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = Watchers()
    assert {crowd.wait("one") for _ in range(500)} == {1.0}
    for number in range(200):
        crowd.wait(f"page {number}")
    monkeypatch.setattr(poll_throttle, "SEEN_SECONDS", 0.0)
    assert crowd.wait("one") == 1.0


def test_only_a_crowd_shares_answers() -> None:
    pages = Watchers()
    crowded = [pages.wait(f"page {number}") and pages.crowded() for number in range(CROWD + 1)]
    assert crowded == [False] * CROWD + [True]


def test_what_many_ask_in_one_moment_is_made_once_and_a_moment_later_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    answers, made, gate = ResponseCache(), [], threading.Event()

    def make() -> bytes:
        gate.wait(5)
        made.append(1)
        return b"%d" % len(made)

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(answers.get, "run 1", make) for _ in range(8)]
        gate.set()
        assert {each.result() for each in asked} == {b"1"}
    assert answers.get("run 2", lambda: b"other") == b"other"
    monkeypatch.setattr(poll_throttle, "SHARED_SECONDS", 0.0)
    assert answers.get("run 1", make) == b"2"


def test_an_answer_that_could_not_be_made_is_refused_to_all_who_waited_and_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> bytes:
        raise StudioError("no-such-run", "It is gone.")

    answers = ResponseCache()
    for _ in range(2):
        with pytest.raises(StudioError, match="gone"):
            answers.get("run 1", fail)
    monkeypatch.setattr(poll_throttle, "SHARED_SECONDS", 0.0)
    assert answers.get("run 1", lambda: b"back") == b"back"
