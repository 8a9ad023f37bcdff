"""The server's log: records that repeat, exceptions, tokens, and a full disk."""

import asyncio
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.ui import logs


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def written() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(clock: Clock, written: io.StringIO) -> Iterator[logging.Logger]:
    stream = logging.StreamHandler(written)
    stream.setFormatter(logs.Line())
    handler = logs.Deduplicating([stream], clock=clock)
    logger = logging.getLogger("studio.test_ui_logs")
    logger.propagate = False
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)
    handler.close()


def test_a_record_that_repeats_is_written_once_and_counted(
    log: logging.Logger, clock: Clock, written: io.StringIO
) -> None:
    for _ in range(1000):
        log.warning("Too many connections")
    log.warning("Another one")
    assert written.getvalue().count("Too many connections") == 1 and "Another one" in written.getvalue()
    clock.now = 61
    log.warning("Too many connections")
    lines = written.getvalue().splitlines()
    assert next(line for line in lines if "repeated" in line).endswith("connections (repeated 999 more times)")
    assert len(lines) == 4


def test_an_exception_of_the_same_place_is_written_once_whatever_its_words(
    log: logging.Logger, written: io.StringIO
) -> None:
    for number in range(50):
        try:
            raise ValueError(f"wrong {number}")
        except ValueError:
            log.exception("Error in request %s", number)
    assert written.getvalue().count("Traceback") == 1


def test_the_memory_for_records_is_bounded(log: logging.Logger, written: io.StringIO) -> None:
    for number in range(5000):
        log.warning("Record %s", number)
    handler = log.handlers[0]
    assert isinstance(handler, logs.Deduplicating) and len(handler._seen) <= 500


def test_requests_that_the_end_of_the_server_cancels_are_no_errors(log: logging.Logger, written: io.StringIO) -> None:
    log.error("Exception in ASGI application", exc_info=asyncio.CancelledError("timeout graceful shutdown exceeded"))
    log.error("Exception in ASGI application", exc_info=ValueError("another cause"))
    assert "CancelledError" not in written.getvalue() and "another cause" in written.getvalue()


def test_a_token_is_not_written(log: logging.Logger, written: io.StringIO) -> None:
    log.error("Refused for hf_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789")
    assert "AbCdEf" not in written.getvalue()


def test_the_log_is_a_file_of_the_home_that_stays_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logs, "BYTES", 10_000)
    with logs.writing(tmp_path / "logs") as path:
        for number in range(1000):
            logging.getLogger("uvicorn.error").warning("Line %s %s", number, "x" * 100)
    files = sorted(each.name for each in path.parent.iterdir())
    assert files == ["server.log", "server.log.1", "server.log.2", "server.log.3"]
    assert all(each.stat().st_size <= 10_000 for each in path.parent.iterdir())
    assert "Line 999" in path.read_text() and "Line 999" in capfd.readouterr().err


def test_a_folder_that_can_not_be_written_stops_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with logs.writing(tmp_path / "logs") as path:
        path.mkdir()
        logging.getLogger("studio.ui").error("Still written")
    shown = capfd.readouterr().err
    assert "Still written" in shown and "Logging error" not in shown
