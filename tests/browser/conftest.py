"""What the browser tests share: a Chromium, a studio with an empty home, and a page that must not make a noise."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Playwright,
    Request,
    ViewportSize,
    WebError,
    expect,
    sync_playwright,
)

from studio.store.home import Home
from tests.browser.served import FLAGS, Served, chromium
from tests.forked import UNPREPARED

WIDE = ViewportSize(width=1280, height=900)
expect.set_options(timeout=20_000)  # two cores that also train are slow at times


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first, so that tests which run side by side end at about the same time."""
    longest = ("test_workflows_counted", "test_whole_way")
    items.sort(key=lambda item: not any(name in item.nodeid for name in longest))


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    """Playwright, for all files of this folder: while it is on, other tests of this process can run no event loop."""
    with sync_playwright() as play:
        yield play


@pytest.fixture(scope="package")
def browser(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One Chromium for all files. Its first context is a profile: it has a cache on disk, compiled scripts included.

    Other contexts have no such cache, so each of their pages compiles all scripts again. That is most of a page's cost.
    """
    profile = playwright.chromium.launch_persistent_context(
        tmp_path_factory.mktemp("profile"), executable_path=chromium(), args=FLAGS, viewport=WIDE
    )
    assert profile.browser is not None
    yield profile.browser
    profile.close()


@pytest.fixture(scope="package", autouse=True)
def unprepared_runs() -> Iterator[None]:
    """No run is prepared before Start is pressed, unless a test has `prepared_runs`.

    Few tests press it. In the others, the starter would be loaded, reply and be validated, beside the page.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in UNPREPARED.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def prepared_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A studio that prepares the run that may be started next, as it does for users."""
    for name in UNPREPARED:
        monkeypatch.delenv(name)


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


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One studio for a file whose tests each call `emptied`: a new process would import again what pages need."""
    studio = Served(tmp_path_factory.mktemp("shared") / "home")
    yield studio
    studio.stop()


def emptied(studio: Served) -> Served:
    """A studio of a file without what its earlier tests left: datasets, labels, choices and runs that have ended."""
    space = Home(str(studio.home)).workspace()
    with space.db.write() as connection:
        for table in ("drafts", "labels", "versions", "datasets", "events", "runs"):
            connection.execute(f"DELETE FROM {table}")
    for folder in (space.datasets.root, space.runs.root):
        shutil.rmtree(folder, ignore_errors=True)
    return studio


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """The page, opened."""
    with opened_pages(browser, served) as open_page:
        yield open_page()


@contextmanager
def opened_pages(browser: Browser, served: Served) -> Iterator[Callable[..., Page]]:
    """A function that opens the page for a visitor of its own, at 1280 x 900 pixels unless its options say otherwise.

    `address` comes after that of the studio; `script` runs before those of the page. At the end, a script error or a
    request to another machine fails the test. The first visitor has the profile, if the options are those of a page.
    `own_context`: never the profile, so that the options also apply to the pages that the page opens.
    """
    noise, free = list[str](), True
    with ExitStack() as visitors:

        def open_page(address: str = "", script: str = "", own_context: bool = False, **options: Any) -> Page:
            nonlocal free
            in_profile = free and not own_context and options.keys() <= {"viewport", "color_scheme"}
            if in_profile:
                free, context = False, visitors.enter_context(emptied_profile(browser, served))
            else:
                context = visitors.enter_context(browser.new_context(**{"viewport": WIDE, **options}))
            visitors.enter_context(_listening(context, served, noise))
            page = context.new_page()
            if in_profile:
                page.set_viewport_size(options.get("viewport", WIDE))
                page.emulate_media(color_scheme=options.get("color_scheme", "light"))
            if script:
                page.add_init_script(script)
            page.goto(f"{served.url}{address}")
            ready(page)
            return page

        yield open_page
    assert not noise, noise


@contextmanager
def emptied_profile(browser: Browser, served: Served) -> Iterator[BrowserContext]:
    """The profile, without what earlier tests stored in it. Pages are closed at the end."""
    profile = browser.contexts[0]
    first = profile.pages[0]  # an empty one, which stays: without a page, the browser ends
    profile.clear_cookies()
    devtools = profile.new_cdp_session(first)
    stored = "local_storage,indexeddb,service_workers,cache_storage"
    devtools.send("Storage.clearDataForOrigin", {"origin": served.url, "storageTypes": stored})
    devtools.detach()
    yield profile
    for page in profile.pages[1:]:
        page.close()


def ready(page: Page) -> None:
    """Until the page has taken up what was chosen last."""
    page.wait_for_function("document.title.includes('·')")


def settled(page: Page) -> None:
    """Until nothing is asked of the server any more, and no color fades into another one."""
    page.wait_for_timeout(150)  # within which a click asks
    fades = "document.getAnimations().some((each) => each instanceof CSSTransition)"
    page.wait_for_function(f"!document.querySelector('[data-busy]') && !{fades}")


@contextmanager
def _listening(context: BrowserContext, served: Served, noise: list[str]) -> Iterator[None]:
    """Add script errors, and requests that leave the machine, to a list as they come."""

    def add_error(error: WebError) -> None:
        noise.append(f"script error: {error.error}")

    def add_request(request: Request) -> None:
        if request.url.startswith(("http", "ws")) and not request.url.startswith(served.url):
            noise.append(f"left the machine: {request.url}")

    context.on("weberror", add_error)
    context.on("request", add_request)
    yield
    context.remove_listener("weberror", add_error)
    context.remove_listener("request", add_request)
