"""Labelling in a real browser, with the real starter: forty rows by keyboard, suggestions, a training; two browsers."""

import csv
import io
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from studio.store.home import Home
from tests.browser.conftest import emptied, opened_pages, ready
from tests.browser.served import Served
from tests.support_messages import FORMS

MINUTE = 60_000
MARGIN = 0.2
"""How far above chance the accuracy on validation must be, stated before any training was tried."""
LABELS = ("refund", "delivery", "broken")
THINGS = ("kettle", "lamp", "blender", "chair", "radio", "mirror", "clock")
TRUTH = {form.format(thing): label for thing in THINGS for label, forms in FORMS.items() for form in forms}


@pytest.fixture
def served(shared_server: Served) -> Served:
    """One studio for all tests here, empty for each."""
    return emptied(shared_server)


def messages(folder: Path, rows: int = 84) -> Path:
    """Messages of customers without a label."""
    texts = list(TRUTH)
    random.Random(5).shuffle(texts)
    path = folder / "messages.csv"
    path.write_text("message\n" + "".join(f'"{text}"\n' for text in texts[:rows]), encoding="utf-8")
    return path


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def card(page: Page) -> Locator:
    return page.locator(".labelcard")


def begin(page: Page, path: Path, labels: tuple[str, ...] = LABELS) -> None:
    """Bring the file and name the labels."""
    page.get_by_role("radio", name="Classify text").first.check()
    button(page, "Next: data").click()
    page.get_by_label("Choose a file").set_input_files(path)
    page.get_by_role("radio", name="Label", exact=True).check(timeout=MINUTE)
    page.get_by_label("Labels, one per line").fill("\n".join(labels))
    button(page, "Start labeling").click()
    expect(card(page)).to_be_focused(timeout=MINUTE)


def text_of(page: Page) -> str:
    return card(page).locator("blockquote").inner_text().strip()


def press(page: Page, key: str) -> None:
    """A key, and the next row."""
    row = card(page).get_attribute("data-shown")
    page.keyboard.press(key)
    expect(card(page)).not_to_have_attribute("data-shown", row or "")


def label_right(page: Page, count: int) -> None:
    for _ in range(count):
        press(page, str(LABELS.index(TRUTH[text_of(page)]) + 1))


def facts(served: Served) -> list:  # type: ignore[type-arg]
    space = Home(str(served.home)).workspace()
    return space.labels.after(space.datasets.all()[0].id)


def test_forty_rows_by_keyboard_suggestions_come_and_training_beats_chance(
    page: Page, served: Served, tmp_path: Path
) -> None:
    begin(page, messages(tmp_path))
    side = page.locator("section", has=page.get_by_role("heading", name="Suggestions", exact=True))
    expect(side).to_contain_text("12 to go")
    label_right(page, 14)
    expect(side).to_contain_text("small model learned from", timeout=2 * MINUTE)
    expect(page.get_by_label("Order of rows")).to_have_value("least-sure")
    label_right(page, 1)  # the row on the screen had none yet, or has one now: the next has one surely
    expect(card(page).get_by_text("suggested", exact=True)).to_be_visible()
    expect(card(page).locator(".lbl").first).to_contain_text("%")
    suggested = card(page).locator(".lbl.sug b").inner_text()
    text = text_of(page)
    press(page, "Enter")
    assert facts(served)[-1].value == suggested == facts(served)[-1].suggested
    if TRUTH[text] != suggested:
        press_back(page, text)
        label_right(page, 1)
    label_right(page, 40 - 16)
    expect(page.get_by_text("of 84 labeled")).to_be_visible()
    expect(page.locator(".labelprog").locator("xpath=preceding-sibling::b")).to_have_text("40")
    expect(side.get_by_role("img")).to_have_attribute("aria-label", re.compile(r"\d+ of \d+ suggestions were right"))
    given = [fact for fact in facts(served) if fact.what == "given"]
    assert len({fact.row for fact in given}) == 40
    learned = int(re.search(r"learned from (\d+) of your rows", side.inner_text())[1])  # type: ignore[index]
    assert learned >= 14

    button(page, "Use these labels").click()
    expect(page.get_by_text("40 of 84 rows can be used")).to_be_visible(timeout=MINUTE)
    button(page, "Next: method").click()
    expect(button(page, "Start")).to_be_enabled(timeout=2 * MINUTE)
    button(page, "Start").click()
    expect(button(page, "Try it on a text")).to_be_visible(timeout=4 * MINUTE)
    space = Home(str(served.home)).workspace()
    run = space.runs.get("last")
    kept = [each.event for each in space.events.last(run.id, "evaluation", 100) if each.event.step == run.best_step]
    assert kept[-1].metrics["accuracy"] >= 1 / 3 + MARGIN, kept


