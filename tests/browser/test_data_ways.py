"""The Data tab in a real browser: several files at once, another way of reading, splits by group, versions compared,
long reading that is cancelled while the page stays quick."""

import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import emptied
from tests.browser.served import Served
from tests.browser.test_steps_1_to_3 import SLOW, bring, button

LINES = [f"Where is parcel {n}?;Parcel {n} left us on Monday.;c{n % 9}" for n in [*range(60), 3, 4]]
TABLE = "question;answer;customer\n" + "\n".join(LINES)


@pytest.fixture
def served(shared_server: Served) -> Served:
    """One studio for all tests here, empty for each."""
    return emptied(shared_server)


def brought(page: Page, folder: Path) -> None:
    path = folder / "questions.csv"
    path.write_text(TABLE, encoding="utf-8")
    bring(page, path)


def test_several_files_become_one_dataset(page: Page, tmp_path: Path) -> None:
    for name in ("train", "validation"):
        (tmp_path / f"{name}.csv").write_text(TABLE.replace("parcel", f"{name} parcel"), encoding="utf-8")
    page.get_by_role("radio", name="Chat").first.check()
    button(page, "Next: data").click()
    page.get_by_label("Choose a file").set_input_files([tmp_path / "train.csv", tmp_path / "validation.csv"])
    expect(page.get_by_role("heading", name="Your rows", exact=True)).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("2 files · 124 rows")).to_be_visible()
    expect(page.get_by_text("The file has its own splits.")).to_be_visible(timeout=SLOW)


def test_a_file_is_read_another_way_and_the_versions_are_compared(page: Page, tmp_path: Path) -> None:
    brought(page, tmp_path)
    page.locator("summary").filter(has_text="How the file was read").click()
    expect(page.get_by_label("Delimiter (between cells)")).to_have_value("")
    expect(page.get_by_label("Delimiter (between cells)").locator("option:checked")).to_have_text("Detected: semicolon")
    page.get_by_label("First line has column names").select_option("no")
    expect(
        page.get_by_text(re.compile("version 2 · read again: no column names in the first line", re.IGNORECASE))
    ).to_be_visible(timeout=SLOW)
    page.get_by_label("First line has column names").select_option("")
    expect(page.get_by_text(re.compile("version 3 · read again", re.IGNORECASE))).to_be_visible(timeout=SLOW)
    page.locator(".doctor li").filter(has_text="cop").get_by_role("button", name="Remove").click()
    expect(page.get_by_text(re.compile("version 4 · 2 rows removed", re.IGNORECASE))).to_be_visible(timeout=SLOW)
    page.get_by_role("radio", name="Versions").check()
    expect(page.get_by_role("heading", name="Versions", exact=True)).to_be_visible()
    expect(page.get_by_text("60 rows the same")).to_be_visible(timeout=SLOW)
    expect(page.locator(".compared tbody tr")).to_have_count(2)
    edges = "cells => cells.map((cell) => Math.round(cell.getBoundingClientRect().left))"
    heads, cells = (page.locator(f".compared {each}").evaluate_all(edges) for each in ("th", "tbody tr:first-child td"))
    assert heads == cells, "each name is above its column"
    page.get_by_label("Earlier version").select_option("2")
    expect(page.get_by_text("New columns: question, answer, customer.")).to_be_visible(timeout=SLOW)
    page.get_by_role("button", name="Use version 1").click()
    expect(page.locator("li").filter(has_text="Version 1").get_by_text("current")).to_be_visible(timeout=SLOW)


def test_rows_are_divided_by_a_group(page: Page, tmp_path: Path) -> None:
    brought(page, tmp_path)
    button(page, "Change splits").click()
    page.get_by_label("How to split", exact=True).select_option("group_column")
    page.get_by_label("Column", exact=True).select_option("customer")
    expect(page.get_by_text("Rows with the same customer stay together: 9 groups.")).to_be_visible(timeout=SLOW)
    page.reload()
    expect(page.get_by_text("Rows with the same customer stay together: 9 groups.")).to_be_visible(timeout=SLOW)


