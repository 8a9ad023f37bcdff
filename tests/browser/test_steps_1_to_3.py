"""Steps 1 to 3 in a real browser: choosing, bringing rows, reading them, labelling, setting; and none of it lost."""

import csv
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import emptied, opened_pages
from tests.browser.served import Served
from tests.listening import Listening

SLOW = 60_000
EVIL = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture
def served(shared_server: Served) -> Served:
    """One studio for all tests here, empty for each."""
    return emptied(shared_server)


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def tab(page: Page, name: str) -> Locator:
    return page.get_by_role("tab", name=name, exact=True)


def rows_file(folder: Path, name: str = "questions.csv", rows: int = 40) -> Path:
    """Questions and answers, with a gap, a copy and a hostile row among them."""
    path = folder / name
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["question", "answer", "id"])
        for n in range(rows):
            out.writerow(
                [f"Where is parcel {n}?", f"Parcel {n} left us on Monday. Write to me if it is late. Ella", f"T-{n}"]
            )
        out.writerow([EVIL, "<b>It is on its way.</b> Ella", "T-a"])
        out.writerow(["Is anybody there?", "", "T-b"])
        out.writerow(["Where is parcel 1?", "Parcel 1 left us on Monday. Write to me if it is late. Ella", "T-c"])
    return path


def bring(page: Page, path: Path) -> None:
    """Pick Chat and bring a file."""
    page.get_by_role("radio", name="Chat").first.check()
    expect(page.get_by_role("heading", name="Choose a model to start from")).to_be_visible()
    button(page, "Next: data").click()
    page.get_by_label("Choose a file").set_input_files(path)
    expect(page.get_by_role("heading", name="Your rows", exact=True)).to_be_visible(timeout=SLOW)


def test_picking_a_task_chooses_a_model_that_can_do_it_and_greys_the_others(page: Page) -> None:
    expect(page.get_by_role("heading", name="What should your model do?")).to_be_visible()
    expect(button(page, "Next: data")).to_be_disabled()
    page.get_by_role("radio", name="Classify text").check()
    models = page.get_by_role("radiogroup", name="Models")
    expect(models.get_by_role("radio", checked=True)).to_have_attribute("value", "starter-classify")
    page.get_by_role("radio", name="Chat", exact=True).check()
    expect(models.get_by_role("radio", checked=True)).to_have_attribute("value", "starter-chat")
    expect(models.locator('input[value="starter-classify"]')).to_be_disabled()
    expect(button(page, "Next: data")).to_be_enabled()


def test_searching_the_hub_without_a_network_says_so_and_what_is_here_stays(page: Page) -> None:
    page.get_by_role("radio", name="Chat").first.check()
    page.get_by_label("Search by name: Hub").press_sequentially("smol", delay=30)
    expect(page.locator(".note.warn")).to_contain_text(re.compile("network|not used"), timeout=SLOW)
    expect(page.get_by_label("Search by name: Hub")).to_have_value("smol")
    expect(page.get_by_role("radiogroup", name="Models").get_by_role("radio", checked=True)).to_have_count(1)


def test_a_folder_that_is_no_model_is_refused_in_plain_words(page: Page, tmp_path: Path) -> None:
    page.get_by_role("radio", name="Chat").first.check()
    folder = page.get_by_label("A folder or GGUF file on this machine")
    folder.fill(str(tmp_path / "nowhere"))
    folder.press("Enter")
    expect(page.get_by_role("alert").filter(visible=True)).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("Traceback")).to_have_count(0)


