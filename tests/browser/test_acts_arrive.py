"""Whatever a person does is answered, and no answer takes back what was done after it."""

import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import emptied, opened_pages, ready
from tests.browser.served import Served

TIMES = 8
PAUSES = (0, 7, 15, 30)
"""Milliseconds between two acts."""


@pytest.fixture
def served(shared_server: Served) -> Served:
    """One studio for all tests here, empty for each."""
    return emptied(shared_server)


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def to_the_method(page: Page, folder: Path) -> None:
    """Pick Chat, bring forty rows and open step 3."""
    tab(page, "1 Model")
    page.get_by_role("radio", name="Chat").first.check()
    path = folder / "rows.csv"
    path.write_text("question,answer\n" + "".join(f"What is {n}?,It is the number {n}.\n" for n in range(40)))
    tab(page, "2 Data")
    page.locator("input[type=file][data-file]").first.set_input_files(path)
    expect(page.get_by_text("rows.csv ·").first).to_be_visible(timeout=20_000)
    tab(page, "3 Method")


def test_a_tab_clicked_while_the_page_opens_another_one_is_drawn(browser: Browser, served: Served) -> None:
    for _ in range(TIMES):
        with opened_pages(browser, served) as open_page:
            page = open_page()
            tab(page, "1 Model")
            expect(page.get_by_role("radio", name="Chat").first).to_be_visible(timeout=15_000)
            tab(page, "2 Data")  # with which the next page begins
            expect(page.get_by_label("Choose a file").or_(page.get_by_label("Replace file")).first).to_be_attached()


def test_what_a_person_does_while_a_tab_is_not_set_up_yet_leaves_no_empty_page(page: Page, served: Served) -> None:
    tab(page, "2 Data")  # with which the next page begins
    expect(page.get_by_label("Choose a file").first).to_be_attached()
    page.add_init_script("addEventListener('click', (e) => { if (!e.isTrusted) e.stopImmediatePropagation(); }, true)")
    page.goto(served.url)
    ready(page)
    page.mouse.click(5, 600)
    expect(page.get_by_role("radio", name="Chat").first).to_be_visible()


def test_of_many_things_done_in_a_row_none_is_lost(page: Page, tmp_path: Path) -> None:
    to_the_method(page, tmp_path)
    for number, pause in enumerate(TIMES * PAUSES):
        name = page.get_by_label("Name of the new run")
        name.fill(f"run {number}")
        name.press("Tab")
        page.wait_for_timeout(pause)
        tab(page, "2 Data")
        page.wait_for_timeout(pause)
        tab(page, "3 Method")
        expect(page.get_by_label("Name of the new run")).to_have_value(f"run {number}", timeout=15_000)


def test_a_choice_is_not_taken_back_by_a_drawing_that_was_begun_before_it(page: Page, tmp_path: Path) -> None:
    to_the_method(page, tmp_path)
    full = page.locator('input[value="full"]')
    expect(full).not_to_be_checked()
    page.wait_for_timeout(500)
    after = page.evaluate(LATE)
    assert after == {"full": True, "lora": False, "rate": "0.005"}
    expect(full).to_be_checked()
    page.wait_for_timeout(4500)
    expect(full).to_be_checked()
    expect(page.get_by_label("Learning rate", exact=True)).to_have_value("0.005")
    button = page.get_by_role("button", name="Reset to defaults")
    page.evaluate(FIELD)
    button.click()
    expect(page.get_by_label("Learning rate", exact=True)).not_to_have_value("0.007", timeout=3000)


LATE = """() => {  // a drawing of a moment ago arrives just after two changes
  const part = document.querySelector('input[value="full"]').closest(".block.region");
  const before = part.querySelector(".slot").innerHTML;
  const rate = part.querySelector('input[name="learning_rate"]');
  part.querySelector('input[value="full"]').click();
  rate.value = "0.005";
  rate.dispatchEvent(new Event("change", { bubbles: true }));
  window.studio.draw(part.id, before + "<i></i>");
  const on = (value) => part.querySelector(`input[value="${value}"]`).checked;
  return { full: on("full"), lora: on("lora"), rate: part.querySelector('input[name="learning_rate"]').value };
}"""
FIELD = """() => {
  const rate = document.querySelector('input[name="learning_rate"]');
  rate.value = "0.007";
  rate.dispatchEvent(new Event("change", { bubbles: true }));
}"""


def test_what_is_typed_replaces_a_selected_value_also_when_a_drawing_has_changed_that(page: Page) -> None:
    page.evaluate(
        """() => {
            const part = document.body.appendChild(document.createElement("div"));
            studio.morph(part, '<input id="typed" value="512">');
            const field = part.querySelector("input");
            field.focus();
            field.select();
            studio.morph(part, '<input id="typed" value="64">');
        }"""
    )
    expect(page.locator("#typed")).to_have_value("64")
    page.keyboard.insert_text("128")
    expect(page.locator("#typed")).to_have_value("128")


FRAMES_IN_A_SECOND = """() => new Promise((done) => {
  const first = requestAnimationFrame(() => setTimeout(() => {
    const last = requestAnimationFrame(() => done(last - first - 1));
  }, 1000));
})"""
"""How many animation frames others request within a second: their numbers are counted by document."""


def test_a_page_that_nobody_touches_requests_no_frames(page: Page) -> None:
    until = time.monotonic() + 20
    while (frames := page.evaluate(FRAMES_IN_A_SECOND)) > 2 and time.monotonic() < until:
        pass
    assert frames <= 2
    page.get_by_role("tab", name="Data").click()
    expect(page.get_by_role("tab", name="Data")).to_have_attribute("aria-selected", "true")