def test_long_reading_shows_progress_leaves_the_page_quick_and_is_cancelled(page: Page, tmp_path: Path) -> None:
    brought(page, tmp_path)
    path = tmp_path / "large.csv"
    with path.open("w", encoding="utf-8") as out:
        out.write("question,answer\n")
        for n in range(900_000):
            out.write(f"Where is parcel number {n}?,It left us on day {n} of this year and is late.\n")
    page.get_by_label("Replace file").set_input_files(path)
    expect(page.get_by_role("heading", name="Reading large.csv")).to_be_visible(timeout=SLOW)
    start = time.monotonic()
    page.get_by_role("tab", name="1 Model", exact=True).click()
    expect(page.get_by_role("heading", name="Choose a model to start from")).to_be_visible()
    assert time.monotonic() - start < 5, "another tab opens at once"
    page.get_by_role("tab", name="2 Data", exact=True).click()
    button(page, "Cancel").click()
    expect(page.get_by_text("questions.csv · 62 rows")).to_be_visible(timeout=SLOW)
    page.get_by_label("Replace file").set_input_files(path)
    expect(page.get_by_text("large.csv · 900,000 rows")).to_be_visible(timeout=2 * SLOW)
    expect(page.get_by_text(re.compile(r"Checking 900,000 rows: [\d,]+ done"))).to_be_visible(timeout=SLOW)
    button(page, "Next 12 rows").click()
    expect(page.get_by_text("Rows 13 to 24 of 900,000")).to_be_visible(timeout=SLOW)
    page.get_by_role("button", name="Stop checking the rows").click()
    expect(page.get_by_text("These rows have not been checked yet.")).to_be_visible(timeout=SLOW)


def test_the_hub_without_a_network_says_so_in_a_sentence(page: Page, tmp_path: Path) -> None:
    brought(page, tmp_path)
    button(page, "Hub dataset").click()
    name = page.get_by_label("Name of a dataset on the Hub")
    name.fill("someone/mood")
    name.press("Enter")
    expect(page.get_by_role("alert").filter(visible=True).first).to_contain_text("The Hub can't be used", timeout=SLOW)
    expect(name).to_have_value("someone/mood")


def test_three_findings_are_fixed_one_kind_at_a_time_and_one_is_undone(page: Page, tmp_path: Path) -> None:
    rows = [f'{{"question": "Where is parcel {n}?", "answer": "Parcel {n} left us on Monday."}}' for n in range(60)]
    rows[7] = '{"question": "Who helps?", "answer": "Write to jane.doe@example.org, she knows."}'
    rows[20] = rows[3]
    rows[41] = '{"question": '
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(rows), encoding="utf-8")
    bring(page, path)
    finding = page.locator(".doctor li")
    expect(finding).to_have_count(3, timeout=SLOW)
    expect(button(page, "Next: method")).to_be_disabled()
    finding.get_by_role("button", name="Leave them out: 1 line").click()
    expect(page.get_by_text(re.compile("version 2 · 1 row removed: bad line", re.IGNORECASE))).to_be_visible(
        timeout=SLOW
    )
    expect(button(page, "Next: method")).to_be_enabled()
    finding.filter(has_text="cop").get_by_role("button", name="Remove").click()
    expect(page.get_by_text(re.compile("version 3 · 1 row removed: duplicate", re.IGNORECASE))).to_be_visible(
        timeout=SLOW
    )
    finding.filter(has_text="e-mail").get_by_role("button", name="Mask").click()
    expect(page.get_by_text(re.compile("version 4 · 1 row masked", re.IGNORECASE))).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("No problems found")).to_be_visible(timeout=SLOW)
    button(page, "Back to version 3").click()
    expect(page.get_by_text(re.compile("version 3 · 1 row removed: duplicate", re.IGNORECASE))).to_be_visible(
        timeout=SLOW
    )
    expect(finding).to_have_count(1, timeout=SLOW)
    expect(finding).to_contain_text("e-mail")
    expect(page.get_by_text("58 of 58 rows can be used")).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 600})  # the table is above the checks
    finding.get_by_role("button", name="Show").click()
    expect(page.get_by_text(re.compile("1 to 1 of 1: personal data only"))).to_be_visible(timeout=SLOW)
    expect(page.locator("[data-key=rows] tr[data-key]").first).to_be_in_viewport()


def test_a_cell_is_written_anew_and_makes_a_version(page: Page, tmp_path: Path) -> None:
    brought(page, tmp_path)
    page.locator("tr[data-key=r3] td:not(.idx)").first.click()
    cell = page.get_by_label("answer", exact=True)
    expect(cell).to_have_value("Parcel 2 left us on Monday.", timeout=SLOW)
    cell.fill("Parcel 2 is with the neighbours.")
    button(page, "Save answer").click()
    expect(page.get_by_text(re.compile("version 2 · row 3 edited: answer", re.IGNORECASE))).to_be_visible(timeout=SLOW)
    expect(page.locator(".datatable").get_by_text("Parcel 2 is with the neighbours.")).to_be_visible()
    button(page, "Close row 3").click()
    expect(cell).to_have_count(0)
    button(page, "Back to version 1").click()
    expect(page.locator(".datatable").get_by_text("Parcel 2 left us on Monday.")).to_be_visible(timeout=SLOW)
