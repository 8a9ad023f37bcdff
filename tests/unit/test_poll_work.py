"""Long work that the page began goes on without it, and says how far it is and why it failed."""

import threading
import time

from studio.schema.errors import StudioError
from studio.ui.work import Key, Piece, Tell, Work

KEY: Key = ("default", "run-1", "evaluate")


def until_done(work: Work, key: Key = KEY) -> Piece:
    for _ in range(400):
        piece = work.look(key)
        assert piece is not None
        if not piece.running:
            return piece
        time.sleep(0.005)
    raise AssertionError("it never ended")


def test_it_tells_how_far_it_is_and_then_that_it_is_done_once() -> None:
    work, on = Work(), threading.Event()

    def slowly(tell: Tell) -> None:
        tell(3, 12, "rows")
        assert on.wait(5)

    work.begin(KEY, slowly)
    while not (piece := work.look(KEY)) or not piece.total:
        time.sleep(0.005)
    assert (piece.running, piece.share, piece.message) == (True, 0.25, "rows")
    on.set()
    assert until_done(work).error is None
    assert work.look(KEY) is None


def test_begun_twice_it_is_done_once() -> None:
    work, on, times = Work(), threading.Event(), []

    def count(tell: Tell) -> None:
        times.append(1)
        assert on.wait(5)

    work.begin(KEY, count)
    work.begin(KEY, count)
    on.set()
    until_done(work)
    assert times == [1]


def test_a_refusal_is_handed_on_as_it_was_said() -> None:
    work = Work()

    def refuse(tell: Tell) -> None:
        raise StudioError("disk-full", "There is not enough room on the disk.")

    work.begin(KEY, refuse)
    error = until_done(work).error
    assert error is not None and error.code == "disk-full"


def test_what_nobody_foresaw_becomes_a_sentence_without_its_cause(caplog) -> None:  # type: ignore[no-untyped-def]
    work = Work()

    def burst(tell: Tell) -> None:
        raise RuntimeError("/secret/path")

    work.begin(KEY, burst)
    error = until_done(work).error
    assert error is not None and "/secret" not in error.message
    assert "/secret/path" in caplog.text


def test_one_visitors_work_is_not_anothers() -> None:
    work, on = Work(), threading.Event()
    work.begin(KEY, lambda tell: on.wait(5))
    assert work.look(("other", "run-1", "evaluate")) is None
    on.set()
    until_done(work)


def test_the_time_left_follows_from_the_pace() -> None:
    piece = Piece(done=25, total=100, began=time.monotonic() - 10)
    assert piece.seconds_left is not None and 29 < piece.seconds_left < 31
    assert Piece(done=0, total=100, began=time.monotonic() - 10).seconds_left is None
