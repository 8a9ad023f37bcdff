"""Step 3 in a real browser: every method with its reason, settings that go with it, and a measured estimate."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.training.methods import METHODS
from tests.browser.conftest import emptied
from tests.browser.served import Served
from tests.browser.test_steps_1_to_3 import SLOW, bring, button, rows_file, tab
from tests.browser.test_whole_way import use_folder
from tests.real.made_runs import tiny_llama


@pytest.fixture
def served(shared_server: Served) -> Served:
    """One studio for all tests here, empty for each."""
    return emptied(shared_server)


def bring_rows_for_a_tiny_model(page: Page, folder: Path) -> None:
    """Steps 1 and 2. These tests are about the page, and each of them trains several times."""
    page.get_by_role("radio", name="Chat").first.check()
    use_folder(page, tiny_llama(folder / "tiny").path)
    bring(page, rows_file(folder))


def test_a_method_shows_its_own_settings_and_a_measured_estimate(page: Page, tmp_path: Path) -> None:
    bring_rows_for_a_tiny_model(page, tmp_path)
    tab(page, "3 Method").click()
    methods = page.locator("[name=method]").locator("xpath=ancestor::fieldset")
    expect(page.locator(".runcard")).to_contain_text("Trainable parameters", timeout=SLOW)
    for method in METHODS.values():
        expect(methods.locator(f'input[value="{method.name}"]')).to_be_attached()
    methods.get_by_text("More methods").click()
    methods.locator('input[value="prefix-tuning"]').check()
    page.get_by_text("Adapter", exact=True).first.click()
    expect(page.locator("#f-virtual_tokens")).to_be_visible()
    expect(page.locator("#f-lora_rank")).to_have_count(0)
    methods.locator('input[value="lora"]').check()
    expect(page.locator("#f-virtual_tokens")).to_have_count(0)
    button(page, "Measure").click()
    expect(page.get_by_text("Memory and time were measured with a few real steps.")).to_be_visible(timeout=3 * SLOW)


def test_a_search_tries_the_preset_first_and_its_best_can_be_used(page: Page, tmp_path: Path) -> None:
    bring_rows_for_a_tiny_model(page, tmp_path)
    tab(page, "3 Method").click()
    expect(page.locator(".runcard")).to_contain_text("Trainable parameters", timeout=SLOW)
    page.get_by_text("Learning", exact=True).first.click()
    page.get_by_label("Maximum steps").fill("2")
    page.get_by_label("Maximum steps").press("Tab")
    expect(page.locator(".runcard")).to_contain_text("2 steps")
    page.locator("#method-body summary").filter(has_text="Find better settings").click()
    page.get_by_label("Trials", exact=True).fill("2")
    page.get_by_label("Trials", exact=True).press("Tab")
    page.get_by_label("Minutes", exact=True).fill("90")
    page.get_by_label("Minutes", exact=True).press("Tab")
    button(page, "Start search for better settings").click()
    trials = page.get_by_role("region", name="Trials")
    expect(trials).to_contain_text("preset", timeout=SLOW)
    expect(page.get_by_text("The search ends after 90 minutes of training")).to_be_visible()
    expect(trials).to_contain_text("best so far", timeout=3 * SLOW)
    chart = page.locator("details", has=trials).locator("svg.spark polyline")
    expect(chart).to_be_attached(timeout=3 * SLOW)  # drawn as soon as two trials have ended
    assert len(chart.get_attribute("points").split()) == 2  # type: ignore[union-attr]
    button(page, "Use the best settings").click()
    expect(page.get_by_text("changed by you").first).to_be_visible()


def test_what_does_not_fit_is_made_to_fit_and_each_change_is_said(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    long = " ".join(f"word{n}" for n in range(300))
    path.write_text("question,answer\n" + "".join(f"Where is parcel {n}?,{n} {long}\n" for n in range(1300)))
    bring(page, path)
    tab(page, "3 Method").click()
    expect(page.locator(".runcard")).to_contain_text("Trainable parameters", timeout=SLOW)
    page.get_by_text("Learning", exact=True).first.click()
    page.get_by_label("Batch size, rows").fill("1024")
    page.get_by_label("Batch size, rows").press("Tab")
    expect(page.locator("#method-actions")).to_contain_text("are free.", timeout=SLOW)
    expect(button(page, "Start")).to_have_count(0)
    button(page, "Make it fit").click()
    expect(page.get_by_text("Changed to fit the memory.")).to_be_visible(timeout=SLOW)
    said = page.locator(".note", has_text="Changed to fit the memory.")
    expect(said).to_contain_text("instead of 1024")
    expect(button(page, "Start")).to_be_enabled()
    assert int(page.get_by_label("Batch size, rows").input_value()) < 1024
