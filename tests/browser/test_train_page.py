"""Step 4 as it is watched, in a real Chromium, on runs that are told step by step."""

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from studio.schema.events import PhaseEvent
from tests.browser.axe_faults import axe_faults_of_both_schemes
from tests.browser.conftest import opened_pages, ready, settled
from tests.browser.made import STEPS, Made, step
from tests.browser.served import Served

KNOWN = "studio.live.data ? studio.live.data.steps.length : 0"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One studio for the tests that leave it alive."""
    served = Served(tmp_path_factory.mktemp("train") / "home")
    yield served
    served.stop()


@pytest.fixture
def look(browser: Browser, studio: Served) -> Iterator[Any]:
    """Opens a run's page."""
    with opened_pages(browser, studio) as open_page:

        def at(run: str, **options: Any) -> Page:
            page = open_page(f"/?run={run}", **options)
            page.get_by_role("tab", name="4 Train", exact=True).click()
            return page

        yield at


def watch(page: Page, served: Served, run: str, name: str = "4 Train") -> None:
    """Open the address of a run and go to one of its steps."""
    page.goto(f"{served.url}/?run={run}")
    ready(page)
    page.get_by_role("tab", name=name, exact=True).click()


def steps_known(page: Page, number: int) -> None:
    page.wait_for_function(f"({KNOWN}) === {number}", timeout=30_000)


def drawn(page: Page) -> str:
    """The picture of the loss as it is drawn, without the marker."""
    page.wait_for_timeout(120)
    return str(page.locator("[data-part=loss] canvas").evaluate("canvas => canvas.toDataURL()"))


def ticks(chart: Locator) -> list[str]:
    """The texts under the axis of a chart."""
    return list(chart.evaluate("box => box.chart.texts"))


def test_the_curve_grows_by_itself_and_is_the_same_after_a_reload(look: Any, studio: Served) -> None:
    run = Made(studio.home, "grows", at=60)
    page = look(run.id)
    steps_known(page, 60)
    before = drawn(page)
    run.go_to(93)
    steps_known(page, 93)
    grown = drawn(page)
    assert grown != before
    expect(page.locator("[data-part=phases]")).to_contain_text("Training, step 93 of 312")
    expect(page.locator("[data-part=facts]")).to_contain_text("Next validation at step 120")
    told = page.evaluate("JSON.stringify(studio.live.data.steps)")
    assert f"run={run.id}" in page.url
    page.reload()
    ready(page)
    page.get_by_role("tab", name="4 Train", exact=True).click()
    steps_known(page, 93)
    assert drawn(page) == grown
    assert page.evaluate("JSON.stringify(studio.live.data.steps)") == told
    run.finish()


def test_preparation_says_what_it_does_and_then_header_and_tab_have_one_time_left(look: Any, studio: Served) -> None:
    run = Made(studio.home, "prepares")
    words = "Answering your test prompts with the base model, 2 of 3"
    run.say(PhaseEvent(phase="reading", message=words, done=2, total=3, unit="prompts"))
    run.space.runs.beat(run.id, "reading", 0, 0, 1.0)
    page = look(run.id)
    for place in ("[data-part=left]", "[data-part=phases]", ".runbar"):
        expect(page.locator(place)).to_contain_text(words)
    run.say(
        PhaseEvent(
            phase="reading", message="Computing the first step. The base model is measured between the next ones"
        )
    )
    expect(page.locator(".runbar")).to_contain_text("Computing the first step")
    brand, state = page.locator(".brand").bounding_box(), page.locator(".runbar .state").bounding_box()
    assert brand and state and brand["x"] + brand["width"] <= state["x"], "the header does not cover the brand"
    run.say(PhaseEvent(phase="reading", message=words, done=2, total=3, unit="prompts"))
    expect(page.locator("[data-part=left]")).not_to_contain_text("0%")
    for number in range(1, 5):
        run.say(step(number))
        page.wait_for_timeout(100)
    run.space.runs.beat(run.id, "training", 4, STEPS, 1.0)
    left = re.compile(r"(about \d+ (s|min)|a few seconds) left")
    expect(page.locator("[data-part=left]")).to_contain_text(left)
    told = left.search(page.locator("[data-part=left]").inner_text())
    assert told
    expect(page.locator(".runbar")).to_contain_text(told.group())
    run.finish()


