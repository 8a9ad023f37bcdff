"""A run that really trains and whose worker is killed goes on from the page, and one that was ended is told so."""

import os
import re
import signal
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.api import Studio
from studio.schema.events import StepEvent
from studio.schema.requests import RunRequest
from tests.browser.conftest import emptied
from tests.browser.made import Made
from tests.browser.served import Served
from tests.browser.test_steps_1_to_3 import SLOW
from tests.browser.test_train_page import steps_known, watch
from tests.real.made_runs import tiny_llama

STEPS = 60
QUICK = {
    "max_steps": STEPS,
    "epochs": 40,
    "eval_steps": 10,
    "eval_rows": 4,
    "batch_size": 1,
    "max_length": 64,
    "early_stopping_patience": 0,
    "precision": "float32",
    "learning_rate": 1e-2,
    "watch_share": 0,
}


@pytest.fixture
def served(shared_server: Served) -> Served:
    """One studio for all tests here, empty for each."""
    return emptied(shared_server)


def steps_of(studio: Studio, run: str) -> list[int]:
    """Numbers of the steps as they were told."""
    return [each.event.step for each in studio.runs.events(run, kinds=("step",)) if isinstance(each.event, StepEvent)]


def test_a_run_whose_worker_was_killed_is_resumed_on_its_page_and_its_curve_has_no_hole(
    page: Page, served: Served, tmp_path: Path
) -> None:
    studio = Studio(served.home)
    model, data = str(tiny_llama(tmp_path / "tiny").path), studio.datasets.add_sample("support-tone")
    run = studio.runs.start(RunRequest(dataset=data.id, model=model, settings=QUICK)).id
    for _ in range(6000):
        if len(steps_of(studio, run)) > 12:
            break
        page.wait_for_timeout(20)
    worker = studio.context.workspace.runs.worker(run).pid
    assert worker is not None
    os.killpg(worker, signal.SIGKILL)
    before = steps_of(studio, run)
    assert before == list(range(1, len(before) + 1)) and 12 < len(before) < STEPS, "it was killed among its steps"

    watch(page, served, run)
    expect(page.get_by_role("alert").filter(has_text=f"of {STEPS}")).to_contain_text(
        "Another program or a person killed it"
    )
    resume = page.get_by_role("button", name=re.compile("Resume from step"))
    saved = int(re.sub(r"\D", "", resume.inner_text()))
    assert saved in studio.runs.checkpoints(run)
    resume.click()
    expect(page.locator("[data-part=left]")).to_contain_text("Finished", timeout=4 * SLOW)
    expect(page.get_by_role("button", name="Chat with both")).to_be_visible()
    steps_known(page, STEPS)
    drawn = page.evaluate("studio.live.data.steps.map((row) => row[0])")
    assert drawn == list(range(1, STEPS + 1))
    assert steps_of(studio, run)[len(before)] == saved + 1, "it went on, and did not start again"
    assert studio.runs.get(run).has_result
    studio.close()


WATCH = """() => {
    window.seen = [];
    const look = () => {
        const run = studio.live.data?.run;
        const text = (part) => document.querySelector(`[data-part=${part}]`)?.textContent || "";
        const chart = document.querySelector("[data-part=loss] .chart")?.chart;
        seen.push({
            status: run?.status, step: run?.step, steps: run?.steps, left: text("left"), side: text("side"),
            width: parseFloat(document.querySelector("[data-part=track] i")?.style.width || "0"),
            header: document.querySelector(".runbar")?.textContent || "",
            points: studio.live.data?.steps.length, last: chart ? [...chart.texts].at(-1) : "",
        });
        if (!["finished", "failed"].includes(run?.status)) setTimeout(look, 40);
    };
    look();
}"""
"""Notes what the page shows every 40 ms until the run ends."""