def test_a_file_is_read_mapped_checked_fixed_and_taken_back(page: Page, tmp_path: Path) -> None:
    bring(page, rows_file(tmp_path))
    expect(page.get_by_label("Role of the column question")).to_have_value("prompt")
    expect(page.get_by_label("Role of the column answer")).to_have_value("reply")
    expect(page.get_by_label("Role of the column id")).to_have_value("ignore")
    expect(page.get_by_text("of 43 rows can be used")).to_be_visible()
    page.get_by_label("Role of the column answer").select_option("ignore")
    expect(page.get_by_role("alert").filter(visible=True)).to_be_visible()
    expect(button(page, "Next: method")).to_be_disabled()
    page.get_by_label("Role of the column answer").select_option("reply")
    expect(button(page, "Next: method")).to_be_enabled()
    page.locator(".doctor li").filter(has_text="cop").get_by_role("button", name="Remove").click()
    expect(page.get_by_text("version 2 · 1 row removed")).to_be_visible()
    button(page, "Back to version 1").click()
    expect(page.get_by_text("version 1 · as imported")).to_be_visible()
    expect(button(page, "Forward to version 2")).to_be_visible()


def test_a_file_that_is_brought_first_is_asked_what_it_is_for_and_two_choices_lead_to_the_method(
    page: Page, tmp_path: Path
) -> None:
    path = tmp_path / "museum.csv"
    lines = [f"Is hall {n} open on day {n % 7}?,Dear visitor — hall {n} is open. See you there!" for n in range(40)]
    path.write_text("visitor wrote,desk answered\n" + "\n".join(lines), encoding="utf-8")
    tab(page, "2 Data").click()
    page.get_by_label("Choose a file").set_input_files(path)
    expect(page.get_by_role("heading", name="What should the model learn from these rows?")).to_be_visible(timeout=SLOW)
    expect(button(page, "Next: method")).to_be_disabled()
    page.get_by_role("radio", name="Chat").check()
    expect(page.get_by_role("alert").filter(has_text="not clear which column is the prompt")).to_be_visible()
    page.get_by_label("Role of the column desk answered").select_option("reply")
    expect(page.get_by_text("40 of 40 rows can be used")).to_be_visible(timeout=SLOW)
    expect(page.get_by_label("Role of the column visitor wrote")).to_have_value("prompt")
    button(page, "Next: method").click()
    expect(page.get_by_role("heading", name="How should the model learn?")).to_be_visible()


def test_html_in_rows_and_in_a_files_name_stays_text(page: Page, tmp_path: Path) -> None:
    bring(page, rows_file(tmp_path, "<b onclick=x>&quot;.csv"))
    page.locator(".datatable").wait_for()
    for first in (13, 25, 37):
        button(page, "Next 12 rows").click()
        expect(page.get_by_text(f"Rows {first} to")).to_be_visible()
    expect(page.get_by_text(EVIL, exact=True).first).to_be_visible()
    page.get_by_role("radio", name="What the model sees").check()
    page.get_by_label("Row", exact=True).fill("41")
    page.get_by_label("Row", exact=True).press("Enter")
    expect(page.locator(".toks").first).to_be_visible(timeout=SLOW)
    page.wait_for_timeout(500)
    assert "owned" not in page.title()
    assert page.locator(".slot img, .slot b[onclick]").count() == 0


def test_what_the_model_sees_colours_what_is_learned_and_goes_on_by_key(page: Page, tmp_path: Path) -> None:
    bring(page, rows_file(tmp_path))
    page.get_by_role("radio", name="What the model sees").check()
    reply = page.locator(".tok.l")
    expect(reply.first).to_be_visible(timeout=SLOW)
    assert "".join(reply.all_text_contents()).startswith("Parcel 0 left us on Monday.")
    assert "parcel 0" in "".join(page.locator(".tok:not(.l)").all_text_contents())
    page.locator("[data-arrows]").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("Row", exact=True)).to_have_value("2")
    page.wait_for_function(
        "[...document.querySelectorAll('.tok.l')].map((t) => t.textContent).join('').startsWith('Parcel 1 left')"
    )
    expect(page.get_by_role("img", name="Rows by length")).to_be_visible()


