"""The data library in a real Chromium: a run leads to its labels; rename, duplicate, delete; empty new runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from studio.api import Studio
from studio.schema.runs import RunSpec
from tests.browser.axe_faults import axe_faults
from tests.browser.conftest import opened_pages
from tests.browser.made import Made
from tests.browser.served import Served

EVIL = "<img src=x onerror='document.title=1'>"
TEXTS = "text\n" + "".join(f"This is comment number {n}.\n" for n in range(20))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("library") / "home")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def labeled(served: Served) -> tuple[str, Made]:
    """A dataset with labels in its second version, a run that was trained on it, and an unlabeled file after it."""
    with Studio(served.home) as studio:
        dataset = studio.datasets.add_text(TEXTS, "comments.csv").id
        studio.labels.set_names(dataset, ["praise", "complaint"])
        for row in range(1, 13):
            studio.labels.give(dataset, row, "praise" if row % 2 else "complaint")
        studio.labels.apply(dataset)
        studio.datasets.add_text("prompt,reply\n" + "Where is it?,It is here.\n" * 12, f"faq {EVIL}.csv")
    run = Made(served.home, "mood", at=60, task="classification")
    spec = run.space.runs.spec(run.id)
    own = {"dataset": dataset, "dataset_version": 2, "data": run.space.datasets.get(dataset).spec}
    run.space.runs.replace_spec(run.id, RunSpec.model_validate({**spec.model_dump(), **own}))
    run.finish()
    return dataset, run


@pytest.fixture
def look(browser: Browser, served: Served) -> Iterator[Any]:
    with opened_pages(browser, served) as open_page:
        yield lambda width=1280: open_page(viewport={"width": width, "height": 900})


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def open_run(page: Page) -> None:
    page.get_by_role("button", name="Open mood", exact=True).click()
    expect(page.get_by_role("tab", name="4 Train", exact=True)).to_have_attribute("aria-selected", "true")


def test_a_run_leads_to_its_labeled_rows_and_the_library_does_the_rest(
    look: Any, labeled: tuple[str, Made], tmp_path: Path
) -> None:
    dataset, run = labeled
    page = look()
    tab(page, "Runs")
    open_run(page)
    tab(page, "2 Data")
    expect(page.get_by_text("Dataset of the run “mood”, version 2")).to_be_visible()
    expect(page.locator(".datatable tbody").get_by_text("complaint").first).to_be_visible()

    page.get_by_role("button", name="All datasets", exact=True).click()
    item = page.locator(".library > li", has_text="comments.csv")
    for words in ("20 rows", "12 of 20 labeled", "2 versions", "1 run: mood"):
        expect(item).to_contain_text(words)
    expect(page.locator(".library > li", has_text=f"faq {EVIL}.csv")).to_be_visible()
    with page.expect_download() as download:
        item.get_by_role("button", name="Download comments.csv as CSV").click()
    saved = tmp_path / "rows.csv"
    download.value.save_as(saved)
    assert download.value.suggested_filename == "comments.csv"
    assert saved.read_text().startswith("text,label\n") and "comment number 1.,complaint" in saved.read_text()
    item.get_by_role("button", name="Rename comments.csv").press("Enter")
    page.get_by_label("New name").fill("Comments of May")
    page.get_by_label("New name").press("Enter")
    page.get_by_role("button", name="Duplicate Comments of May").click()
    expect(page.get_by_label("New name")).to_have_value("Comments of May (copy)")
    page.get_by_label("New name").press("Enter")

    run.space.runs.set_status(run.id, "training")
    page.get_by_role("button", name="Delete Comments of May", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("alert")).to_contain_text("The dataset “Comments of May” is in use.")
    expect(page.locator(".library > li", has_text="The run “mood” uses it")).to_have_count(1)
    run.space.runs.set_status(run.id, "finished")
    page.get_by_role("button", name="Delete Comments of May (copy)").click()
    expect(page.get_by_role("dialog")).to_contain_text("You lose all 2 versions. You lose the labels of 12 rows.")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".library > li")).to_have_count(2)
    assert run.space.datasets.has(dataset)


def test_a_new_run_is_empty_on_each_tab_and_fits_a_phone(look: Any, labeled: tuple[str, Made], tmp_path: Path) -> None:
    page = look(390)
    expect(page.get_by_text("What should your model do?")).to_be_visible()
    tab(page, "Runs")
    open_run(page)
    tab(page, "2 Data")
    page.get_by_role("button", name="All datasets", exact=True).click()
    expect(page.locator(".library > li")).to_have_count(2)
    for name in ("Open", "Rename", "Duplicate", "Delete"):
        box = page.locator(".library > li").first.get_by_role("button", name=name).bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390, name
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not axe_faults(page)
    page.get_by_role("button", name="New run", exact=True).click()
    expect(page.get_by_text("What should your model do?")).to_be_visible()
    tab(page, "2 Data")
    expect(page.get_by_text("Drop files here")).to_be_visible()
    file = tmp_path / "again.csv"
    file.write_text(TEXTS)
    page.get_by_label("Choose a file").set_input_files(file)
    expect(page.get_by_role("alert")).to_contain_text("12 of its 20 rows are labeled.")
    page.get_by_role("button", name="Open that dataset").click()
    expect(page.get_by_text("Dataset of your next run, version 2")).to_be_visible()
    expect(page.locator(".datatable tbody").get_by_text("complaint").first).to_be_visible()
