"""A run of two processes with ZeRO-2, from the Method tab to the end of its curve, in a real browser."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.machine.deepspeed import why_no_deepspeed
from studio.machine.facts import machine_facts
from tests.browser.served import Served
from tests.browser.test_steps_1_to_3 import SLOW, bring, button, rows_file, tab
from tests.browser.test_whole_way import use_folder
from tests.real.made_runs import tiny_llama

pytestmark = pytest.mark.skipif(
    bool(why_no_deepspeed()) or max(len(machine_facts().gpus), os.cpu_count() or 1) < 2,
    reason="needs DeepSpeed, and two cores or GPUs",
)


@pytest.fixture
def home(cores: int, home: Path) -> Path:
    """Of a studio that has all cores of the machine, also where tests run beside it."""
    assert cores > 1
    return home


def test_two_processes_with_zero_are_chosen_estimated_started_and_watched(
    page: Page, served: Served, tmp_path: Path
) -> None:
    page.get_by_role("radio", name="Chat").first.check()
    use_folder(page, tiny_llama(tmp_path / "tiny").path)
    bring(page, rows_file(tmp_path))
    tab(page, "3 Method").click()
    expect(page.locator(".runcard")).to_contain_text("Trainable parameters", timeout=SLOW)
    page.get_by_text("Learning", exact=True).first.click()
    page.get_by_label("Maximum steps").fill("3")
    page.get_by_label("Maximum steps").press("Tab")
    expect(page.locator(".runcard")).to_contain_text("3 steps")
    page.get_by_text("Machine", exact=True).first.click()
    page.get_by_label("ZeRO stage").select_option("2")
    expect(page.get_by_role("alert").filter(has_text="this run has only one").first).to_be_visible()
    expect(button(page, "Start")).to_be_disabled()
    page.get_by_label("Processes", exact=True).fill("2")
    page.get_by_label("Processes", exact=True).press("Tab")
    expect(button(page, "Start")).to_be_enabled()
    page.get_by_text("Memory by process", exact=True).click()
    table = page.get_by_role("region", name="Memory by process, scrolls sideways")
    expect(table.get_by_role("row").filter(has_text="ZeRO-2")).to_contain_text("chosen")
    expect(table.get_by_role("row").filter(has_text="FSDP")).to_contain_text("not available", ignore_case=True)
    expect(page.get_by_label("Shard weights with FSDP")).to_be_disabled()
    expect(table.get_by_role("row")).to_have_count(7)
    button(page, "Start").click()
    expect(page.get_by_role("button", name="Chat with both")).to_be_visible(timeout=4 * SLOW)
    page.wait_for_function("studio.live.data?.steps.length >= 3", timeout=SLOW)
    steps = page.evaluate("studio.live.data.steps.map(row => row[0])")
    assert steps == [1, 2, 3], "the curve has a hole"
    assert sorted(path.name for path in served.home.rglob("rank-*.log")) == ["rank-0.log", "rank-1.log"]