def test_zoom_and_marker_are_the_persons_and_no_tick_takes_them(look: Any, studio: Served) -> None:
    run = Made(studio.home, "zoomed", at=120)
    page = look(run.id)
    steps_known(page, 120)
    chart = page.locator("[data-part=loss] .chart")
    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 80, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 220, box["y"] + 100, steps=6)
    page.mouse.up()
    expect(page.get_by_role("button", name="Show all")).to_be_visible()
    zoomed = ticks(chart)
    assert "312" not in zoomed
    run.go_to(123)
    steps_known(page, 123)
    page.wait_for_timeout(200)
    assert ticks(chart) == zoomed
    expect(page.locator("[data-part=loss] .tipbox")).to_contain_text("train ")
    page.get_by_role("button", name="Show all").click()
    page.wait_for_timeout(120)
    assert ticks(chart)[0] == "step 0" and ticks(chart)[-1] == "312"
    run.finish()


def test_the_chart_is_used_by_keyboard_and_says_what_it_shows(look: Any, studio: Served) -> None:
    run = Made(studio.home, "keys", at=150)
    run.finish()
    page = look(run.id)
    steps_known(page, 150)
    chart = page.locator("[data-part=loss] .chart")
    assert "Validation loss is lowest at step 120" in (chart.get_attribute("aria-label") or "")
    chart.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator("[data-part=loss] .tipbox")).to_contain_text("Step 30")
    expect(page.locator("[data-part=loss] [aria-live]")).to_contain_text("Step 30, validation")
    page.keyboard.press("+")
    expect(page.get_by_role("button", name="Show all")).to_be_visible()
    page.keyboard.press("0")
    expect(page.get_by_role("button", name="Show all")).to_be_hidden()
    page.keyboard.press("l")
    expect(page.get_by_label("Log scale")).to_be_checked()
    line = drawn(page)
    page.get_by_label("Smooth", exact=True).uncheck()
    assert drawn(page) != line


def test_a_finished_run_shows_her_prompts_answered_twice_and_leads_to_the_chat(look: Any, studio: Served) -> None:
    run = Made(studio.home, "<b>done</b>", at=210)
    run.finish()
    page = look(run.id)
    expect(page.get_by_role("heading", name="<b>done</b>")).to_be_visible()
    expect(page.get_by_text("Stopped early at step 210")).to_be_visible()
    replies = page.locator("[data-part=replies]")
    expect(replies).to_contain_text("Before training")
    expect(replies).to_contain_text("Step 120 · best")
    expect(replies).to_contain_text("<img src=x")
    page.get_by_text("Change of address", exact=False).click()
    expect(replies).to_contain_text("Change of address")
    page.get_by_role("button", name="Chat with both").click()
    for pane in ("base", "fine-tuned"):
        said = page.get_by_role("log", name=f"Replies of the {pane} model")
        expect(said).to_contain_text("Where is my refund?")
        expect(said).to_contain_text("As an AI <img" if pane == "base" else "Thanks <img")
    assert page.locator("#steps img").count() == 0
    assert "Fine-tune Studio" in page.title()


def test_a_run_that_was_lost_says_why_what_is_safe_and_the_way_on(look: Any, studio: Served) -> None:
    run = Made(studio.home, "lost", at=193)
    folder = run.space.runs.folder(run.id)
    (folder.checkpoints / "checkpoint-180" / "weights").write_bytes(bytes(3_000_000))
    for gone in (30, 60, 90, 120, 150):  # pruned, as the trainer does
        shutil.rmtree(folder.checkpoints / f"checkpoint-{gone}")
    run.space.runs.set_status(run.id, "interrupted", reason="The process was ended by the system. Step 180 is safe.")
    page = look(run.id)
    alert = page.get_by_role("alert").filter(has_text="stopped at step 193 of 312")
    expect(alert).to_contain_text("Step 180 is safe")
    expect(page.locator("[data-part=side]")).to_contain_text("Resume from step 180")
    expect(page.get_by_role("button", name="Resume from step 180")).to_be_visible()
    page.locator("[data-do=delete]").click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("its curve, log and checkpoints, 3.0 MB")
    question.get_by_role("button", name="Cancel").click()
    assert run.space.runs.get(run.id).status == "interrupted"


