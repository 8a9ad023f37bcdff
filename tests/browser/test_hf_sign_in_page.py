"""Sign-in with Hugging Face in a real browser, which reaches the Space by https as it does on Hugging Face."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect

from tests.browser.conftest import ready
from tests.browser.served import FLAGS, Served, chromium
from tests.openid_provider import ANN, BEN, FRAME, HOST, Provider
from tests.tls_front import TlsFront

LINK, BANNER = "Sign in with Hugging Face", "Public demo"
ROWS = b"text,label\n" + b"good day,fine\nbad day,poor\n" * 20


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        provider.asks = True
        yield provider


@pytest.fixture(scope="module")
def front(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsFront]:
    place = tmp_path_factory.mktemp("space")
    served = Served(place / "home", environment=provider.environment())
    with TlsFront(served.port, HOST, place) as front:
        yield front
    served.stop()


@pytest.fixture(scope="module")
def hub(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsFront]:
    """The provider under the name of Hugging Face, whose page frames the Space."""
    with TlsFront(provider.port, "huggingface.co", tmp_path_factory.mktemp("hub")) as front:
        yield front


@pytest.fixture(scope="module")
def flags(front: TlsFront, hub: TlsFront) -> list[str]:
    rules = f"MAP {HOST}:443 127.0.0.1:{front.port}, MAP huggingface.co:443 127.0.0.1:{hub.port}"
    return [*FLAGS, f"--host-resolver-rules={rules}"]


@pytest.fixture(scope="module")
def browser(playwright: Playwright, flags: list[str]) -> Iterator[Browser]:
    opened = playwright.chromium.launch(executable_path=chromium(), args=flags)
    yield opened
    opened.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(ignore_https_errors=True, viewport={"width": 1280, "height": 900})
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return opened(context)


def opened(context: BrowserContext) -> Page:
    page = context.new_page()
    page.goto(f"https://{HOST}/")
    ready(page)
    return page


def signed_in(page: Page) -> Page:
    """Sign in by the link, in the new tab that it opens."""
    with page.expect_popup() as popup:
        page.get_by_role("link", name=LINK).click()
    tab = popup.value
    tab.get_by_role("button", name="Authorize").click()
    ready(tab)
    return tab


def test_a_visitor_signs_in_works_and_signs_out(provider: Provider, page: Page, browser: Browser) -> None:
    provider.account = BEN
    tab = signed_in(page)
    expect(tab).to_have_url(f"https://{HOST}/")
    header = tab.locator(".account")
    expect(header.get_by_text("ben", exact=True)).to_be_visible()
    expect(header.get_by_role("link", name=LINK)).to_be_hidden()
    expect(tab.get_by_role("region", name=BANNER)).to_contain_text("Sign in on another browser to find them there.")
    tab.get_by_role("tab", name="Data").click()
    tab.locator("input[type=file]").first.set_input_files(
        {"name": "of-ben.csv", "mimeType": "text/csv", "buffer": ROWS}
    )
    expect(tab.get_by_role("heading", name="Your rows")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("link", name=LINK)).to_be_visible()  # the tab of before is as it was
    header.get_by_role("button", name="Sign out").click()
    ready(tab)
    expect(tab.get_by_role("link", name=LINK)).to_be_visible()
    tab.get_by_role("tab", name="Data").click()
    expect(tab.get_by_text("of-ben.csv")).to_have_count(0)
    elsewhere = browser.new_context(ignore_https_errors=True)
    again = signed_in(opened(elsewhere))
    again.get_by_role("tab", name="Data").click()
    expect(again.get_by_text("of-ben.csv").first).to_be_visible()
    elsewhere.close()


def test_the_creator_sees_no_limits_of_a_demo(provider: Provider, page: Page) -> None:
    expect(page.get_by_role("region", name=BANNER)).to_be_visible()
    provider.account = ANN
    tab = signed_in(page)
    expect(tab.locator(".account").get_by_text("ann", exact=True)).to_be_visible()
    expect(tab.get_by_role("region", name=BANNER)).to_be_hidden()
    assert tab.evaluate("document.cookie").find("__Host-studio") == -1


def sign_in_from_the_frame(context: BrowserContext) -> Page:
    """Open Hugging Face's page with the Space in a frame, sign in by the link in it, and load the page again."""
    outer = context.new_page()
    outer.goto(f"https://huggingface.co{FRAME}")
    with context.expect_page() as popup:
        outer.frame_locator("iframe").get_by_role("link", name=LINK).click()
    popup.value.get_by_role("button", name="Authorize").click()
    ready(popup.value)
    expect(popup.value.locator(".account").get_by_text("ben", exact=True)).to_be_visible()
    outer.reload()
    return outer


def test_where_the_browser_blocks_cookies_in_frames_the_frame_works_without_a_sign_in(
    provider: Provider, context: BrowserContext
) -> None:
    provider.account = BEN
    framed = sign_in_from_the_frame(context).frame_locator("iframe")
    expect(framed.get_by_role("link", name=LINK)).to_be_visible()
    framed.get_by_role("tab", name="Data").click()
    framed.locator("input[type=file]").first.set_input_files(
        {"name": "framed.csv", "mimeType": "text/csv", "buffer": ROWS}
    )
    expect(framed.get_by_role("heading", name="Your rows")).to_be_visible(timeout=30_000)


def test_where_the_browser_allows_cookies_in_frames_the_frame_knows_who_is_signed_in(
    provider: Provider, browser: Browser, flags: list[str], tmp_path: Path
) -> None:
    settings = tmp_path / "Default" / "Preferences"
    settings.parent.mkdir()
    settings.write_text('{"profile": {"cookie_controls_mode": 0, "block_third_party_cookies": false}}')
    provider.account = BEN
    profile = browser.browser_type.launch_persistent_context(
        tmp_path, executable_path=chromium(), args=flags, ignore_https_errors=True
    )
    framed = sign_in_from_the_frame(profile).frame_locator("iframe")
    expect(framed.locator(".account").get_by_text("ben", exact=True)).to_be_visible()
    profile.close()
