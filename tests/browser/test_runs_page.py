"""All runs on one page, in a real Chromium: found, opened, put in order, run again, taken along, and the disk."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from studio.schema.events import PhaseEvent
from studio.schema.runs import ACTIVE, RunRecord
from tests.browser.axe_faults import axe_faults_of_both_schemes
from tests.browser.conftest import opened_pages, ready
from tests.browser.made import STEPS, Made
from tests.browser.served import Served

EVIL = "<img src=x onerror='document.title=1'>"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("runs") / "home")
    yield served
    served.stop()


@pytest.fixture
def look(browser: Browser, studio: Served) -> Iterator[Any]:
    """Opens the Runs page. Each test begins without runs."""
    shutil.rmtree(studio.home / "workspaces" / "default" / "runs", ignore_errors=True)
    space = Made(studio.home, "throwaway").space
    with space.db.write() as connection:
        connection.execute("DELETE FROM runs")
        connection.execute("DELETE FROM drafts")
    with space.home.queue.db.write() as connection:
        connection.execute("DELETE FROM entries")
    shutil.rmtree(space.runs.root, ignore_errors=True)
    with opened_pages(browser, studio) as open_page:

        def at(run: str = "", **options: Any) -> Page:
            page = open_page(f"/?run={run}", **options)
            page.get_by_role("tab", name="Runs", exact=True).click()
            return page

        yield at


def done(studio: Served, name: str, at: int = 60) -> Made:
    """A run that has finished, with rows that are still here."""
    run = Made(studio.home, name, at=at)
    run.finish()
    run.space.runs.describe(run.id, {"model": {"name": "starter-chat"}})
    return run


@pytest.fixture
def stand_in() -> Iterator["subprocess.Popen[bytes]"]:
    """Stands for workers, so that nobody gives a waiting run another one; it may be ended."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    yield process
    process.kill()
    process.communicate()


def waiting(run: Made, name: str, worker: int = 0) -> RunRecord:
    """A run that waits for its turn; its worker is this very process, unless it may be ended."""
    spec = run.space.runs.spec(run.id)
    config = spec.config.model_copy(update={"name": name})
    made = run.space.runs.create(spec.model_copy(update={"config": config}))
    run.space.home.queue.enqueue("default", made.id)
    run.space.home.queue.claim(made.id, worker or os.getpid())
    return made


def row(page: Page, name: str) -> Locator:
    """The line of a run in the table."""
    return page.locator("table.runs > tbody > tr:not(.more)").filter(has=page.get_by_text(name, exact=True))


def names(page: Page) -> list[str]:
    return page.locator("table.runs > tbody > tr:not(.more) > td:nth-child(2) > b").all_text_contents()


def more(page: Page, name: str) -> Locator:
    page.get_by_role("button", name=f"Details of {name}", exact=True).click()
    return page.get_by_role("region", name=f"Details of {name}")


def test_runs_are_found_sorted_tagged_noted_and_put_aside(look: Any, studio: Served) -> None:
    one, _ = done(studio, "tone"), done(studio, "mood")
    page = look()
    expect(row(page, "tone")).to_be_visible()
    panel = more(page, "tone")
    panel.get_by_label("Tags").fill("keep, v2")
    panel.get_by_label("Tags").press("Tab")
    panel.get_by_label("Note").fill(f"Too formal {EVIL}\nand more")
    panel.get_by_label("Note").press("Tab")
    expect(row(page, "tone")).to_contain_text("keep")
    expect(row(page, "tone")).to_contain_text(f"Too formal {EVIL}")
    assert one.space.runs.get(one.id).tags == ("keep", "v2")
    assert one.space.runs.get(one.id).note == f"Too formal {EVIL}\nand more"
    page.get_by_label("Find a run").fill("formal")
    expect(row(page, "mood")).to_have_count(0)
    page.get_by_label("Find a run").fill("nothing like that")
    expect(page.get_by_text("No run matches")).to_be_visible()
    page.get_by_label("Find a run").fill("")
    expect(row(page, "mood")).to_be_visible()
    page.get_by_label("Tag", exact=True).select_option("keep")
    expect(row(page, "mood")).to_have_count(0)
    page.get_by_label("Tag", exact=True).select_option("")
    page.get_by_label("Order", exact=True).select_option("name")
    page.wait_for_function("document.querySelector('table.runs tbody b').textContent === 'mood'")
    assert names(page) == ["mood", "tone"]
    page.get_by_label("Order", exact=True).select_option("newest")
    panel.get_by_role("button", name="Archive").click()
    expect(row(page, "tone")).to_have_count(0)
    page.get_by_label("Archived").check()
    expect(row(page, "tone")).to_be_visible()
    expect(row(page, "mood")).to_have_count(0)
    page.reload()
    ready(page)
    expect(row(page, "tone")).to_be_visible()
    panel.get_by_role("button", name="Unarchive").click()
    page.get_by_label("Archived").uncheck()
    expect(row(page, "mood")).to_be_visible()
    expect(row(page, "tone")).to_be_visible()


