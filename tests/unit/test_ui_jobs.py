"""A job runs without the page that began it, reports its progress, and says why it failed."""

import threading
import time
from pathlib import Path

import pytest

from studio.schema.errors import StudioError
from studio.services.datasets.subprocess_jobs import Cancelled
from studio.ui.http.proxies import ROLE
from studio.ui.jobs import JOBS, Job, Jobs, Key
from studio.ui.visitors.session import Sessions

KEY: Key = ("default", "run-1 evaluate")


def until_ended(jobs: Jobs, key: Key = KEY) -> Job:
    for _ in range(400):
        job = jobs.look(key)
        assert job is not None
        if job.ended:
            return job
        time.sleep(0.005)
    raise AssertionError("the job never ended")


def test_a_job_reports_its_progress_and_is_returned_for_a_while_when_it_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs, resume = Jobs(), threading.Event()

    def slow(job: Job) -> str:
        job.advance(3, 12, "rows")
        assert resume.wait(5)
        return "done"

    jobs.begin(KEY, Job(), slow)
    while not (job := jobs.look(KEY)) or not job.total:
        time.sleep(0.005)
    assert (job.ended, job.share, job.title) == (False, 0.25, "rows")
    resume.set()
    ended = until_ended(jobs)
    assert (ended.error, ended.result) == (None, "done")
    assert jobs.look(KEY) is ended, "the first drawing of it may have been dropped by the page"
    monkeypatch.setattr("studio.ui.jobs.SHOWN_SECONDS", 0.0)
    assert jobs.look(KEY) is None and jobs.take(KEY) is None


def test_a_job_that_is_begun_twice_runs_once_and_again_after_its_end() -> None:
    jobs, resume, times = Jobs(), threading.Event(), []

    def count(job: Job) -> None:
        times.append(1)
        assert resume.wait(5)

    first = jobs.begin(KEY, Job(), count)
    assert jobs.begin(KEY, Job(), count) is first
    resume.set()
    until_ended(jobs)
    assert times == [1]
    jobs.begin(KEY, Job(), count)
    until_ended(jobs)
    assert times == [1, 1]


def test_a_job_that_is_cancelled_is_forgotten_and_can_see_it() -> None:
    jobs, seen = Jobs(), threading.Event()

    def wait(job: Job) -> None:
        if job.cancelled.wait(5):
            seen.set()

    jobs.begin(KEY, Job(), wait)
    jobs.cancel(KEY)
    assert jobs.get(KEY) is None and seen.wait(5)


def test_a_viewers_page_shows_the_end_of_a_job_and_leaves_it_for_the_page_of_the_editor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the editor would never read why the job failed."""

    def refuse(job: Job) -> None:
        raise StudioError("disk-full", "There is not enough disk space.")

    sessions, key = Sessions(tmp_path / "home"), ("default", "run-1 viewed")
    editor, viewer = (sessions.visit({ROLE: role}, "page") for role in ("editor", "viewer"))
    JOBS.begin(key, Job(), refuse)
    while not (job := JOBS.get(key)) or not job.ended:
        time.sleep(0.005)
    for _ in range(2):
        assert (seen := viewer.job(key)) and seen.error and viewer.take_job(key) is None
    assert (told := editor.job(key)) and told.error and told.error.code == "disk-full"
    monkeypatch.setattr("studio.ui.jobs.SHOWN_SECONDS", 0.0)
    assert editor.job(key) is None and viewer.job(key) is None


def test_a_refusal_is_passed_on() -> None:
    jobs = Jobs()

    def refuse(job: Job) -> None:
        raise StudioError("disk-full", "There is not enough disk space.")

    jobs.begin(KEY, Job(), refuse)
    error = until_ended(jobs).error
    assert error is not None and error.code == "disk-full"


def test_an_unexpected_error_becomes_a_sentence_without_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    jobs = Jobs()

    def fail(job: Job) -> None:
        raise RuntimeError("/secret/path")

    jobs.begin(KEY, Job(), fail)
    error = until_ended(jobs).error
    assert error is not None and "/secret" not in error.message
    assert "/secret/path" in caplog.text


def test_a_job_is_not_visible_to_another_visitor() -> None:
    jobs, resume = Jobs(), threading.Event()
    jobs.begin(KEY, Job(), lambda job: resume.wait(5))
    assert jobs.look(("other", KEY[1])) is None
    resume.set()
    until_ended(jobs)


def test_the_time_left_follows_from_the_speed() -> None:
    job = Job(done=25, total=100, began=time.monotonic() - 10)
    assert job.seconds_left is not None and 29 < job.seconds_left < 31
    assert Job(done=0, total=100, began=time.monotonic() - 10).seconds_left is None


def test_a_canceled_job_ends_at_its_next_step() -> None:
    jobs, reached = Jobs(), list[int]()
    begun, resume = threading.Event(), threading.Event()

    def work(job: Job) -> None:
        for number in range(3):
            job.advance_or_end(number, 3, "writing")
            reached.append(number)
            begun.set()
            assert resume.wait(5)

    job = jobs.begin(KEY, Job(), work)
    assert begun.wait(5)
    jobs.cancel(KEY)
    resume.set()
    while not job.ended:
        time.sleep(0.005)
    assert reached == [0] and isinstance(job.error, Cancelled) and jobs.get(KEY) is None
