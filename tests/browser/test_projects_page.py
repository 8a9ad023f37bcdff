"""Projects in a real Chromium: make, open, export, import, delete and restore; the address leads to a run's project."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from studio.api import Studio
from tests.browser.axe_faults import axe_faults
from tests.browser.conftest import opened_pages, ready
from tests.browser.made import Made
from tests.browser.served import Served

EVIL = "<img src=x onerror='document.title=1'>"
ROWS = "text\n" + "".join(f"This is comment number {n}.\n" for n in range(20))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("projects") / "home")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def run(served: Served) -> Made:
    """A run of the default project, with a dataset beside it."""
    with Studio(served.home) as studio:
        studio.datasets.add_text(ROWS, "comments.csv")
    made = Made(served.home, "mood", at=60, task="classification")
    made.finish()
    return made


@pytest.fixture
def look(browser: Browser, served: Served) -> Iterator[Any]:
    with opened_pages(browser, served) as open_page:
        yield open_page


def projects(page: Page) -> Locator:
    """Open the dialog."""
    page.get_by_role("button", name="Project:").click()
    dialog = page.get_by_role("dialog", name="Projects")
    expect(dialog.get_by_role("button", name="New project")).to_be_visible()
    return dialog


def opened(page: Page, title: str) -> None:
    """Wait until the page shows a project."""
    expect(page.get_by_role("button", name=f"Project: {title}", exact=True)).to_be_visible()
    ready(page)


def names(page: Page) -> list[str]:
    page.get_by_role("tab", name="Runs", exact=True).click()
    expect(page.locator("#runs-body .slot > *").first).to_be_visible()
    return page.locator(".runs tbody .name, #runs-body td .cut").all_inner_texts()


def test_a_project_is_made_opened_and_renamed(look: Any, run: Made) -> None:
    page = look()
    opened(page, "Default")
    dialog = projects(page)
    expect(dialog.locator("li", has_text="Default")).to_contain_text("1 dataset · 1 run")
    dialog.get_by_role("textbox", name="Name of the new project").fill(f"Bot {EVIL}")
    page.keyboard.press("Enter")
    opened(page, f"Bot {EVIL}")
    page.get_by_role("tab", name="Runs", exact=True).click()
    expect(page.get_by_text("No runs yet")).to_be_visible()
    page.reload()
    opened(page, f"Bot {EVIL}")

    dialog = projects(page)
    dialog.get_by_role("textbox", name="Name of the new project").fill("bot <img SRC=x onerror='document.title=1'>")
    dialog.get_by_role("button", name="New project").click()
    expect(dialog.get_by_role("alert")).to_contain_text("There is a project with this name already.")
    dialog.get_by_role("button", name="Rename project Bot").click()
    dialog.get_by_role("textbox", name="New name").fill("Support")
    page.keyboard.press("Enter")
    opened_name = page.locator("button.project bdi")
    expect(opened_name).to_have_text("Support")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_a_project_is_exported_imported_deleted_and_restored(
    look: Any, served: Served, run: Made, tmp_path: Path
) -> None:
    page = look()
    with Studio(served.home) as studio:
        studio.projects.create("Support bot")
    page.get_by_role("tab", name="Runs", exact=True).click()
    expect(page.get_by_role("button", name="Open mood", exact=True).first).to_be_visible()

    dialog = projects(page)
    dialog.get_by_role("button", name="Export project Default").click()
    with page.expect_download(timeout=60_000) as download:
        dialog.get_by_role("button", name="Download Default.zip").click(timeout=60_000)
    file = tmp_path / "Default.zip"
    download.value.save_as(file)
    dialog.locator("input[type=file]").set_input_files(file)
    expect(dialog.get_by_text("The project “Default 2” was imported.")).to_be_visible(timeout=60_000)
    dialog.get_by_role("button", name="Open project Default 2").first.click()
    opened(page, "Default 2")
    page.get_by_role("tab", name="Runs", exact=True).click()
    expect(page.get_by_role("button", name="Open mood", exact=True).first).to_be_visible()

    dialog = projects(page)
    dialog.get_by_role("button", name="Delete project Support bot").click()
    page.locator("dialog.ask").get_by_role("button", name="Delete").click()
    expect(dialog.get_by_text("The project “Support bot” was deleted.")).to_be_visible()
    dialog.get_by_role("button", name="Undo").click()
    expect(dialog.get_by_text("The project “Support bot” was restored.")).to_be_visible()
    dialog.get_by_role("button", name="Delete project Default 2").click()
    page.locator("dialog.ask").get_by_role("button", name="Delete").click()
    opened(page, "Default")
    dialog = projects(page)
    dialog.get_by_text("1 deleted project").click()
    dialog.get_by_role("button", name="Delete project Default 2 for good").click()
    page.locator("dialog.ask").get_by_role("button", name="Delete for good").click()
    expect(dialog.get_by_text("1 deleted project")).to_be_hidden()
    with Studio(served.home) as studio:
        titles = [each.title for each in studio.projects.all()]
        assert titles[0] == "Default" and "Default 2" not in titles
        assert not studio.projects.all(deleted=True)


def test_a_link_to_a_run_opens_its_project_and_a_page_of_a_deleted_project_says_so(
    look: Any, served: Served, run: Made
) -> None:
    with Studio(served.home) as studio:
        tickets = studio.projects.create("Tickets")
    page = look()
    dialog = projects(page)
    dialog.get_by_role("button", name="Open project Tickets").click()
    opened(page, "Tickets")
    page.goto(f"{served.url}/?run={run.id}")
    opened(page, "Default")
    page.get_by_role("tab", name="4 Train", exact=True).click()
    expect(page.get_by_text("mood").first).to_be_visible()

    other = page.context.new_page()
    other.goto(served.url)
    opened(other, "Tickets")
    with Studio(served.home) as studio:
        studio.projects.delete(tickets.id)
    other.get_by_role("tab", name="Runs", exact=True).click()
    expect(other.get_by_text("This project was deleted.")).to_be_visible()
    other.reload()
    opened(other, "Default")
    expect(other.get_by_text("The project of this page was deleted.")).to_be_visible()


def test_the_bar_shows_a_run_of_another_project_and_leads_there(look: Any, served: Served, run: Made) -> None:
    with Studio(served.home) as studio:
        project = studio.projects.create("Elsewhere")
    working = Made(served.home, "slow", at=60, task="classification")
    queue = working.space.home.queue
    queue.enqueue("default", working.id)

    assert queue.claim(working.id, os.getpid()) and queue.try_start(working.id)
    try:
        page = look(script=f"try {{ localStorage.setItem('studio-project', '{project.id}') }} catch {{}}")
        opened(page, "Elsewhere")
        bar = page.get_by_role("group", name="Current run")
        expect(bar).to_contain_text("slow")
        expect(bar).to_contain_text("Project: Default")
    finally:
        queue.remove(working.id)
        working.space.runs.set_status(working.id, "stopped")


@pytest.mark.parametrize("width", [390, 1280])
def test_the_dialog_fits_and_works_by_keyboard(look: Any, width: int, run: Made) -> None:
    page = look(viewport={"width": width, "height": 844})
    button = page.get_by_role("button", name="Project: Default", exact=True)
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Projects")
    expect(dialog.get_by_role("button", name="Export project Default")).to_be_visible()
    box = dialog.bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert dialog.evaluate("it => it.scrollWidth <= it.clientWidth")
    assert not axe_faults(page)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()


def test_a_public_demo_has_no_projects(browser: Browser, tmp_path: Path) -> None:
    demo = Served(tmp_path / "home", "--demo")
    try:
        with opened_pages(browser, demo) as open_page:
            page = open_page(script="try { localStorage.setItem('studio-project', 'project-00000000') } catch {}")
            expect(page.get_by_role("button", name="New run")).to_be_visible()
            expect(page.get_by_role("button", name="Project:")).to_have_count(0)
    finally:
        demo.stop()