def test_keys_pressed_in_a_burst_label_one_row_each_and_none_is_lost(page: Page, tmp_path: Path) -> None:
    texts = tmp_path / "texts.csv"
    texts.write_text("text\n" + "".join(f"Opinion number {n} about the kettle\n" for n in range(30)), encoding="utf-8")
    page.get_by_role("radio", name="Classify text").check()
    button(page, "Next: data").click()
    page.get_by_label("Choose a file").set_input_files(texts)
    page.get_by_role("radio", name="Label", exact=True).check(timeout=SLOW)
    page.get_by_label("Labels, one per line").fill("good\nbad")
    button(page, "Start labeling").click()
    expect(page.locator(".labelcard")).to_be_focused()
    for key in "1212121212":
        page.keyboard.press(key)
    expect(page.get_by_text("Row 11 of 30")).to_be_visible()
    page.keyboard.press("Backspace")
    expect(page.get_by_text("Row 10 of 30")).to_be_visible()
    page.keyboard.press("s")
    expect(page.get_by_text("Row 11 of 30")).to_be_visible()
    counts = [page.locator(".lc").nth(n).locator("b").inner_text() for n in range(2)]
    assert counts == ["5", "4"]
    page.reload()
    expect(page.get_by_text("Row 11 of 30")).to_be_visible(timeout=SLOW)
    button(page, "Use these labels").click()
    expect(page.get_by_label("Role of the column label")).to_have_value("label")
    expect(page.get_by_text("9 of 30 rows can be used")).to_be_visible()


def test_a_setting_that_can_not_be_says_so_at_its_field_and_the_defaults_come_back(page: Page, tmp_path: Path) -> None:
    bring(page, rows_file(tmp_path))
    button(page, "Next: method").click()
    expect(button(page, "Start")).to_be_enabled(timeout=SLOW)
    expect(page.locator(".runcard .big").first).to_be_visible(timeout=SLOW)
    page.locator("summary").filter(has_text="Learning").click()
    rate = page.get_by_label("Learning rate", exact=True)
    before = rate.input_value()
    for wrong in ("1e9", "0", "quick"):
        rate.fill(wrong)
        rate.press("Tab")
        expect(page.locator("#e-learning_rate")).to_be_visible()
        expect(rate).to_have_attribute("aria-invalid", "true")
        expect(rate).to_have_value(wrong)
        expect(button(page, "Start")).to_be_disabled()
    button(page, "Reset to defaults").click()
    expect(rate).to_have_value(before)
    expect(button(page, "Start")).to_be_enabled()
    passes = page.get_by_label("Epochs", exact=True)
    passes.fill("2")
    passes.press("Tab")
    expect(page.get_by_text("1 changed by you")).to_be_visible()
    expect(page.locator(".runcard")).to_contain_text("2 epochs of")


def test_a_reload_and_a_restart_of_the_server_lose_nothing(page: Page, served: Served, tmp_path: Path) -> None:
    bring(page, rows_file(tmp_path))
    tab(page, "3 Method").click()
    page.get_by_role("radio", name="Quick try").check()
    page.locator('input[value="full"]').check()
    page.get_by_label("Name of the new run").fill("my parcels")
    page.get_by_label("Name of the new run").press("Tab")
    page.get_by_label("Prompt 1").fill("Where is my kettle?")
    page.get_by_label("Prompt 1").press("Tab")

    def all_there() -> None:
        expect(tab(page, "3 Method")).to_have_attribute("aria-selected", "true", timeout=SLOW)
        expect(page.get_by_role("radio", name="Quick try")).to_be_checked(timeout=SLOW)
        expect(page.locator('input[value="full"]')).to_be_checked()
        expect(page.get_by_label("Name of the new run")).to_have_value("my parcels")
        expect(page.get_by_label("Prompt 1")).to_have_value("Where is my kettle?")

    page.wait_for_timeout(500)
    page.reload()
    all_there()
    served.kill()
    served.start()
    page.wait_for_timeout(5000)  # a second or two after the server is back the page reloads itself
    page.reload()
    all_there()
    tab(page, "2 Data").click()
    expect(page.get_by_label("Role of the column question")).to_have_value("prompt")


