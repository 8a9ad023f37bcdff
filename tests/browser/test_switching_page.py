"""What the page shows stays right when a person goes on while something is still being read, written or typed."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect

from tests.browser.conftest import opened_pages
from tests.browser.made import Made
from tests.browser.served import Served

FAR = 15_000
CURVE = re.compile(r"/studio/run/[\w-]+\?after=0$")


@pytest.fixture
def look(browser: Browser, shared_server: Served) -> Iterator[Any]:
    """Opens a tab of a run's page."""
    with opened_pages(browser, shared_server) as open_page:

        def at(run: str, name: str) -> Page:
            page = open_page(f"/?run={run}")
            tab(page, name)
            return page

        yield at


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def log(run: Made, words: str) -> None:
    """The worker writes its log."""
    with run.space.runs.folder(run.id).log.open("a") as file:
        file.write(f"{words}\n")


def is_for_a_chart(request: Request) -> bool:
    """Whether a chart of several runs asks for a curve."""
    return CURVE.search(request.url) is not None


def test_the_log_is_that_of_the_shown_run_and_goes_on_after_another_tab(look: Any, shared_server: Served) -> None:
    one, two = Made(shared_server.home, "log of one", at=10), Made(shared_server.home, "log of two", at=10)
    log(one, "one begins")
    log(two, "two begins")
    page = look(one.id, "4 Train")
    page.get_by_role("button", name="Log", exact=True).click()
    shown = page.locator("[data-part=log]")
    expect(shown).to_contain_text("one begins")
    tab(page, "Runs")
    page.wait_for_timeout(3500)  # more than the time between two readings
    log(one, "one goes on")
    tab(page, "4 Train")
    expect(shown).to_contain_text("one goes on", timeout=FAR)
    tab(page, "Runs")
    page.get_by_role("button", name="Open log of two", exact=True).click()
    expect(shown).to_contain_text("two begins", timeout=FAR)
    expect(shown).not_to_contain_text("one")
    for run in (one, two):
        run.finish()


def test_back_and_forward_open_the_tabs_and_a_reload_keeps_the_tab(look: Any, shared_server: Served) -> None:
    run = Made(shared_server.home, "walked", at=30)
    run.finish()
    page = look(run.id, "4 Train")

    def opened(name: str) -> None:
        expect(page.get_by_role("tab", name=name, exact=True)).to_have_attribute("aria-selected", "true")

    for name in ("2 Data", "Runs"):
        tab(page, name)
        opened(name)
    steps = page.evaluate("history.length")
    page.go_back()
    opened("2 Data")
    page.go_back()
    opened("4 Train")
    expect(page.get_by_role("heading", name="walked")).to_be_visible()
    page.go_forward()
    opened("2 Data")
    page.reload()
    opened("2 Data")
    page.evaluate("history.go(-1); setTimeout(() => history.go(2), 30)")
    opened("Runs")
    page.wait_for_timeout(1000)
    opened("Runs")
    assert page.evaluate("history.length") == steps, "going back adds no step"


def test_a_conversation_stays_with_its_run_when_another_is_chosen_while_the_models_write(
    look: Any, shared_server: Served
) -> None:
    one, two = Made(shared_server.home, "chat of one", at=60), Made(shared_server.home, "chat of two", at=60)
    for run in (one, two):
        run.finish()
    page = look(one.id, "6 Chat")
    page.route("**/studio/run/*/warm", lambda route: route.fulfill(json={}))
    page.route("**/studio/run/*/chat", lambda route: None)  # both models are still reading the prompt
    said, runs = page.locator("[data-part=base-pane]"), page.locator("[data-part=runs]")
    prompt, status = page.get_by_role("textbox", name="Your prompt", exact=True), page.locator("[data-part=why]")
    for text in ("Tell me a story.", "And then?", "Another one."):
        prompt.fill(text)
        page.keyboard.press("Enter")
        expect(said).to_contain_text("Tell me a story.")
    expect(status).to_contain_text("One prompt is waiting already.")
    runs.select_option(two.id)
    expect(said).not_to_contain_text("Tell me a story.")
    expect(prompt).to_have_value("And then?\nAnother one.")
    expect(status).not_to_contain_text("waiting")
    runs.select_option(one.id)
    expect(said).to_contain_text("Tell me a story.")
    page.unroute_all(behavior="ignoreErrors")


def test_curves_that_are_compared_go_on_after_the_server_did_not_answer_once(look: Any, shared_server: Served) -> None:
    one, two = Made(shared_server.home, "curve of one", at=60), Made(shared_server.home, "curve of two", at=60)
    page = look(one.id, "Runs")
    page.locator("details[data-key=compare] summary").click()
    for run in ("curve of one", "curve of two"):
        page.get_by_label(f"Select {run}", exact=True).check()
    chart = page.get_by_role("img", name="Runs compared")
    expect(chart.locator("canvas")).to_be_visible()
    with page.expect_request_finished(is_for_a_chart, timeout=FAR):
        pass
    with page.expect_event("requestfailed", is_for_a_chart, timeout=FAR):
        page.route(CURVE, lambda route: route.abort())
    page.wait_for_timeout(500)
    page.unroute(CURVE)
    with page.expect_request_finished(is_for_a_chart, timeout=FAR):
        pass
    assert chart.evaluate("box => box.chart.data.series.length") == 2
    for run in (one, two):
        run.finish()


def test_why_a_file_was_not_saved_is_said_once_and_no_longer_when_it_is(look: Any, shared_server: Served) -> None:
    run = Made(shared_server.home, "file", at=60)
    run.finish()
    page = look(run.id, "4 Train")

    def refuse(route: Route) -> None:
        route.fulfill(status=503, json={"error": {"message": "There is no room now."}})

    page.route("**/curve.csv", refuse)
    button, said = page.locator("[data-part=csv]"), page.get_by_text("There is no room now.")
    for _ in range(2):
        with page.expect_response("**/curve.csv"):
            button.click()
        expect(said).to_have_count(1)
    page.unroute("**/curve.csv")
    with page.expect_download():
        button.click()
    expect(said).to_have_count(0)


def test_what_is_typed_is_not_lost_when_something_else_is_chosen_at_once(look: Any, shared_server: Served) -> None:
    run = Made(shared_server.home, "typed at once", at=60)
    run.finish()
    page = look(run.id, "Runs")
    find = page.get_by_label("Find a run")
    for words in ("typed at", "once"):
        find.press_sequentially(words)
        page.get_by_label("Archived").click()
        page.wait_for_timeout(1000)  # more than the pause after which typed words are sent
        expect(find).to_have_value(words)
        find.fill("")
        page.wait_for_timeout(1000)