def test_a_run_is_stopped_only_by_its_button_and_thrown_away_only_after_a_question(look: Any, studio: Served) -> None:
    run = Made(studio.home, "stops", at=40)
    page = look(run.id)
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_role("dialog")).to_contain_text("40 training steps")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert run.space.runs.stop_wish(run.id) is None
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_disabled()
    expect(page.locator("[data-part=phases]")).to_contain_text("Stopping after this step")
    assert run.space.runs.stop_wish(run.id) == "keep"
    run.finish()
    expect(page.get_by_role("button", name="Chat with both")).to_be_visible()


def test_the_log_is_shown_as_text_and_the_settings_in_words(look: Any, studio: Served) -> None:
    run = Made(studio.home, "log", at=10)
    run.space.runs.folder(run.id).log.write_text("Traceback <img src=x onerror=alert(1)>\n")
    run.finish()
    page = look(run.id)
    page.get_by_role("button", name="Log", exact=True).click()
    expect(page.locator("[data-part=log]")).to_contain_text("Traceback <img src=x")
    page.get_by_role("button", name="Settings", exact=True).click()
    expect(page.locator("[data-part=settings]")).to_contain_text("Learning rate")
    expect(page.locator("[data-part=log]")).to_be_hidden()


def test_on_a_phone_nothing_scrolls_sideways(look: Any, studio: Served) -> None:
    run = Made(studio.home, f"phone with-a-very-long-name-that-has-no-place-to-break-{'x' * 40}", at=210)
    run.finish()
    page = look(run.id)
    page.set_viewport_size({"width": 390, "height": 844})
    for tab in ("4 Train", "5 Evaluate", "6 Chat", "7 Export", "Runs"):
        page.get_by_role("tab", name=tab, exact=True).click()
        settled(page)
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, (tab, scheme)


def test_a_watched_run_costs_little_on_the_wire_and_nothing_while_nobody_looks(look: Any, studio: Served) -> None:
    run = Made(studio.home, "wire", at=50)
    page = look(run.id)
    steps_known(page, 50)
    wire = page.context.new_cdp_session(page)
    wire.send("Network.enable")
    got, asked = [], []
    wire.on("Network.loadingFinished", lambda told: got.append(told["encodedDataLength"]))
    wire.on("Network.requestWillBeSentExtraInfo", lambda told: asked.append(sum(map(len, str(told["headers"])))))
    began = time.monotonic()
    while time.monotonic() - began < 5:
        run.go_to(run.at + 1)
        page.wait_for_timeout(950)
    spent = (sum(got) + sum(asked)) / (time.monotonic() - began)
    print(f"{spent:.0f} bytes a second, {len(got)} answers")
    assert 2 < len(got) < 8
    assert spent < 2048
    page.get_by_role("tab", name="Runs", exact=True).click()
    page.wait_for_timeout(500)
    known = page.evaluate(KNOWN)
    run.go_to(run.at + 5)
    page.wait_for_timeout(2500)
    assert page.evaluate(KNOWN) == known
    page.get_by_role("tab", name="4 Train", exact=True).click()
    steps_known(page, run.at)
    run.finish()


def test_runs_are_opened_renamed_and_deleted_after_a_question(look: Any, studio: Served) -> None:
    kept, gone = Made(studio.home, "kept <i>one</i>", at=60), Made(studio.home, "gone", at=30)
    kept.finish()
    gone.finish()
    page = look(gone.id)
    page.get_by_role("tab", name="Runs", exact=True).click()
    page.get_by_role("button", name="Rename kept <i>one</i>").click()
    field = page.get_by_role("textbox", name="New name")
    expect(field).to_be_focused()
    field.fill("renamed <b>two</b>")
    field.press("Enter")
    expect(page.get_by_role("button", name="Open renamed <b>two</b>")).to_be_visible()
    page.get_by_role("button", name="Delete gone").click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("its curve, log, checkpoints and fine-tuned model")
    question.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("button", name="Open gone")).to_have_count(0)
    expect(page.get_by_text("The run “gone” was deleted.")).to_be_visible()
    assert not gone.space.runs.folder(gone.id).root.exists()
    page.get_by_role("button", name="Open renamed <b>two</b>").click()
    expect(page.get_by_role("heading", name="renamed <b>two</b>")).to_be_visible()