def test_a_sample_fills_steps_1_to_3_with_one_click(page: Page) -> None:
    page.get_by_role("button", name="Use this sample: support-tone").click()
    expect(tab(page, "3 Method")).to_have_attribute("aria-selected", "true", timeout=SLOW)
    expect(button(page, "Start")).to_be_enabled(timeout=SLOW)
    assert page.get_by_label("Prompt 1").input_value()


def test_tabs_and_the_next_step_are_reached_by_keyboard(page: Page) -> None:
    tab(page, "1 Model").focus()
    page.keyboard.press("ArrowRight")
    expect(tab(page, "2 Data")).to_have_attribute("aria-selected", "true")
    expect(tab(page, "2 Data")).to_be_focused()
    page.keyboard.press("End")
    expect(tab(page, "Runs")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Home")
    expect(tab(page, "1 Model")).to_have_attribute("aria-selected", "true")
    page.get_by_role("radio", name="Chat").first.focus()
    page.keyboard.press("Space")
    expect(button(page, "Next: data")).to_be_enabled()
    page.keyboard.press("Control+Enter")
    expect(tab(page, "2 Data")).to_have_attribute("aria-selected", "true")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", "empty"),
        ("broken.jsonl", b'{"prompt": "a", "reply": "b"}\n{"prompt": \n', "Line 2"),
        ("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(50), "can't read files like"),
    ],
)
def test_a_file_that_can_not_be_read_says_why_and_nothing_is_lost(
    page: Page, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    bring(page, rows_file(tmp_path))
    path = tmp_path / name
    path.write_bytes(content)
    page.get_by_label("Replace file").set_input_files(path)
    said = page.locator("#notice-data .note.error, .doctor").filter(has_text=words).first
    expect(said).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("Traceback")).to_have_count(0)
    expect(page.locator(".datatable")).to_be_visible()


def test_visitors_of_a_demo_never_see_each_others_rows(browser: Browser, home: Path, tmp_path: Path) -> None:
    served = Served(home, "--demo")
    try:
        with opened_pages(browser, served) as open_page:
            mine = open_page()
            bring(mine, rows_file(tmp_path, "mine-alone.csv"))
            other = open_page()
            tab(other, "2 Data").click()
            expect(other.get_by_role("heading", name="Import your rows")).to_be_visible()
            expect(other.get_by_text("mine-alone")).to_have_count(0)
            expect(other.get_by_text("Public demo")).to_be_visible()
            expect(other.get_by_label("A folder or GGUF file on this machine")).to_have_count(0)
            mine.reload()
            expect(mine.get_by_text("mine-alone.csv")).to_be_visible(timeout=SLOW)
    finally:
        served.stop()


def test_with_the_starters_here_no_process_behind_the_page_asks_the_network_for_anything(
    browser: Browser, tmp_path: Path
) -> None:
    with Listening() as network:
        served = Served(tmp_path / "home", environment={**network.environment(), "HF_HUB_OFFLINE": "0"})
        try:
            with opened_pages(browser, served) as open_page:
                page = open_page()
                button(page, "Use this sample: support-tone").click()
                expect(button(page, "Start")).to_be_enabled(timeout=2 * SLOW)
                for name in ("1 Model", "2 Data", "4 Train", "5 Evaluate", "6 Chat", "7 Export", "Runs"):
                    tab(page, name).click()
                    expect(tab(page, name)).to_have_attribute("aria-selected", "true")
                assert network.heard == []
                tab(page, "1 Model").click()
                page.get_by_label("Search by name: Hub").press_sequentially("someone", delay=30)
                for _ in range(200):
                    if network.heard:
                        break
                    page.wait_for_timeout(50)
                assert network.heard, "the listener hears who asks"
        finally:
            served.stop()
