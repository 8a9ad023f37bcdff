"""axe-core on every tab, light and dark, wide and narrow; nothing scrolls sideways; targets are large on a phone."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.axe_faults import axe_faults, axe_faults_of_both_schemes
from tests.browser.conftest import opened_pages, settled
from tests.browser.served import Served

TABS = ("1 Model", "2 Data", "3 Method", "4 Train", "5 Evaluate", "6 Chat", "7 Export", "Runs")


@pytest.fixture(scope="module")
def filled(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A studio in which steps 1 to 3 are filled from a sample."""
    served = Served(tmp_path_factory.mktemp("axe") / "home")
    with opened_pages(browser, served) as open_page:
        page = open_page()
        page.get_by_role("button", name="Use this sample: support-tone").click()
        expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled(timeout=60_000)
    yield served
    served.stop()


Look = Callable[..., Page]


@pytest.fixture
def look(browser: Browser, filled: Served) -> Iterator[Look]:
    """Opens the page at a width."""
    with opened_pages(browser, filled) as open_page:

        def at(width: int = 1280, **more: bool) -> Page:
            page = open_page(viewport={"width": width, "height": 900}, **more)
            page.get_by_role("tab", name="1 Model", exact=True).wait_for()
            settled(page)
            return page

        yield at


AT_THE_END = """() => {
    const page = document.documentElement, now = Date.now();
    if (page.scrollHeight - innerHeight - scrollY > 1 || window.heightOfTest !== page.scrollHeight) {
        window.scrollTo(0, page.scrollHeight);
        [window.heightOfTest, window.sinceOfTest] = [page.scrollHeight, now];
    }
    return now - window.sinceOfTest >= 500;
}"""


@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_in_light_and_dark_and_nothing_scrolls_sideways(look: Look, width: int) -> None:
    page = look(width)
    found: dict[str, list[str]] = {}
    for name in TABS:
        page.get_by_role("tab", name=name, exact=True).click()
        settled(page)
        # At its end the bar of actions stands below the page; before, whatever scrolls past it is half covered.
        # A plan that arrives late makes the page longer, so wait until it is at its end for half a second.
        page.wait_for_function(AT_THE_END, polling=100)
        wrong = axe_faults_of_both_schemes(page)
        sideways = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if sideways > 0:
            wrong.append(f"{sideways} px wider than the window")
        if wrong:
            found[name] = wrong
    assert not found


HELP = {
    "1 Model": "Choose a model",
    "2 Data": "Prepare your data",
    "3 Method": "Choose a method and settings",
    "4 Train": "Read the results",
    "5 Evaluate": "Evaluate",
    "6 Chat": "Compare replies in the Chat tab",
    "7 Export": "Use the exported model",
    "Runs": "Manage runs",
}
"""Tab → the heading that its "?" leads to."""


def test_the_question_mark_on_each_tab_opens_its_guide(look: Look, filled: Served) -> None:
    page, places, read = look(), set[str](), set[str]()
    link = page.get_by_role("link", name="Help for this tab", exact=True)
    found: list[str] = []
    for tab, heading in HELP.items():
        open_tab(page, tab)
        places.add(str(link.bounding_box()))
        with page.context.expect_page() as opened:
            link.press("Enter")
        guide = opened.value
        expect(guide.get_by_role("heading", name=heading, exact=True)).to_be_in_viewport()
        assert guide.evaluate("window.opener") is None
        if guide.url.partition("#")[0] not in read:
            read.add(guide.url.partition("#")[0])
            for width, scheme in ((1280, "light"), (390, "dark")):
                guide.set_viewport_size({"width": width, "height": 900})
                guide.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                found += axe_faults(guide, without=())
                assert guide.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
            guide.reload()
            expect(guide.get_by_role("heading", name=heading, exact=True)).to_be_in_viewport()
        guide.close()
    page.set_viewport_size({"width": 390, "height": 900})
    on_a_phone = set[str]()
    for tab in HELP:
        open_tab(page, tab)
        on_a_phone.add(str(link.bounding_box()))
    page.goto(f"{filled.url}/studio/docs")
    page.get_by_role("navigation").get_by_role("link", name="Settings", exact=True).click()
    page.get_by_role("main").get_by_role("link", name="Choose a method and settings").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Choose a method and settings")
    assert (found, len(places), len(on_a_phone)) == ([], 1, 1)


def open_tab(page: Page, name: str) -> None:
    """Click a tab, and wait until it is the chosen one."""
    tab = page.get_by_role("tab", name=name, exact=True)
    tab.click()
    expect(tab).to_have_attribute("aria-selected", "true")


@pytest.mark.parametrize("view", ["rows", "tokens", "label"])
def test_axe_finds_nothing_in_the_views_of_the_data(look: Look, view: str) -> None:
    page = look()
    page.get_by_role("tab", name="2 Data", exact=True).click()
    page.locator(f'input[name="view"][value="{view}"]').check()
    page.locator({"rows": ".datatable", "tokens": ".toks", "label": ".labelcard, #which"}[view]).first.wait_for(
        timeout=60_000
    )
    assert not axe_faults(page)


def test_all_settings_are_named_and_described(look: Look) -> None:
    page = look()
    page.get_by_role("tab", name="3 Method", exact=True).click()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled(timeout=60_000)
    for fold in page.locator("#method-body summary").all():
        fold.click()
    assert page.locator("#method-body .settings input, #method-body .settings select").count() > 20
    assert not axe_faults(page)


def test_targets_are_large_on_a_phone(look: Look) -> None:
    page = look(390)
    small: list[str] = []
    for name in TABS[:3]:
        page.get_by_role("tab", name=name, exact=True).click()
        settled(page)
        small += page.evaluate(
            """() => [...document.querySelectorAll(
                '.slot .btn, .slot select, .slot input:not([type=radio]):not([type=checkbox]):not([type=file])')]
            .filter((e) => e.offsetParent && e.getBoundingClientRect().height < 36)
            .map((e) => e.outerHTML.slice(0, 120) + ' ' + e.getBoundingClientRect().height)"""
        )
    assert not small


def test_first_minute_and_empty_data_are_sound(page: Page) -> None:
    page.get_by_role("tab", name="1 Model", exact=True).wait_for()
    settled(page)
    assert not axe_faults(page)
    page.get_by_role("tab", name="2 Data", exact=True).click()
    page.get_by_role("heading", name="Import your rows").wait_for()
    for fold in page.locator("#data-body summary").all():
        fold.click()
    assert not axe_faults(page)