def test_tabs_that_wait_for_a_model_open_by_themselves_when_the_run_ends(look: Any, studio: Served) -> None:
    run = Made(studio.home, "soon ready", at=60)
    page, other = look(run.id), look(run.id)
    page.get_by_role("tab", name="7 Export", exact=True).click()
    other.get_by_role("tab", name="6 Chat", exact=True).click()
    expect(page.get_by_role("heading", name="Nothing to export yet")).to_be_visible()
    expect(other.get_by_role("heading", name="No fine-tuned model yet")).to_be_visible()
    run.finish()
    run.space.runs.describe(run.id, {"model": {"name": "starter-chat"}})
    expect(page.get_by_role("heading", name="Export the fine-tuned model")).to_be_visible()
    expect(other.get_by_role("heading", name="Chat with both models")).to_be_visible()


def test_all_columns_of_the_runs_are_in_view_and_their_buttons_in_line(look: Any, studio: Served) -> None:
    """At 1280 pixels, with a run that trains and one that has ended."""
    done, work = Made(studio.home, "ended before", at=90), Made(studio.home, "works now", at=30)
    done.finish()
    page = look(done.id)
    page.get_by_role("tab", name="Runs", exact=True).click()
    table = page.get_by_role("region", name="Runs, scrolls sideways")
    expect(table).to_be_visible()
    assert table.evaluate("e => e.scrollWidth === e.clientWidth")
    boxes = [page.get_by_role("button", name=f"Open {name}").bounding_box() for name in ("ended before", "works now")]
    assert boxes[0] and boxes[1] and boxes[0]["x"] == boxes[1]["x"]
    work.finish()


def test_the_bar_leads_from_any_step_to_the_run_at_work(look: Any, studio: Served) -> None:
    done, work = Made(studio.home, "earlier", at=30), Made(studio.home, "at work", at=78)
    done.finish()
    page = look(done.id)
    bar = page.get_by_role("group", name="Current run")
    expect(bar).to_contain_text("Training")
    expect(bar).to_contain_text(f"{round(100 * 78 / STEPS)}%")
    bar.get_by_role("button", name="Watch at work").click()
    expect(page.get_by_role("heading", name="at work")).to_be_visible()
    assert f"run={work.id}" in page.url
    work.finish()


def test_a_killed_server_is_said_and_the_curve_has_no_hole_when_it_is_back(tmp_path: Path, browser: Browser) -> None:
    served = Served(tmp_path / "home")
    try:
        run = Made(served.home, at=70)
        with opened_pages(browser, served) as open_page:
            page = open_page(f"/?run={run.id}")
            page.get_by_role("tab", name="4 Train", exact=True).click()
            steps_known(page, 70)
            served.kill()
            run.go_to(90)
            expect(page.get_by_text("The server does not answer")).to_be_visible(timeout=10_000)
            expect(page.get_by_role("group", name="Current run")).to_contain_text("Offline")
            served.start()
            run.go_to(95)
            steps_known(page, 95)
            drawn_steps = page.evaluate("studio.live.data.steps.map((row) => row[0])")
            assert drawn_steps == list(range(1, 96))
            expect(page.get_by_text("The server does not answer")).to_be_hidden()
    finally:
        served.stop()


def test_axe_finds_nothing_on_the_pages_of_a_run_in_light_and_dark(look: Any, studio: Served) -> None:
    run = Made(studio.home, "axe", at=210)
    run.finish()
    lost = Made(studio.home, "axe lost", at=70)
    lost.space.runs.set_status(lost.id, "interrupted", reason="The process was ended by the system.")
    page = look(run.id)
    found = {}
    for tab in ("4 Train", "5 Evaluate", "6 Chat", "7 Export", "Runs"):
        page.get_by_role("tab", name=tab, exact=True).click()
        settled(page)
        found[tab] = axe_faults_of_both_schemes(page, without=())
    page.goto(f"{studio.url}/?run={lost.id}")
    ready(page)
    page.get_by_role("tab", name="4 Train", exact=True).click()
    page.get_by_role("button", name="Resume from step 60").wait_for()
    page.locator("[data-part=fold] summary").click()
    found["lost"] = axe_faults_of_both_schemes(page, without=())
    assert not any(found.values()), found
