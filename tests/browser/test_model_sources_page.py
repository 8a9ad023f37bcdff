"""The search over several sources on the Model tab, and a download from ModelScope, with small servers for both."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from studio.models.starters import cache_folder
from tests.browser.conftest import opened_pages
from tests.browser.served import Served
from tests.hubserver import HubServer, tiny_repo
from tests.modelscope_server import ModelScopeServer

TINY = "modelscope:someone/tiny"
SLOW = 30_000


@pytest.fixture
def scope() -> Iterator[ModelScopeServer]:
    with ModelScopeServer() as server:
        server.add(tiny_repo())
        yield server


@pytest.fixture
def page(browser: Browser, tmp_path: Path, scope: ModelScopeServer) -> Iterator[Page]:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "starters").symlink_to(cache_folder() / "starters")
    with HubServer() as hub:
        hub.add(tiny_repo())
        environment = {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_OFFLINE": "0",
            "MODELSCOPE_ENDPOINT": scope.url,
            "STUDIO_CACHE": str(cache),
            "STUDIO_MODEL_SOURCES": "hub,modelscope",
        }
        served = Served(tmp_path / "home", environment=environment)
        try:
            with opened_pages(browser, served) as open_page:
                yield open_page()
        finally:
            served.stop()


def test_one_search_shows_results_of_both_sources_and_one_of_them_is_downloaded(
    page: Page, scope: ModelScopeServer
) -> None:
    page.get_by_role("radio", name="Chat").first.check()
    search = page.get_by_label("Search by name: Hub, ModelScope")
    search.press_sequentially("tiny", delay=30)
    results = page.get_by_role("radiogroup", name="Search results")
    expect(results.get_by_role("radio")).to_have_count(2, timeout=SLOW)
    expect(results).to_contain_text("From the Hub")
    expect(results).to_contain_text("From ModelScope")
    results.locator(f'input[value="{TINY}"]').check()
    expect(page.get_by_text("LlamaForCausalLM")).to_be_visible(timeout=SLOW)
    page.get_by_role("button", name="Download", exact=False).last.click()
    expect(page.get_by_role("radiogroup", name="Models").locator(f'input[value="{TINY}"]')).to_be_checked(timeout=SLOW)
    expect(page.get_by_text("nothing to download")).to_be_visible(timeout=SLOW)
    scope.busy = True
    search.fill("someone")
    expect(page.locator(".note.warn")).to_contain_text("ModelScope responded with error 503.", timeout=SLOW)
    expect(results.get_by_role("radio")).to_have_count(1)