def test_a_paused_run_that_continues_keeps_its_bar_its_curve_and_its_axis(
    page: Page, served: Served, tmp_path: Path
) -> None:
    studio = Studio(served.home)
    model, data = str(tiny_llama(tmp_path / "tiny").path), studio.datasets.add_sample("support-tone")
    settings = {**QUICK, "max_steps": 400, "eval_steps": 100}
    run = studio.runs.start(RunRequest(dataset=data.id, model=model, settings=settings)).id
    watch(page, served, run)
    page.wait_for_function("studio.live.data?.steps.length > 20", timeout=2 * SLOW)
    expect(page.get_by_text("Pause lets other runs go first. None is waiting now.")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("[data-part=left]")).to_contain_text("Paused at step", timeout=2 * SLOW)
    paused = studio.runs.get(run)
    share = 100 * paused.step / paused.steps
    page.evaluate(WATCH)
    page.get_by_role("button", name=re.compile("Resume from step")).click()
    expect(page.locator("[data-part=left]")).to_contain_text("Finished", timeout=4 * SLOW)
    seen = page.evaluate("window.seen")
    working = [each for each in seen if each["status"] in ("queued", "starting", "training")]
    assert len({each["status"] for each in working}) > 1, "it waits or starts, and then trains"
    assert min(each["width"] for each in working) >= share - 1, "the bar never falls back"
    assert min(each["points"] for each in working) >= paused.step, "the curve keeps its points"
    assert {each["last"] for each in working} == {"400"}, "the axis ends with the run"
    for each in working:
        assert not re.match(r"0%|1%", each["left"]) and "0%" not in each["header"].split(), each
        assert "The curve begins" not in each["side"] and "No advice yet" not in each["side"], each
    studio.close()


def test_a_run_that_the_system_ended_is_not_told_as_stopped_by_a_person(page: Page, served: Served) -> None:
    run = Made(served.home, "ended", at=130)
    run.finish()
    why = (
        "Stopped at step 130 because its process was stopped from outside (SIGTERM). The best checkpoint is the result."
    )
    run.space.runs.set_status(run.id, "stopped", why, reason=why)
    watch(page, served, run.id)
    note = page.locator("[data-part=note]")
    expect(note).to_contain_text("Ended by the system")
    expect(note).to_contain_text("The checkpoint from training step 120 is ready")
    expect(note).not_to_contain_text("by you")
    expect(page.get_by_role("button", name="Resume from step 120")).to_be_visible()
    expect(page.get_by_role("button", name="Chat with both")).to_be_visible()


def test_a_finished_run_says_which_limit_ended_it(page: Page, served: Served) -> None:
    run = Made(served.home, "limited", at=130)
    run.finish()
    note = page.locator("[data-part=note]")
    watch(page, served, run.id)
    expect(page.locator("[data-part=left]")).to_contain_text("130")
    expect(note).to_be_empty()
    for heading, why in (
        ("Step limit reached", "The run has reached its limit of 130 steps. The best checkpoint is the result."),
        ("Stopped early", "Early stopping: validations no longer improved. The best checkpoint is the result."),
        ("Finished", "Combined from 0.7 × kind, 0.3 × brief."),
    ):
        run.space.runs.set_status(run.id, "finished", why, reason=why)
        watch(page, served, run.id)
        expect(note.get_by_role("heading", name=heading)).to_be_visible()
        expect(note).to_contain_text(why)


def test_a_run_that_waits_has_not_started_and_one_that_failed_before_its_first_step_has_no_share(
    page: Page, served: Served
) -> None:
    run = Made(served.home, "early")
    watch(page, served, run.id)
    expect(page.locator("[data-part=what]")).to_contain_text("started")
    words = """(status) => {
        const run = { status, started: "2026-12-01T08:00:00Z", share: 0 }, { startedAt, left } = studio.trainWords;
        return [startedAt(run, { steps: [], about: {} }), left(run, {}).map((each) => each.textContent).join("")];
    }"""
    assert page.evaluate(words, "queued")[0] == ""
    assert page.evaluate(words, "failed")[1] == "Failed" and page.evaluate(words, "interrupted")[1] == "Interrupted"
    run.finish()
