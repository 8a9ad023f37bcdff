"""The Export tab: options of a format, and the packages that it needs. The page asks before it installs them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import opened_pages
from tests.browser.made import Made
from tests.browser.served import Served
from tests.forked import AFRESH


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Made]]:
    home = tmp_path_factory.mktemp("exports") / "home"
    run = Made(home, "tone", at=120)
    run.finish()
    served = Served(home, environment=AFRESH)  # its model process takes as long to start as a user's
    yield served, run
    served.stop()


@pytest.fixture(params=[(1366, "light"), (390, "dark")], ids=str)
def page(browser: Browser, studio: tuple[Served, Made], request: pytest.FixtureRequest) -> Iterator[Page]:
    """The Export tab, on a wide and on a narrow screen."""
    with export_tab(browser, studio, *request.param) as page:
        yield page


@contextmanager
def export_tab(browser: Browser, studio: tuple[Served, Made], width: int, scheme: str) -> Iterator[Page]:
    served, run = studio
    with opened_pages(browser, served) as open_page:
        page = open_page(f"/?run={run.id}", viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.wait_for_timeout(1500)  # the tab of the last visit is opened first
        page.evaluate("document.querySelectorAll('#steps button[role=tab]')[6].click()")
        page.get_by_role("heading", name="Export the fine-tuned model").wait_for()
        yield page


def test_gguf_has_number_formats_and_says_what_is_installed_before_it_is(page: Page) -> None:
    page.get_by_role("radio", name="GGUF").first.check()
    field = page.get_by_label("Number format")
    expect(field).to_have_value("q8_0")
    expect(page.get_by_role("button", name="Install the GGUF converter")).to_be_visible()
    expect(page.get_by_text("40 MB to download").first).to_be_visible()
    assert not page.get_by_text("compiled from source").count()
    field.select_option("q4_k_m")
    expect(page.get_by_text("compiled from source").first).to_be_visible()
    expect(page.get_by_text("Replies differ more").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not [fault for fault in Axe().run(page).response["violations"]]
    field.select_option("q8_0")
    expect(page.get_by_text("compiled from source")).to_have_count(0)


def test_an_export_shows_its_phase_and_the_seconds_at_once(browser: Browser, studio: tuple[Served, Made]) -> None:
    """The first export of a server also starts the model process, which takes some seconds."""
    with export_tab(browser, studio, 1366, "light") as page:
        page.get_by_role("radio", name="Adapter").first.check()
        button = page.get_by_role("button", name="Export adapter")
        button.click()
        bar = page.get_by_role("region", name="Next step").filter(has=page.get_by_role("img", name="Exporting"))
        expect(bar).to_contain_text(re.compile(r"Waiting for the model process · \d+ s"), timeout=5000)
        # this run was not trained, so the export fails in the end
        message = page.get_by_text("The run's folder does not contain the adapter.").first
        expect(message).to_be_visible(timeout=180_000)
        expect(button).to_be_enabled()


def test_requests_that_the_tab_sends_by_itself_wait_for_their_answers(
    browser: Browser, studio: tuple[Served, Made]
) -> None:
    with export_tab(browser, studio, 1280, "light") as page:
        waiting, most = list[Route](), list[int]()

        def hold(route: Route) -> None:
            if "look" not in (route.request.post_data or ""):
                route.continue_()
                return
            waiting.append(route)
            most.append(len(waiting))

        page.route("**/component_server/**", hold)
        slot = page.locator("#export-body .slot")
        slot.evaluate(
            """(slot) => slot.insertAdjacentHTML('beforeend',
            '<span><button hidden data-act="look" data-again="200" data-quiet></button></span>')"""
        )
        page.wait_for_timeout(1500)
        assert most == [1]
        waiting.pop().continue_()
        page.unroute_all(behavior="ignoreErrors")
