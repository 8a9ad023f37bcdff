"""What the browser tests share: a Chromium, a studio with an empty home, and a page that must not make a noise."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.served import FLAGS, Served, chromium

expect.set_options(timeout=20_000)  # two cores that also train are slow at times


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first, so that tests which run side by side end at about the same time."""
    longest = ("test_workflows_counted", "test_whole_way")
    items.sort(key=lambda item: not any(name in item.nodeid for name in longest))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for each file: while Playwright is on, other tests of this process can run no event loop."""
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home."""
    return tmp_path / "home"


@pytest.fixture
def served(home: Path) -> Iterator[Served]:
    """A studio of its own."""
    studio = Served(home)
    yield studio
    studio.stop()


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """The page, opened."""
    with opened_pages(browser, served) as open_page:
        yield open_page()


@contextmanager
def opened_pages(browser: Browser, served: Served) -> Iterator[Callable[..., Page]]:
    """A function that opens the page in a context of its own, at 1280 x 900 pixels unless its options say otherwise.

    `address` comes after that of the studio; `script` runs before those of the page. At the end, a script error or a
    request to another machine fails the test.
    """
    opened: list[tuple[BrowserContext, list[str]]] = []

    def open_page(address: str = "", script: str = "", **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        opened.append((context, listen(context, served)))
        if script:
            context.add_init_script(script)
        page = context.new_page()
        page.goto(f"{served.url}{address}")
        ready(page)
        return page

    yield open_page
    for context, noise in opened:
        context.close()
        assert not noise, noise


def ready(page: Page) -> None:
    """Until the page has taken up what was chosen last."""
    page.wait_for_function("document.title.includes('·')")


def listen(context: Any, served: Served) -> list[str]:
    """Script errors, and requests that leave the machine, as they come."""
    noise: list[str] = []
    context.on("weberror", lambda error: noise.append(f"script error: {error.error}"))
    context.on(
        "request",
        lambda asked: (
            asked.url.startswith(("http", "ws"))
            and not asked.url.startswith(served.url)
            and noise.append(f"left the machine: {asked.url}")
        ),
    )
    return noise
