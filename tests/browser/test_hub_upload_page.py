"""The panel of the Export tab that uploads to the Hub: token, name, license, progress, stop, resume and the link."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from studio.schema.report import ExportResult
from studio.store.files import write_whole
from tests.browser.conftest import opened_pages
from tests.browser.made import Made
from tests.browser.served import Served
from tests.hub_uploads import TOKEN, UploadHub

CARD = "---\nlicense: apache-2.0\nlibrary_name: peft\ntags:\n- finetune-studio\n---\n\n# Tone\n"


@pytest.fixture
def hub() -> Iterator[UploadHub]:
    with UploadHub() as hub:
        yield hub


@pytest.fixture
def exported(home: Path) -> Path:
    """The folder of a run's exported adapter, in a home without a token."""
    run = Made(home, at=3)
    run.finish()
    folder = run.space.runs.folder(run.id).exports
    to = folder / "adapter"
    to.mkdir(parents=True)
    (to / "README.md").write_text(CARD)
    (to / "adapter_model.safetensors").write_bytes(os.urandom(12_000_000))
    result = ExportResult(format="adapter", path=str(to), bytes=12_000_000, tested="Tested.")
    write_whole(folder / "adapter.json", result.model_dump_json())
    return to


@pytest.fixture
def page(browser: Browser, home: Path, hub: UploadHub, exported: Path) -> Iterator[Page]:
    served = Served(home, environment={"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"})
    try:
        with opened_pages(browser, served) as open_page:
            yield open_page()
    finally:
        served.stop()


def test_an_export_is_uploaded_stopped_and_resumed_on_the_page(page: Page, hub: UploadHub, exported: Path) -> None:
    page.get_by_role("tab", name="Export").click()
    panel = page.get_by_role("region", name="Share on the Hugging Face Hub")
    panel.get_by_label("Hub token").fill(TOKEN)
    panel.get_by_role("button", name="Save token").click()
    expect(panel).to_contain_text("apache-2.0, allows sharing")
    assert TOKEN not in page.content()
    expect(panel.get_by_label("Private: only you can see it")).to_be_checked()
    expect(panel.get_by_text("2 files")).to_be_visible()

    panel.get_by_label("Repository").fill("bob/tone")
    panel.get_by_role("button", name="Upload", exact=True).click()
    expect(panel.get_by_role("alert")).to_contain_text("Your Hub token belongs to another account")
    assert not hub.own

    hub.slow_upload = 0.3
    panel.get_by_label("Repository").fill("ann/tone")
    panel.get_by_role("button", name="Upload", exact=True).click()
    expect(panel.get_by_text("Uploading")).to_be_visible()
    panel.get_by_role("button", name="Stop the upload").click()
    expect(panel).to_contain_text("The upload was not completed.")
    repo = hub.own["model/ann/tone"]
    assert repo.private and not repo.commits

    hub.slow_upload = 0
    panel.get_by_role("button", name="Resume the upload").click()
    expect(panel.get_by_role("link", name="Open on the Hub")).to_have_attribute("href", f"{hub.url}/ann/tone")
    expect(panel).to_contain_text("Only you can see it.")
    assert repo.files["adapter_model.safetensors"] == (exported / "adapter_model.safetensors").read_bytes()
