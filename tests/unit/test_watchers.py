"""Pages ask less often the more of them there are, and none is far behind."""

import pytest

from studio.ui import watchers
from studio.ui.watchers import LONGEST, Watchers


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
    monkeypatch.setattr(watchers, "SEEN_SECONDS", 0.0)
    assert crowd.wait("one") == 1.0
