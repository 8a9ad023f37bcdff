"""The report of a classifier: what it is compared with, and the matrix with many labels: reachable, and its rows."""

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from studio.schema.report import Baseline, BaselineMetric, JudgedRow
from tests.browser.conftest import opened_pages
from tests.browser.made import REPORT, Made
from tests.browser.served import Served

PHONE = 640
"""Widest window that is drawn for a phone."""
LABELS = tuple(f"reason number {number}" for number in range(24))
CONFUSION = {label: {other: 9 if label == other else 0 for other in LABELS} for label in LABELS}
CONFUSION[LABELS[20]][LABELS[3]] = 5
CONFUSION[LABELS[2]][LABELS[20]] = 2


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Made]]:
    home = tmp_path_factory.mktemp("report") / "home"
    run = Made(home, "tickets", at=120, task="classification")
    run.finish()
    accuracy = REPORT.metrics["accuracy"].model_copy(update={"base": None, "gain_low": None, "gain_high": None})
    gain = BaselineMetric(value=0.8, low=0.7, high=0.9, gain_low=-0.01, gain_high=0.1)
    baselines = (
        Baseline(name="majority", title="Majority class", detail="", answer=LABELS[0], metrics={"accuracy": gain}),
        Baseline(name="neighbors", title="Nearest neighbors", detail="Of others.", metrics={"accuracy": gain}),
    )
    mixed = JudgedRow(row=33, text="It never came.", expected=LABELS[20], base="", tuned=LABELS[3], score=0.1)
    update = {
        "metrics": {"accuracy": accuracy},
        "confusion": CONFUSION,
        "baselines": baselines,
        "confused_rows": (mixed,),
        "verdict": "Better than always the same answer, but not clearly better than nearest neighbors. More.",
        "outcome": "useful",
        "rows_needed": 60,
        "split": "test",
        "rows": 23,
        "also_in_training": 3,
    }
    run.space.runs.folder(run.id).report.write_text(REPORT.model_copy(update=update).model_dump_json())
    served = Served(home)
    yield served, run
    served.stop()


@pytest.fixture(params=[(1366, "light"), (1366, "dark"), (390, "light")], ids=str)
def page(browser: Browser, studio: tuple[Served, Made], request: pytest.FixtureRequest) -> Iterator[Page]:
    """The Evaluate tab."""
    served, run = studio
    width, scheme = request.param
    with opened_pages(browser, served) as open_page:
        page = open_page(f"/?run={run.id}", viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.wait_for_timeout(1500)  # the tab of the last visit is opened first
        page.evaluate("document.querySelectorAll('#steps button[role=tab]')[4].click()")
        page.get_by_role("heading", name="Mixed-up labels").wait_for()
        yield page


def test_every_label_can_be_reached_and_a_mistake_shows_its_rows(page: Page) -> None:
    assert page.viewport_size
    if page.viewport_size["width"] > PHONE:
        expect(page.get_by_role("columnheader", name="Majority class")).to_be_visible()
    assert page.get_by_text("test, 23 rows").count() >= 2
    assert not page.get_by_role("columnheader", name="Base model").count()
    matrix = page.get_by_role("region", name="Confusion matrix")
    assert matrix.locator("tbody tr").count() == 24
    assert matrix.locator("tbody th").first.inner_text().startswith(LABELS[20]), "the most mistakes first"
    last = matrix.locator("tbody tr").last.locator("td").last
    last.scroll_into_view_if_needed()
    expect(last).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    right, wrong = (
        matrix.locator(kind).first.evaluate("e => getComputedStyle(e).backgroundColor") for kind in (".hit", ".miss")
    )
    assert right != wrong
    assert not [fault for fault in Axe().run(page, context=".mixes").response["violations"]]

    page.get_by_text("Show mistakes only").click()
    assert matrix.locator("tbody tr:visible").count() == 3 and not matrix.locator(".hit b:visible").count()
    expect(page.get_by_text(f"“{LABELS[20]}” is taken for “{LABELS[3]}” 5 times.")).to_be_visible()
    matrix.get_by_role("button", name=f"Show rows of “{LABELS[20]}”").click()
    expect(page.get_by_text("It never came.")).to_be_visible()
    bar = page.locator("#evaluate-actions")
    expect(bar.locator("[data-primary]")).to_have_count(1)
    expect(bar).to_contain_text("About 60 more test rows would settle it.")
    bar.get_by_role("button", name="Label more rows").click()
    expect(page.get_by_role("heading", name="Mixed-up labels")).not_to_be_visible()


def test_the_fine_tuned_model_is_in_sight_without_scrolling_sideways(page: Page) -> None:
    for name in ("Scorecard", "Rows", "Each label"):
        region = page.get_by_role("region", name=f"{name}, scrolls sideways")
        assert region.evaluate("e => e.scrollWidth <= e.clientWidth"), name
    heads = page.locator(".judged").get_by_text("Fine-tuned model")
    assert any(each.is_visible() for each in heads.all()), "each reply says whose it is"


def test_rows_that_are_also_in_training_are_named_above_the_scores_and_lead_to_the_data(page: Page) -> None:
    note = page.locator(".note").filter(has_text="3 of these rows are also training rows")
    expect(note).to_contain_text("data leakage")
    note.get_by_role("button", name="Open Data").click()
    expect(page.get_by_role("tab", name="2 Data")).to_have_attribute("aria-selected", "true")
