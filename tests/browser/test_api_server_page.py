"""The API server on the Export tab: started, used with its key, and stopped."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from studio.api import RunRequest, Studio
from tests.browser.conftest import opened_pages
from tests.browser.served import Served, free_port
from tests.real.made_runs import tiny_llama

STARTS_WITHIN = 240_000


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, str]]:
    folder = tmp_path_factory.mktemp("api")
    model = str(tiny_llama(folder / "tiny").path)
    with Studio(folder / "home") as studio:
        data = studio.datasets.open("sample:support-tone").id
        settings = {"max_steps": 2, "max_length": 64, "batch_size": 2}
        run = studio.runs.start(RunRequest(dataset=data, model=model, name="tone", settings=settings)).id
        for _ in studio.runs.watch(run):
            pass
        assert studio.runs.get(run).has_result, studio.runs.events(run)[-3:]
    served = Served(folder / "home")
    yield served, run
    served.stop()


@pytest.fixture
def page(browser: Browser, studio: tuple[Served, str]) -> Iterator[Page]:
    """The Export tab."""
    served, run = studio
    with opened_pages(browser, served) as open_page:
        page = open_page(f"/?run={run}", viewport={"width": 390, "height": 900})
        page.get_by_role("tab", name="7 Export", exact=True).click()
        expect(page.get_by_role("heading", name="API server")).to_be_visible()
        yield page


def answer(port: int, key: str, model: str) -> tuple[int, str]:
    """Status and text of a reply of one token."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as line:
        line.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answered = line.getresponse()
        return answered.status, answered.read().decode()


def test_the_api_server_starts_answers_its_key_and_stops(page: Page, studio: tuple[Served, str]) -> None:
    port, run = free_port(), studio[1]
    field, start = (
        page.get_by_role("textbox", name="Port", exact=True),
        page.get_by_role("button", name="Start the API server"),
    )
    field.fill("none")
    start.click()
    expect(page.get_by_role("alert")).to_contain_text("This is not a port.")
    field.fill(str(port))
    start.click()
    panel = page.get_by_role("region", name="API server")
    expect(panel).to_contain_text("Starting")
    expect(panel).to_contain_text("Running", timeout=STARTS_WITHIN)
    expect(panel).to_contain_text(f"http://127.0.0.1:{port}/v1")
    expect(panel).to_contain_text("transformers")
    assert panel.locator("h3").all_inner_texts() == ["STUDIO_API_KEY", "curl", "Python", "JavaScript", "LangChain"]
    assert panel.locator("[data-copy]").count() == 5
    key = re.search(r"sk-studio-[\w-]+", panel.inner_text())
    assert key is not None
    assert answer(port, key[0], run)[0] == answer(port, key[0], "tiny")[0] == 200
    assert answer(port, "sk-studio-wrong", run)[0] == 401
    assert key[0] not in "".join(each.read_text() for each in Path(studio[0].home).rglob("*.json"))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not [fault for fault in Axe().run(page).response["violations"]]
    panel.get_by_role("button", name="Stop the API server").click()
    expect(start).to_be_visible(timeout=30_000)
    with pytest.raises(OSError):
        answer(port, key[0], run)