def test_the_order_of_the_queue_is_changed_by_buttons_and_a_waiting_run_is_paused(
    look: Any, studio: Served, stand_in: "subprocess.Popen[bytes]"
) -> None:
    work = Made(studio.home, "at work", at=40)
    work.space.home.queue.enqueue("default", work.id)
    work.space.home.queue.claim(work.id, os.getpid())
    assert work.space.home.queue.try_start(work.id)
    first, second = waiting(work, "first"), waiting(work, "second", stand_in.pid)
    page = look()
    expect(row(page, "first")).to_contain_text("1 run ahead of it")
    expect(row(page, "second")).to_contain_text("2 runs ahead of it")
    expect(page.get_by_role("button", name="Move up: first")).to_be_disabled()
    page.get_by_role("button", name="Move up: second").click()
    expect(row(page, "second")).to_contain_text("1 run ahead of it")
    expect(row(page, "first")).to_contain_text("2 runs ahead of it")
    assert work.space.home.queue.position(first.id) == 2
    more(page, "second").get_by_role("button", name="Pause").click()
    expect(row(page, "second")).to_contain_text("Paused")
    expect(row(page, "first")).to_contain_text("1 run ahead of it")
    assert work.space.runs.get(second.id).status == "paused"
    work.finish()


def test_a_run_at_work_is_paused_from_its_page_and_a_paused_one_is_continued(look: Any, studio: Served) -> None:
    work = Made(studio.home, "at work", at=70)
    page = look(work.id)
    page.get_by_role("tab", name="4 Train", exact=True).click()
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.locator("[data-part=phases]")).to_contain_text("Pausing after this step")
    assert work.space.runs.stop_wish(work.id) == "pause"
    reason = "Paused after step 70. Resume continues from there."
    work.space.runs.set_status(work.id, "paused", reason, reason=reason, stop_wish=None)
    expect(page.get_by_role("heading", name="Paused")).to_be_visible()
    expect(page.get_by_role("button", name="Resume from step 60")).to_be_visible()
    page.get_by_role("button", name="Resume from step 60").click()
    expect(page.get_by_role("alert").filter(has_text="The dataset of this run was deleted")).to_be_visible()
    assert work.space.runs.get(work.id).status == "paused", "without its rows it does not go on"


def test_a_run_is_run_again_with_a_change_and_for_some_passes_more(look: Any, studio: Served) -> None:
    """With real rows; the runs are stopped at once, what they would do is tested elsewhere."""
    from studio.api import Studio

    api = Studio(studio.home)
    data = api.datasets.add_sample("support-tone")
    run = done(studio, "tone")
    spec = run.space.runs.spec(run.id)
    config = spec.config.model_copy(update={"lora_rank": 4, "epochs": 2, "test_prompts": ()})
    run.space.runs.replace_spec(run.id, spec.model_copy(update={"dataset": data.id, "config": config}))
    page = look(run.id)
    page.get_by_role("tab", name="4 Train", exact=True).click()
    page.get_by_role("button", name="Run again").click()
    panel = page.get_by_role("region", name="Details of tone", exact=True)
    rate = panel.get_by_label("Learning rate")
    rate.fill("fast")
    rate.press("Tab")
    expect(panel.get_by_text("can't have this value")).to_be_visible()
    expect(panel.get_by_role("button", name="Run again")).to_be_disabled()
    rate.fill("0.0005")
    rate.press("Tab")
    expect(panel.get_by_text("With learning rate 0.0005 instead of 0.0002.")).to_be_visible()
    panel.get_by_label("Change another setting").select_option("seed")
    panel.get_by_label("Seed").fill("7")
    panel.get_by_label("Seed").press("Tab")
    panel.get_by_role("button", name="Run again").click()
    expect(page.get_by_role("heading", name="tone 2")).to_be_visible(timeout=60_000)
    again = api.runs.all()[0]
    after = api.runs.spec(again.id).config
    assert (after.learning_rate, after.seed, after.lora_rank, after.epochs) == (5e-4, 7, 4, 2)
    api.runs.stop(again.id, "discard")
    page.get_by_role("tab", name="Runs", exact=True).click()
    panel = page.get_by_role("region", name="Details of tone", exact=True)
    expect(panel.get_by_label("Learning rate")).to_have_value("0.0002")
    panel.get_by_label("More epochs").fill("0.5")
    panel.get_by_role("button", name="Extend tone").click()
    expect(page.get_by_role("heading", name="tone 3")).to_be_visible(timeout=60_000)
    longer = api.runs.spec(api.runs.all()[0].id)
    assert (longer.config.start_from, longer.config.epochs) == (run.id, 0.5)
    assert "1 more epoch" not in longer.because[0] and "0.5 more epochs" in longer.because[0]
    api.runs.stop(api.runs.all()[0].id, "discard")
    api.close()


