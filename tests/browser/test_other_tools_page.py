"""Other tools on the page: an adapter of theirs becomes a run, and rows are downloaded in their formats."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from playwright.sync_api import Browser, Page, expect

from studio.api import Studio
from tests.browser.conftest import opened_pages
from tests.browser.served import Served
from tests.real.made_runs import tiny_llama

SLOW = 60_000


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("tools") / "home")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def adapter(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter, as a tool on another machine saves it, of a tiny model that is among the local models."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("theirs")
    base = str(tiny_llama(folder / "tiny").path)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base),
        LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
    )
    model.save_pretrained(str(folder / "their-adapter"))
    config = folder / "their-adapter" / "adapter_config.json"
    config.write_text(config.read_text().replace(base, "/home/somebody/models/llama"))
    with Studio(served.home) as studio:
        studio.models.use_folder(base)
        rows = "".join(f"Question {n}?,Answer {n}.\n" for n in range(12))
        dataset = studio.datasets.add_text(f"prompt,reply\n{rows}", "faq.csv").id
        studio.datasets.set_roles(dataset, "chat", {"prompt": "prompt", "reply": "reply"})
    return folder / "their-adapter"


@pytest.fixture
def page(browser: Browser, served: Served, adapter: Path) -> Iterator[Page]:
    with opened_pages(browser, served) as open_page:
        opened: Any = open_page(viewport={"width": 1280, "height": 900})
        yield opened


def test_an_adapter_of_another_tool_becomes_a_run(page: Page, served: Served, adapter: Path) -> None:
    page.get_by_role("tab", name="Runs", exact=True).click()
    page.get_by_text("Open a result of another tool").click()
    expect(page.get_by_role("button", name="Open adapter", exact=True)).to_be_disabled()
    field = page.get_by_label("Folder of the adapter on this machine")
    field.fill(str(adapter.parent))
    field.press("Tab")
    page.get_by_role("button", name="Open adapter", exact=True).click()
    expect(page.get_by_text("The folder has no adapter_config.json that can be read.").first).to_be_visible(
        timeout=SLOW
    )
    field.fill(str(adapter))
    field.press("Tab")
    page.get_by_role("button", name="Open adapter", exact=True).click()
    expect(page.get_by_role("button", name="Open their-adapter", exact=True)).to_be_visible(timeout=SLOW)
    with Studio(served.home) as studio:
        (record,) = studio.runs.all()
        assert record.status == "finished" and record.model.endswith("tiny")


def test_rows_are_downloaded_in_the_formats_of_other_tools(page: Page, tmp_path: Path) -> None:
    page.get_by_role("tab", name="2 Data", exact=True).click()
    page.get_by_role("button", name="All datasets", exact=True).click()
    page.get_by_text("For other tools", exact=True).click()
    for title, name in (("OpenAI JSONL", "faq-openai.jsonl"), ("Parquet", "faq-parquet.parquet")):
        with page.expect_download(timeout=SLOW) as found:
            page.get_by_role("button", name=f"Download faq.csv as {title}", exact=True).click()
        assert found.value.suggested_filename == name
        found.value.save_as(tmp_path / name)
    first = json.loads((tmp_path / "faq-openai.jsonl").read_text(encoding="utf-8").splitlines()[0])
    expected = [{"role": "user", "content": "Question 0?"}, {"role": "assistant", "content": "Answer 0."}]
    assert first == {"messages": expected}
    rows = pyarrow.parquet.read_table(tmp_path / "faq-parquet.parquet").to_pylist()
    assert len(rows) == 12 and rows[0] == {"messages": expected}