def press_back(page: Page, text: str) -> None:
    page.keyboard.press("Backspace")
    expect(card(page).locator("blockquote")).to_have_text(text)


@pytest.fixture
def two(browser: Browser, served: Served) -> Iterator[tuple[Page, Page]]:
    """Two browsers, each with its own cookies."""
    with opened_pages(browser, served) as open_page:
        yield open_page(), open_page()


def called(page: Page, name: str) -> None:
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Your name").press("Tab")
    expect(page.get_by_label("Your name")).to_have_value(name)
    page.wait_for_function(f"document.cookie.includes('studio-labeller={name}')")


def test_two_browsers_label_one_dataset_at_once_and_see_how_far_they_agree(
    two: tuple[Page, Page], served: Served, tmp_path: Path
) -> None:
    ann, ben = two
    begin(ann, messages(tmp_path, 30))
    called(ann, "Ann")
    ben.reload()
    ready(ben)
    ben.get_by_role("radio", name="Label", exact=True).check(timeout=MINUTE)
    expect(card(ben)).to_be_visible(timeout=MINUTE)
    called(ben, "Ben")
    expect(card(ben)).not_to_have_attribute("data-shown", card(ann).get_attribute("data-shown") or "")
    for page in two:
        card(page).focus()
    for _ in range(10):
        assert text_of(ann) != text_of(ben), "both have the same row on the screen"
        label_right(ann, 1)
        label_right(ben, 1)
    rows: dict[str, set[int]] = {}
    for fact in facts(served):
        if fact.what == "given":
            rows.setdefault(fact.labeller, set()).add(fact.row)
    assert {name: len(found) for name, found in rows.items()} == {"Ann": 10, "Ben": 10}
    assert not rows["Ann"] & rows["Ben"]

    button(ben, "Give a second opinion").click()
    expect(ben.get_by_label("Order of rows")).to_have_value("second")
    card(ben).focus()
    for number in range(10):
        right = LABELS.index(TRUTH[text_of(ben)])
        press(ben, str((right + (number < 2)) % 3 + 1))
    said = ben.locator("section", has=ben.get_by_role("heading", name="Who labels"))
    expect(said).to_contain_text("Ann and Ben:")
    expect(said).to_contain_text("8 of 10 rows have the same label")
    expect(said).to_contain_text("Cohen's kappa")
    button(ben, "Show disagreements").click()
    expect(ben.locator(".labellist tbody tr")).to_have_count(2)
    expect(ben.locator(".labellist tbody tr").first).to_contain_text("Ann:")
    ann.reload()
    ready(ann)
    expect(ann.get_by_label("Your name")).to_have_value("Ann", timeout=MINUTE)
    expect(ann.get_by_text("8 of 10 rows have the same label")).to_be_visible(timeout=MINUTE)


def test_many_rows_at_once_and_labels_that_are_renamed_merged_and_saved(page: Page, tmp_path: Path) -> None:
    begin(page, messages(tmp_path, 30), ("refund", "delivery", "money"))
    page.get_by_role("radio", name="Many at once").check()
    rows = page.locator(".labellist tbody tr")
    expect(rows).to_have_count(25)
    page.get_by_label("Search the texts").fill("parcel")
    expect(rows).not_to_have_count(25)
    found = rows.count()
    page.get_by_label("Select all rows on this page").check()
    page.get_by_label("Label for the selected rows").select_option("delivery")
    button(page, "Apply label").click()
    expect(page.locator(".labellist tbody .tag", has_text="delivery")).to_have_count(found)
    page.get_by_label("Search the texts").fill("money")
    expect(rows.filter(has_text="money").first).to_be_visible()
    expect(rows.filter(has_text="parcel")).to_have_count(0)
    page.get_by_label("Select row").first.check()
    page.get_by_label("Label for the selected rows").select_option("money")
    button(page, "Apply label").click()
    expect(page.locator(".labellist tbody .tag", has_text="money")).to_have_count(1)

    page.locator("summary").filter(has_text="Change labels").click()
    page.get_by_label("Merge money into another label").select_option("refund")
    expect(page.get_by_text("Merge money into refund?")).to_be_visible()
    expect(page.locator(".lc")).to_have_count(3)
    button(page, "Merge").click()
    expect(page.locator(".lc")).to_have_count(2)
    page.get_by_label("Name of refund").fill("money back")
    page.get_by_label("Name of refund").press("Tab")
    expect(page.locator(".lc").filter(has_text="money back").locator("b")).to_have_text("1")
    page.locator("summary").filter(has_text="Export and import labels").click()
    with page.expect_download() as coming:
        button(page, "Save as CSV").click()
    saved = list(csv.DictReader(io.StringIO(Path(coming.value.path()).read_text(encoding="utf-8"))))
    assert len(saved) == found + 1
    assert {each["label"] for each in saved} == {"delivery", "money back"}