def test_two_browsers_that_press_start_at_once_make_one_run(look: Any, studio: Served) -> None:
    from studio.api import Studio

    api = Studio(studio.home)
    data = api.datasets.add_sample("support-tone")
    chosen = {"task": "chat", "model": "starter-chat", "dataset": data.id, "settings": {"max_steps": 2}, "prompts": []}
    api.drafts.put("page", chosen)
    pages = [look(), look()]
    for page in pages:
        page.get_by_role("tab", name="3 Method", exact=True).click()
        expect(page.get_by_text("You can close the page. The run continues.")).to_be_visible(timeout=60_000)
    for page in pages:
        page.evaluate("document.querySelector('#method-actions [data-primary]').click()")
    for page in pages:
        expect(page.get_by_role("heading", name=Path(data.name).stem)).to_be_visible(timeout=60_000)
    (run,) = api.runs.all()
    api.runs.stop(run.id, "discard")
    for _ in range(600):
        if api.runs.get(run.id).status not in ACTIVE:
            break
        pages[0].wait_for_timeout(100)
    assert len(api.runs.all()) == 1
    api.close()


def test_a_run_is_saved_as_a_file_and_brought_in_again(look: Any, studio: Served, tmp_path: Path) -> None:
    run = done(studio, "travels")
    page = look()
    panel = more(page, "travels")
    with page.expect_download() as fetched:
        panel.get_by_role("button", name="Export run", exact=True).click()
    file = tmp_path / "run.zip"
    fetched.value.save_as(file)
    assert fetched.value.suggested_filename == "travels-run.zip"
    page.get_by_label("Import a run from a file").set_input_files(file)
    expect(row(page, "travels 2")).to_be_visible()
    came = run.space.runs.all()[0]
    assert came.has_result and len(run.space.events.after(came.id, kinds=("step",))) == 60
    bad = tmp_path / "bad.zip"
    bad.write_bytes(b"no run at all")
    page.get_by_label("Import a run from a file").set_input_files(bad)
    expect(page.get_by_role("alert").filter(has_text="This file is not a run that the studio saved")).to_be_visible()
    assert len(run.space.runs.all()) == 2


def test_several_runs_by_time_leave_out_that_one_was_paused(look: Any, studio: Served) -> None:
    paused = Made(studio.home, "paused", at=30)
    paused.say(PhaseEvent(phase="training", steps=STEPS))
    resumed = paused.space.events.after(paused.id)[-1].id
    paused.go_to(60)
    paused.finish()
    with paused.space.db.write() as connection:
        for first, seconds in ((resumed, 7200), (resumed + 1, 2)):
            later = f"strftime('%Y-%m-%dT%H:%M:%fZ', time, '+{seconds} seconds')"
            connection.execute(f"UPDATE events SET time = {later} WHERE run = ? AND id >= ?", (paused.id, first))
    done(studio, "at once")
    page = look()
    for name in ("paused", "at once"):
        page.get_by_label(f"Select {name}").check()
    page.get_by_label("Horizontal axis").select_option("time")
    chart = page.locator("[data-compare] .chart")
    expect(chart).to_be_visible()
    page.wait_for_timeout(200)
    texts = chart.evaluate("box => box.chart.texts")
    assert any(each.endswith(" s") for each in texts) and not any(" h" in each for each in texts), texts


def test_the_disk_is_shown_and_a_deletion_says_what_is_lost(look: Any, studio: Served) -> None:
    run = done(studio, "large")
    (run.space.runs.folder(run.id).adapter / "adapter_model.safetensors").write_bytes(bytes(3_000_000))
    page = look()
    expect(more(page, "large")).to_contain_text("3.0 MB")
    page.get_by_role("button", name="Delete checkpoints").click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("Its result, curve and log stay")
    question.get_by_role("button", name="Delete checkpoints").click()
    expect(page.get_by_role("button", name="Delete checkpoints")).to_have_count(0)
    page.get_by_role("button", name="Show disk usage").click()
    panel = page.get_by_role("region", name="Storage", exact=True)
    expect(panel).to_contain_text("it is a starter, shared by all data folders")
    panel.get_by_role("button", name="Delete run large").click()
    expect(question).to_contain_text("You lose its fine-tuned model, curve, log and checkpoints")
    question.get_by_role("button", name="Delete").click()
    expect(row(page, "large")).to_have_count(0)
    assert run.space.runs.all() == [] and not run.space.runs.folder(run.id).root.exists()


def test_a_damaged_database_is_told_until_it_was_seen(look: Any, studio: Served) -> None:
    run = done(studio, "kept")
    run.space.root.joinpath("mended.json").write_text('["The database was found damaged."]')
    page = look()
    expect(page.get_by_text("The database was found damaged.")).to_be_visible()
    page.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_text("The database was found damaged.")).to_be_hidden()
    assert run.space.recovery_notices() == []


def test_the_page_is_usable_on_a_phone_and_axe_finds_nothing_in_light_and_dark(look: Any, studio: Served) -> None:
    run = done(studio, f"phone {'x' * 60}")
    work = Made(studio.home, "at work", at=30)
    waiting(work, "waits")
    waiting(work, "waits too")
    run.space.runs.change(run.id, tags=["keep"], note="A note")
    page = look()
    more(page, run.space.runs.get(run.id).name)
    page.get_by_role("button", name="Show disk usage").click()
    page.get_by_role("region", name="Storage", exact=True).wait_for()
    assert not axe_faults_of_both_schemes(page, without=())
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    work.finish()
