"""What the model sees, moved about: the limit as a line, the cut, the longest rows, the first batch; and more rows."""

import csv
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import emptied
from tests.browser.served import Served
from tests.browser.test_steps_1_to_3 import SLOW, bring, button, tab


@pytest.fixture
def served(shared_server: Served) -> Served:
    """One studio for all tests here, empty for each."""
    return emptied(shared_server)


def long_rows(folder: Path) -> Path:
    """Sixty short rows, and one that is several times as long."""
    path = folder / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["question", "answer"])
        for number in range(60):
            out.writerow([f"Where is parcel {number}?", f"Parcel {number} left us on Monday. Write if it is late."])
        out.writerow(["Tell me all about it.", "It went from one town to the next, and then to another. " * 20])
    return path


def seen(page: Page, path: Path) -> Locator:
    """The view, with the limit's line."""
    bring(page, path)
    page.get_by_role("radio", name="What the model sees").check()
    limit = page.get_by_role("slider", name="Maximum length in tokens")
    expect(limit).to_be_visible(timeout=SLOW)
    return limit


def test_the_limit_is_moved_by_key_and_by_hand_and_says_what_it_cuts(page: Page, tmp_path: Path) -> None:
    limit = seen(page, long_rows(tmp_path))
    expect(page.locator("[data-said]")).to_contain_text("no row is truncated")
    planned = int(limit.get_attribute("aria-valuenow") or 0)
    limit.focus()
    limit.press("Home")
    expect(page.locator("[data-said]")).to_contain_text("At 16 tokens 61 rows are truncated")
    expect(page.locator(".cut-here")).to_contain_text("16 tokens", timeout=SLOW)
    expect(page.locator(".turn.gone .tok").first).to_be_visible()
    expect(button(page, "Use the default maximum length")).to_be_visible()
    box = page.locator(".lengths").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 40, steps=5)
    expect(page.locator("[data-said]")).to_contain_text("1 row is truncated")
    page.mouse.up()
    expect(page.locator(".tok").first).to_be_visible()
    expect(page.locator(".cut-here")).to_have_count(0, timeout=SLOW)
    half = int(limit.get_attribute("aria-valuenow") or 0)
    assert 0.3 * planned < half < 0.7 * planned
    button(page, "Next: method").click()
    expect(page.locator("[name=max_length]")).to_have_value(str(half), timeout=SLOW)


def test_the_longest_row_is_one_click_away_and_the_cut_is_marked_in_it(page: Page, tmp_path: Path) -> None:
    limit = seen(page, long_rows(tmp_path))
    button(page, "Show row 61").click()
    expect(page.get_by_label("Row 61 as tokens", exact=False)).to_be_visible(timeout=SLOW)
    expect(page.locator(".cut-here")).to_have_count(0)
    limit.focus()
    for _ in range(2):
        limit.press("PageDown")
    expect(page.locator(".cut-here")).to_be_visible(timeout=SLOW)
    expect(page.locator(".turn.gone")).to_contain_text("another")
    button(page, "Use the default maximum length").click()
    expect(page.locator(".cut-here")).to_have_count(0, timeout=SLOW)


def test_the_first_batch_is_shown_with_its_padding(page: Page, tmp_path: Path) -> None:
    seen(page, long_rows(tmp_path))
    button(page, "Show the first batch").click()
    lines = page.locator(".batch li")
    expect(lines.first).to_be_visible(timeout=2 * SLOW)
    expect(lines).to_have_count(4)
    said = re.compile(r"Row \d+: \d+ tokens, \d+ learned")
    expect(page.locator(".strip").first).to_have_attribute("aria-label", said)
    expect(page.locator(".strip i.p").first).to_be_visible()


def test_made_rows_are_looked_at_before_they_become_a_version(page: Page, tmp_path: Path) -> None:
    bring(page, long_rows(tmp_path))
    page.get_by_role("radio", name="Data augmentation").check()
    expect(page.get_by_role("heading", name="What to expect of your rows")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("61 rows teach a tone and a format well", exact=False)).to_be_visible()
    page.get_by_label("Number of rows").fill("6")
    page.get_by_label("Number of rows").press("Tab")
    button(page, "Make rows").click()
    made = page.locator(".list.made li")
    expect(made).to_have_count(6, timeout=SLOW)
    expect(button(page, "Add 0 rows")).to_be_disabled()
    button(page, "Refuse synthetic row 2").click()
    expect(made.nth(1)).to_contain_text("refused")
    button(page, "Keep synthetic row 1").click()
    expect(button(page, "Add 1 row")).to_be_enabled()
    page.reload()
    expect(made.nth(1)).to_contain_text("refused", timeout=SLOW)
    button(page, "Keep all unreviewed").click()
    expect(page.get_by_text("0 to review · 5 kept · 1 refused")).to_be_visible()
    button(page, "Add 5 rows").click()
    expect(page.get_by_text("66 rows", exact=False).first).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("5 rows added by augmentation: spelling noise", exact=False).first).to_be_visible()
    expect(page.get_by_label("Role of the column made_by")).to_have_value("ignore")
    expect(page.locator(".splits")).to_contain_text("9 validation")
    button(page, "Back to version 1").click()
    expect(page.get_by_text("61 rows", exact=False).first).to_be_visible(timeout=SLOW)


def test_labels_are_judged_and_a_curve_is_drawn_when_asked_for(page: Page) -> None:
    page.get_by_role("button", name="Use this sample: intent-routing").click()
    expect(tab(page, "3 Method")).to_have_attribute("aria-selected", "true", timeout=SLOW)
    tab(page, "2 Data").click()
    expect(page.get_by_role("heading", name="Your rows", exact=True)).to_be_visible(timeout=SLOW)
    button(page, "Find wrong labels").click()
    found = page.get_by_text(re.compile(r"labels? (is|are) likely wrong"))
    expect(found.first).to_be_visible(timeout=2 * SLOW)
    page.set_viewport_size({"width": 1280, "height": 480})  # the table is above the view then
    page.get_by_role("button", name=re.compile("^Show: .*likely wrong")).click()
    expect(page.locator(".datatable .map")).to_be_in_viewport()
    page.set_viewport_size({"width": 1280, "height": 900})
    expect(page.get_by_text("label error only", exact=False)).to_be_visible(timeout=SLOW)
    page.get_by_role("radio", name="Data augmentation").check()
    button(page, "Draw the learning curve").click()
    expect(page.get_by_role("img", name=re.compile("Accuracy by number of rows"))).to_be_visible(timeout=2 * SLOW)
    expect(page.get_by_text("Twice as many rows would add", exact=False)).to_be_visible()