def test_unsure_skip_and_undo_by_key_and_a_closed_tab_loses_nothing(page: Page, served: Served, tmp_path: Path) -> None:
    begin(page, messages(tmp_path, 30))
    for key in ("1", "u", "s", "2"):
        press(page, key)
    assert [(fact.row, fact.what, fact.value) for fact in facts(served) if fact.row] == [
        (1, "given", "refund"),
        (2, "unsure", None),
        (3, "skip", None),
        (4, "given", "delivery"),
    ]
    page.keyboard.press("Backspace")
    expect(card(page)).to_have_attribute("data-shown", "4")
    page.close()
    again = page.context.new_page()
    again.goto(served.url)
    ready(again)
    expect(card(again)).to_have_attribute("data-shown", "4", timeout=MINUTE)
    expect(again.locator(".lc").first.locator("b")).to_have_text("1")


def test_replies_are_written_and_what_was_typed_is_there_after_a_reload(
    page: Page, served: Served, tmp_path: Path
) -> None:
    path = tmp_path / "tickets.csv"
    path.write_text(
        "question,answer\n" + "".join(f"Where is parcel {n}?,\n" for n in range(1, 11)) + "Hello?,Hi.\n",
        encoding="utf-8",
    )
    page.get_by_role("radio", name="Chat").first.check()
    button(page, "Next: data").click()
    page.get_by_label("Choose a file").set_input_files(path)
    page.get_by_role("radio", name="Label", exact=True).check(timeout=MINUTE)
    reply = page.get_by_label("Reply", exact=True)
    expect(reply).to_be_focused(timeout=MINUTE)
    reply.press_sequentially("It left on", delay=20)
    page.wait_for_timeout(1500)
    page.reload()
    expect(reply).to_have_value("It left on", timeout=MINUTE)
    for n in range(1, 11):
        expect(card(page)).to_have_attribute("data-shown", str(n))
        expect(reply).to_be_visible()
        reply.fill(f"It left on Monday, number {n}.")
        page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Every row has a reply.")).to_be_visible()
    button(page, "Use these replies").click()
    expect(page.get_by_text("11 of 11 rows can be used").first).to_be_visible(timeout=MINUTE)


def test_the_better_of_two_replies_is_chosen_by_key(page: Page, served: Served, tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("prompt,reply a,reply b\n" + "".join(f"Ask {n}?,bad {n},good {n}\n" for n in range(1, 11)))
    page.get_by_role("radio", name="Chat").first.check()
    button(page, "Next: data").click()
    page.get_by_label("Choose a file").set_input_files(path)
    page.get_by_role("radio", name="Label", exact=True).check(timeout=MINUTE)
    page.get_by_label("What to add to rows").select_option("choice")
    expect(card(page).locator(".pair")).to_be_visible(timeout=MINUTE)
    card(page).focus()
    for _ in range(9):
        left = card(page).locator(".pair .lbl").first.inner_text()
        press(page, "1" if "good" in left else "2")
    page.keyboard.press("3")
    expect(page.get_by_text("Every row has a choice.")).to_be_visible()
    button(page, "Use these choices").click()
    expect(page.get_by_role("columnheader").filter(has_text="chosen")).to_be_visible(timeout=MINUTE)
    space = Home(str(served.home)).workspace()
    from studio.data.parquet_store import open_parquet

    record = space.datasets.all()[0]
    rows = open_parquet(space.datasets.rows_path(record.id, record.version)).rows()
    assert [(row["chosen"], row["rejected"]) for row in rows[:9]] == [(f"good {n}", f"bad {n}") for n in range(1, 10)]
    assert rows[9]["chosen"] is None
